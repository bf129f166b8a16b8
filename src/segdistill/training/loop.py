"""Training loop of the head and the probes on stored features."""

import contextlib
import random
from collections.abc import Callable, Iterator

import torch

from segdistill.config.settings import FitSettings
from segdistill.cpu_threads import beside_a_reader
from segdistill.devices import Compute
from segdistill.processes import Group
from segdistill.progress import progress_bar
from segdistill.runs.history import LOSSES, StepRecord
from segdistill.training.batches import Batch, batches
from segdistill.training.modules import TrainingModules
from segdistill.training.step import losses
from segdistill.training.training_set import TrainingSet


def train(
    modules: TrainingModules,
    optimiser: torch.optim.Adam,
    data: TrainingSet,
    settings: FitSettings,
    compute: Compute,
    *,
    first_step: int = 0,
    on_step: Callable[[StepRecord, Batch], object] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    progress: bool = False,
) -> None:
    """Train the head and the probes in place; the objective must have been prepared.

    Args:
        first_step: the step to resume from, counted from 0.
        on_step: a callback run after each step, with its losses and its batch.
        should_stop: a callback run before each step; training ends once it returns true.
    """
    steps, reset_every = settings.training.most_steps, settings.training.reset_probes_every
    may_stop_early = settings.training.steps is None
    modules.to(compute.device).train()
    data.preparation.to(compute.device)
    with (
        progress_bar("Training", steps, at_most=may_stop_early, shown=progress) as advance,
        beside_a_reader(compute.device),
    ):
        advance(first_step)
        group = compute.group
        objective = modules.objective
        drawn = batches(data, settings, objective.needs, first_step=first_step, group=group)
        # A single process draws the same numbers as in versions without distributed training.
        rank_seed = (group.rank,) if group.size > 1 else ()
        for step in range(first_step, steps):
            if should_stop():
                break
            batch = next(drawn).to(compute.device)
            if step and reset_every is not None and step % reset_every == 0:
                with seeded(settings.seed, step, 1, device=compute.device):
                    modules.reset_probes(optimiser)
            with seeded(settings.seed, step, *rank_seed, device=compute.device):
                result = losses(modules, batch, data, step=step)
            optimiser.zero_grad(set_to_none=True)
            result.learned.backward()  # type: ignore[no-untyped-call]
            group.average([p.grad for p in modules.parameters() if p.grad is not None])
            optimiser.step()
            objective.after_step(modules.head, step=step)
            advance(1)
            values = _averaged(result.values(), group)
            if on_step is not None:
                on_step(_record(step, values), batch)
    modules.eval()


@contextlib.contextmanager
def seeded(*numbers: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed the random generators inside the block, without affecting those of the caller.

    Draws depend only on ``numbers``, such as the seed and the step, so a resumed run repeats them.
    The generators of the CPU and of ``device`` are seeded.
    """
    on_gpu = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.manual_seed(random.Random(repr(numbers)).getrandbits(62))  # noqa: S311
        yield


def _averaged(values: dict[str, torch.Tensor], group: Group) -> dict[str, float]:
    """Return losses by name, averaged over the processes."""
    # A process whose images have no labels has no loss of the linear probe.
    absent = torch.zeros_like(values["total"])
    names = [*LOSSES, *(name for name in values if name not in LOSSES)]
    stacked = torch.stack([values.get(name, absent) for name in names])
    group.average([stacked])
    return dict(zip(names, stacked.tolist(), strict=True))


def _record(step: int, losses: dict[str, float]) -> StepRecord:
    """Return the record of a step, counted from 0."""
    known = {name: losses[name] for name in LOSSES}
    own = {name: value for name, value in losses.items() if name not in LOSSES}
    return StepRecord(step + 1, **known, own=own)
