"""Training loop of the head and the probes on stored features."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import fields

import torch

from segdistill.config.settings import FitSettings
from segdistill.devices import Compute
from segdistill.objective.schedules import depth_weight
from segdistill.objective.stego import ObjectiveTerms, Shifts
from segdistill.progress import progress_bar
from segdistill.runs.history import StepRecord
from segdistill.training.batches import Batch, batches
from segdistill.training.losses import StepLosses, losses
from segdistill.training.modules import TrainingModules
from segdistill.training.training_set import TrainingSet


def train(
    modules: TrainingModules,
    optimiser: torch.optim.Adam,
    data: TrainingSet,
    shifts: Shifts,
    settings: FitSettings,
    compute: Compute,
    *,
    first_step: int = 0,
    on_step: Callable[[StepRecord, Batch], object] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    progress: bool = False,
) -> None:
    """Train the head and the probes in place.

    Args:
        first_step: the step to resume from, counted from 0.
        on_step: a callback run after each step, with its losses and its batch.
        should_stop: a callback run before each step; training ends once it returns true.
    """
    steps, reset_every = settings.training.most_steps, settings.training.reset_probes_every
    may_stop_early = settings.training.steps is None
    modules.to(compute.device).train()
    data.preparation.to(compute.device)
    with progress_bar("Training", steps, at_most=may_stop_early, shown=progress) as advance:
        advance(first_step)
        group = compute.group
        drawn = batches(data, settings, first_step=first_step, group=group)
        # A single process draws the same numbers as in versions without distributed training.
        rank_seed = (group.rank,) if group.size > 1 else ()
        for step in range(first_step, steps):
            if should_stop():
                break
            batch = next(drawn).to(compute.device)
            if step and reset_every is not None and step % reset_every == 0:
                with seeded(settings.seed, step, 1, device=compute.device):
                    modules.reset_probes(optimiser)
            # In full precision: head and losses are cheap compared with the backbone, and
            # differences between correlations are small.
            with seeded(settings.seed, step, *rank_seed, device=compute.device):
                result = losses(modules, batch, data, shifts, settings, step=step)
            total = weighted_total(result.terms, settings, step=step)
            optimiser.zero_grad(set_to_none=True)
            _with_probes(total, result).backward()  # type: ignore[no-untyped-call]
            group.average([p.grad for p in modules.parameters() if p.grad is not None])
            optimiser.step()
            advance(1)
            values = _values(total, result)
            group.average([values])
            if on_step is not None:
                on_step(StepRecord(step + 1, *values.tolist()), batch)
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


def weighted_total(terms: ObjectiveTerms, settings: FitSettings, *, step: int) -> torch.Tensor:
    """Return the weighted sum of the objective's terms at a step, counted from 0."""
    if terms.depth is None:
        return terms.total(settings.objective)
    return terms.total(
        settings.objective,
        weight_depth=depth_weight(settings, step),
        weight_hidden_positives=settings.depth.weight_hidden_positives,
    )


def _with_probes(total: torch.Tensor, result: StepLosses) -> torch.Tensor:
    # Probes see detached codes, so adding their losses does not train the head.
    probes = result.clusters
    return total + (probes if result.linear is None else probes + result.linear)


def _values(total: torch.Tensor, result: StepLosses) -> torch.Tensor:
    """Return the fields of a :class:`StepRecord` in order, except the step."""
    known = {**vars(result.terms), **vars(result), "total": total}
    values = [known.get(field.name) for field in fields(StepRecord)[1:]]
    none = torch.zeros_like(total)
    return torch.stack([none if value is None else value for value in values]).detach().float()
