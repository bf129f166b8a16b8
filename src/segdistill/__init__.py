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

from segdistill.operations import PUBLIC
from segdistill.version import __version__ as __version__

if TYPE_CHECKING:
    # For type checkers and editors, which do not run __getattr__; a test keeps it complete.
    from segdistill.api.classes import class_shares as class_shares
    from segdistill.api.classes import classes_of as classes_of
    from segdistill.api.classes import colour_classes as colour_classes
    from segdistill.api.classes import hide_classes as hide_classes
    from segdistill.api.classes import merge_classes as merge_classes
    from segdistill.api.classes import name_classes as name_classes
    from segdistill.api.classes import proposed_merges as proposed_merges
    from segdistill.api.classes import redo_classes as redo_classes
    from segdistill.api.classes import undo_classes as undo_classes
    from segdistill.api.curves import correspondence_curves as correspondence_curves
    from segdistill.api.deploying import export_model as export_model
    from segdistill.api.depth import estimate_depth as estimate_depth
    from segdistill.api.estimator import SegmentationEstimator as SegmentationEstimator
    from segdistill.api.evaluating import evaluate as evaluate
    from segdistill.api.evaluating import evaluate_set as evaluate_set
    from segdistill.api.evaluating import probe as probe
    from segdistill.api.evaluating import write_evaluation as write_evaluation
    from segdistill.api.exporting import export_masks as export_masks
    from segdistill.api.extracting import extract_features as extract_features
    from segdistill.api.fetching import fetch_images as fetch_images
    from segdistill.api.figures import draw_figures as draw_figures
    from segdistill.api.fitting import fit as fit
    from segdistill.api.labelled import LabelledSet as LabelledSet
    from segdistill.api.labelled import labelled_dataset as labelled_dataset
    from segdistill.api.labelled import labelled_folders as labelled_folders
    from segdistill.api.reclustering import recluster as recluster
    from segdistill.api.reclustering import rewrite_report as rewrite_report
    from segdistill.api.segmenting import segment as segment
    from segdistill.api.sharing import push as push
    from segdistill.api.suggesting import apply_suggestions as apply_suggestions
    from segdistill.api.suggesting import suggest_names as suggest_names
    from segdistill.api.teacher import open_teacher as open_teacher
    from segdistill.api.teaching import add_classes as add_classes
    from segdistill.api.teaching import export_answers as export_answers
    from segdistill.api.teaching import teach as teach
    from segdistill.config.objectives import CauseSettings as CauseSettings
    from segdistill.config.objectives import EagleSettings as EagleSettings
    from segdistill.config.objectives import HiddenPositivesSettings as HiddenPositivesSettings
    from segdistill.config.objectives import PriMaPsSettings as PriMaPsSettings
    from segdistill.config.objectives import SmooSegSettings as SmooSegSettings
    from segdistill.config.settings import CacheSettings as CacheSettings
    from segdistill.config.settings import DepthSettings as DepthSettings
    from segdistill.config.settings import FitSettings as FitSettings
    from segdistill.config.settings import HeadSettings as HeadSettings
    from segdistill.config.settings import ObjectiveSettings as ObjectiveSettings
    from segdistill.config.settings import TrainingSettings as TrainingSettings
    from segdistill.errors import UserError as UserError
    from segdistill.evaluation.result import Evaluation as Evaluation
    from segdistill.export.options import ExportOptions as ExportOptions
    from segdistill.figures.options import FigureOptions as FigureOptions
    from segdistill.inference.options import MaskOptions as MaskOptions
    from segdistill.model.segmenter import Segmenter as Segmenter
    from segdistill.runs.conversion import convert_checkpoint as convert_checkpoint
    from segdistill.sample.dataset import write_sample as write_sample
    from segdistill.training.objectives.protocol import Objective as Objective
    from segdistill.training.objectives.protocol import ObjectiveInputs as ObjectiveInputs
    from segdistill.training.objectives.protocol import ObjectiveStep as ObjectiveStep
    from segdistill.training.objectives.registry import register_objective as register_objective

__all__ = ["__version__", *PUBLIC]  # noqa: PLE0604 - strings


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, which `segdistill --help` should not.
    if name in PUBLIC:
        return getattr(import_module(f"segdistill.{PUBLIC[name]}"), name)
    raise AttributeError(f"module 'segdistill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
