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
        apply_suggestions,
        correspondence_curves,
        draw_figures,
        estimate_depth,
        evaluate,
        export_masks,
        export_model,
        extract_features,
        fetch_images,
        fit,
        labelled_dataset,
        labelled_folders,
        probe,
        push,
        segment,
        suggest_names,
        write_evaluation,
    )
    from segdistill.api.estimator import SegmentationEstimator
    from segdistill.config.settings import (
        CacheSettings,
        DepthSettings,
        FitSettings,
        HeadSettings,
        ObjectiveSettings,
        TrainingSettings,
    )
    from segdistill.errors import UserError
    from segdistill.export.options import ExportOptions
    from segdistill.figures.options import FigureOptions
    from segdistill.inference.options import MaskOptions
    from segdistill.model.segmenter import Segmenter

__all__ = [
    "CacheSettings",
    "DepthSettings",
    "Evaluation",
    "ExportOptions",
    "FigureOptions",
    "FitSettings",
    "HeadSettings",
    "MaskOptions",
    "ObjectiveSettings",
    "SegmentationEstimator",
    "Segmenter",
    "TrainingSettings",
    "UserError",
    "__version__",
    "apply_suggestions",
    "correspondence_curves",
    "draw_figures",
    "estimate_depth",
    "evaluate",
    "export_masks",
    "export_model",
    "extract_features",
    "fetch_images",
    "fit",
    "labelled_dataset",
    "labelled_folders",
    "probe",
    "push",
    "segment",
    "suggest_names",
    "write_evaluation",
]

_MODULES = {
    "CacheSettings": "segdistill.config.settings",
    "DepthSettings": "segdistill.config.settings",
    "Evaluation": "segdistill.api",
    "ExportOptions": "segdistill.export.options",
    "FigureOptions": "segdistill.figures.options",
    "FitSettings": "segdistill.config.settings",
    "HeadSettings": "segdistill.config.settings",
    "ObjectiveSettings": "segdistill.config.settings",
    "TrainingSettings": "segdistill.config.settings",
    "MaskOptions": "segdistill.inference.options",
    "SegmentationEstimator": "segdistill.api.estimator",
    "Segmenter": "segdistill.model.segmenter",
    "UserError": "segdistill.errors",
    "apply_suggestions": "segdistill.api",
    "correspondence_curves": "segdistill.api",
    "draw_figures": "segdistill.api",
    "estimate_depth": "segdistill.api",
    "evaluate": "segdistill.api",
    "export_masks": "segdistill.api",
    "export_model": "segdistill.api",
    "extract_features": "segdistill.api",
    "fetch_images": "segdistill.api",
    "labelled_dataset": "segdistill.api",
    "labelled_folders": "segdistill.api",
    "probe": "segdistill.api",
    "push": "segdistill.api",
    "fit": "segdistill.api",
    "segment": "segdistill.api",
    "suggest_names": "segdistill.api",
    "write_evaluation": "segdistill.api",
}


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, which `segdistill --help` should not.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'segdistill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
