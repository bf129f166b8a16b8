"""The verbs of the library, each reading like the way that data takes."""

from segdistill.api.curves import correspondence_curves
from segdistill.api.depth import estimate_depth
from segdistill.api.evaluating import evaluate, evaluate_set, probe, write_evaluation
from segdistill.api.fitting import fit
from segdistill.api.labelled import LabelledSet, labelled_dataset, labelled_folders
from segdistill.api.segmenting import segment
from segdistill.evaluation.result import Evaluation

__all__ = [
    "Evaluation",
    "LabelledSet",
    "correspondence_curves",
    "estimate_depth",
    "evaluate",
    "evaluate_set",
    "fit",
    "labelled_dataset",
    "labelled_folders",
    "probe",
    "segment",
    "write_evaluation",
]
