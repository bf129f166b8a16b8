"""The checkpoint of a training: the state from which an interrupted run continues."""

import json
from collections.abc import Sequence

import torch

from segdistill.errors import UserError
from segdistill.json_files import Count, Finite, from_json
from segdistill.layout import CHECKPOINT_FILE, HISTORY_FILE
from segdistill.model.tensor_files import read_tensor_file, write_tensor_file
from segdistill.runs.facts import AgreementRecord
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord
from segdistill.training.early_stopping import EarlyStopping
from segdistill.training.modules import TrainingModules

FIX = "use --overwrite"

FORMERLY_OUTSIDE = ("decoder.", "second_head.")
"""Modules that earlier versions did not count to the objective."""


def write_checkpoint(
    run: RunFolder,
    modules: TrainingModules,
    optimiser: torch.optim.Adam,
    history: Sequence[StepRecord],
    *,
    images: str,
    stopping: EarlyStopping | None = None,
) -> None:
    """Write the state needed to resume after the last step of ``history``.

    ``images`` is the fingerprint of the images, stored to prevent resuming with different ones.

    Raises:
        UserError: the run folder cannot be written.
    """
    tensors = {f"modules.{name}": value for name, value in modules.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
    metadata = {"step": str(history[-1].step), "images": images}
    if stopping is not None:
        tensors |= {f"best.{name}": value for name, value in stopping.best_state.items()}
        agreement = [[record.step, record.agreement] for record in stopping.agreement_history]
        metadata["agreement_history"] = json.dumps(agreement)
    run.write_history(history)
    write_tensor_file(run.path / CHECKPOINT_FILE, tensors, metadata)


def read_checkpoint(
    run: RunFolder,
    modules: TrainingModules,
    optimiser: torch.optim.Adam,
    *,
    images: str,
    stopping: EarlyStopping | None = None,
) -> list[StepRecord]:
    """Restore modules, optimiser and early stopping from the last checkpoint.

    Returns:
        The losses of the steps so far; empty if there is no checkpoint.

    Raises:
        UserError: the checkpoint is damaged or not finite, or was written for different images.
    """
    path = run.path / CHECKPOINT_FILE
    if not path.exists():
        return []
    tensors, metadata = read_tensor_file(path, fix=FIX)
    try:
        last_step, of_images = int(metadata["step"]), metadata["images"]
    except (ValueError, LookupError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {FIX}") from error
    if of_images != images:
        raise UserError(
            f"{run.path}: images or backbone have changed since the run was interrupted; restore"
            " them, or start over with --overwrite"
        )
    try:
        _restore(tensors, modules, optimiser)
        best = _with_prefix(tensors, "best.")
        if best:
            _check_shapes(best, modules.state_dict())
    except (LookupError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: does not match the settings ({reason}); {FIX}") from error
    if stopping is not None:
        agreement = from_json(
            metadata.get("agreement_history", "[]"),
            list[tuple[Count, Finite]],
            name=str(path),
            what="a training",
            fix=FIX,
        )
        stopping.resume([AgreementRecord(*each) for each in agreement], best)
    history = [record for record in run.read_history() if record.step <= last_step]
    if len(history) != last_step:
        raise UserError(f"{run.path / HISTORY_FILE}: does not match the checkpoint; {FIX}")
    return history


def _restore(
    tensors: dict[str, torch.Tensor], modules: TrainingModules, optimiser: torch.optim.Adam
) -> None:
    """Load the states of modules and optimiser; raises an error if names or shapes differ."""
    modules.load_state_dict(_with_prefix(tensors, "modules."))
    state = optimiser.state_dict()
    sizes = [each.shape for group in optimiser.param_groups for each in group["params"]]
    for name, value in _with_prefix(tensors, "adam.").items():
        number, key = name.split(".")
        if value.dim() and value.shape != sizes[int(number)]:
            raise ValueError(f"adam.{name} is of shape {tuple(value.shape)}")
        state["state"].setdefault(int(number), {})[key] = value
    optimiser.load_state_dict(state)


def _check_shapes(tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    shapes = {name: value.shape for name, value in tensors.items()}
    if shapes != {name: value.shape for name, value in expected.items()}:
        raise ValueError("the best state has other shapes")


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their present names."""
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return {
        f"objective.{name}" if name.startswith(FORMERLY_OUTSIDE) else name: value
        for name, value in found.items()
    }
