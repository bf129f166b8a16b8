"""The verbs of the library, each reading like the way that data takes."""

from segdistill.api.evaluating import Evaluation, evaluate, evaluate_set, probe, write_evaluation
from segdistill.api.fitting import fit
from segdistill.api.labelled import LabelledSet, labelled_dataset, labelled_folders
from segdistill.api.segmenting import segment

__all__ = [
    "Evaluation",
    "LabelledSet",
    "evaluate",
    "evaluate_set",
    "fit",
    "labelled_dataset",
    "labelled_folders",
    "probe",
    "segment",
    "write_evaluation",
]
