"""The checkpoint of a training: the state from which an interrupted run continues."""

import json
from collections.abc import Sequence

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from segdistill.backbones.finite import check_finite
from segdistill.errors import UserError
from segdistill.files import atomic_path, from_json
from segdistill.layout import CHECKPOINT_FILE, HISTORY_FILE
from segdistill.runs.facts import AgreementRecord
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord
from segdistill.training.early_stopping import EarlyStopping
from segdistill.training.modules import TrainingModules

FIX = "use --overwrite"


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
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_path(run.path / CHECKPOINT_FILE) as temporary:
        # Written as bytes: a full disk then raises OSError, which safetensors' save_file hides.
        temporary.write_bytes(save(plain, metadata=metadata))


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
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        last_step, of_images = int(metadata["step"]), metadata["images"]
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {FIX}") from error
    check_finite(tensors, str(path))
    if of_images != images:
        raise UserError(
            f"{run.path}: images or backbone have changed since the run was interrupted; put"
            " them back, or start again with --overwrite"
        )
    modules.load_state_dict(_with_prefix(tensors, "modules."))
    if stopping is not None:
        agreement = from_json(
            metadata.get("agreement_history", "[]"),
            list[tuple[int, float]],
            name=str(path),
            what="a training",
            fix=FIX,
        )
        records = [AgreementRecord(*each) for each in agreement]
        stopping.resume(records, _with_prefix(tensors, "best."))
    state = optimiser.state_dict()
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, number, key = name.split(".")
            state["state"].setdefault(int(number), {})[key] = value
    optimiser.load_state_dict(state)
    history = [record for record in run.read_history() if record.step <= last_step]
    if len(history) != last_step:
        raise UserError(f"{run.path / HISTORY_FILE}: does not go with the checkpoint; {FIX}")
    return history


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
