"""Learn to segment images without labels.

Example::

    import segdistill

    segmenter = segdistill.fit("photos/", classes=8)
    mask = segmenter.segment("photos/beach.jpg")  # (height, width) integers
    segmenter.save("runs/photos")
    segmenter = segdistill.Segmenter.load("runs/photos")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from segdistill.version import __version__

if TYPE_CHECKING:
    from segdistill.api import (
        Evaluation,
        correspondence_curves,
        estimate_depth,
        evaluate,
        fit,
        labelled_dataset,
        labelled_folders,
        probe,
        segment,
        write_evaluation,
    )
    from segdistill.config.settings import (
        CacheSettings,
        DepthSettings,
        FitSettings,
        HeadSettings,
        ObjectiveSettings,
        TrainingSettings,
    )
    from segdistill.errors import UserError
    from segdistill.inference.folder import MaskOptions
    from segdistill.model.segmenter import Segmenter

__all__ = [
    "CacheSettings",
    "DepthSettings",
    "Evaluation",
    "FitSettings",
    "HeadSettings",
    "MaskOptions",
    "ObjectiveSettings",
    "Segmenter",
    "TrainingSettings",
    "UserError",
    "__version__",
    "correspondence_curves",
    "estimate_depth",
    "evaluate",
    "fit",
    "labelled_dataset",
    "labelled_folders",
    "probe",
    "segment",
    "write_evaluation",
]

_HOMES = {
    "CacheSettings": "segdistill.config.settings",
    "DepthSettings": "segdistill.config.settings",
    "Evaluation": "segdistill.api",
    "FitSettings": "segdistill.config.settings",
    "HeadSettings": "segdistill.config.settings",
    "ObjectiveSettings": "segdistill.config.settings",
    "TrainingSettings": "segdistill.config.settings",
    "MaskOptions": "segdistill.inference.folder",
    "Segmenter": "segdistill.model.segmenter",
    "UserError": "segdistill.errors",
    "correspondence_curves": "segdistill.api",
    "estimate_depth": "segdistill.api",
    "evaluate": "segdistill.api",
    "labelled_dataset": "segdistill.api",
    "labelled_folders": "segdistill.api",
    "probe": "segdistill.api",
    "fit": "segdistill.api",
    "segment": "segdistill.api",
    "write_evaluation": "segdistill.api",
}


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, which `segdistill --help` should not.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'segdistill' has no attribute {name!r}")
