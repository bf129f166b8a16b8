"""Public functions: fit, segment, evaluate, export and so on."""

from segdistill.api.curves import correspondence_curves
from segdistill.api.deploying import export_model
from segdistill.api.depth import estimate_depth
from segdistill.api.evaluating import evaluate, evaluate_set, probe, write_evaluation
from segdistill.api.exporting import export_masks
from segdistill.api.extracting import extract_features
from segdistill.api.fetching import fetch_images
from segdistill.api.figures import draw_figures
from segdistill.api.fitting import fit
from segdistill.api.labelled import LabelledSet, labelled_dataset, labelled_folders
from segdistill.api.segmenting import segment
from segdistill.api.sharing import push
from segdistill.api.suggesting import apply_suggestions, suggest_names
from segdistill.evaluation.result import Evaluation

__all__ = [
    "Evaluation",
    "LabelledSet",
    "apply_suggestions",
    "correspondence_curves",
    "draw_figures",
    "estimate_depth",
    "evaluate",
    "evaluate_set",
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
