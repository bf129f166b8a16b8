"""What the verbs of the library share."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.errors import UserError
from segdistill.model.segmenter import Segmenter

Source = str | Path


def loaded(
    run: Source | Segmenter,
    backbone: str | None,
    device: DeviceName,
    precision: PrecisionName,
) -> Segmenter:
    """Return a model as it is, or load it from a run folder.

    Args:
        run: a run folder, or a model.
        backbone: where the backbone of a run folder lies now, if it has moved.
        device: where to compute, for a run folder.
        precision: of matrix products, for a run folder.
    """
    if isinstance(run, Segmenter):
        return run
    return Segmenter.load(run, backbone=backbone, device=device, precision=precision)


def known_only(changes: dict[str, Any], settings_class: type) -> dict[str, Any]:
    """Return the changes unchanged if each names a field of a settings class.

    Raises:
        UserError: one does not.
    """
    names = {field.name for field in fields(settings_class)}
    for name in changes:
        if name not in names:
            raise UserError(
                f"unknown setting {name!r}; the settings are {', '.join(sorted(names))}"
            )
    return changes
