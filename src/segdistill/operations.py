"""What segdistill does: the one list from which Python, the command line and the app are made.

A new operation is an entry here and its function. ``segdistill.NAME`` is its function;
``segdistill COMMAND`` runs it, if there is a function for the command in ``segdistill.cli``; the
app accepts it as an edit if ``app`` is true, with the parameters of the function as the request.

Everything is named by strings: importing this list imports nothing else.
"""

from typing import Literal, NamedTuple

MORE_MEMORY = "close other programs, or raise the limit (`ulimit -v`)"
SMALLER = "lower --resolution, or make the images smaller"

Resumption = Literal["--resume", "same", ""]


class Operation(NamedTuple):
    """Something that segdistill does.

    Attributes:
        name: the function; where there is none for Python, the command.
        module: module of the function within ``segdistill``, or nothing.
        summary: what it does, in one line.
        command: what the user types after ``segdistill``, such as ``classes --merge``, or nothing.
        parser: module in ``segdistill.cli`` with the function from which the command's parser is
            made; nothing if ``command`` is an option of another command.
        processes: whether the command can run in several processes.
        resumes: what continues the command after an interruption: ``--resume``, the ``same``
            command or nothing.
        app: whether the app may do it to its run.
        saves_memory: what to do when the command runs out of memory.
    """

    name: str
    module: str
    summary: str
    command: str = ""
    parser: str = ""
    processes: bool = False
    resumes: Resumption = ""
    app: bool = False
    saves_memory: str = MORE_MEMORY


OPERATIONS = (
    Operation(
        "fit",
        "api.fitting",
        "learn to segment a folder of images, without labels",
        command="fit",
        saves_memory="lower --resolution or --training.batch-size",
        parser="fit",
        processes=True,
        resumes="--resume",
    ),
    Operation(
        "segment",
        "api.segmenting",
        "write one mask per image",
        command="segment",
        saves_memory=SMALLER,
        parser="segment",
        processes=True,
        resumes="--resume",
    ),
    Operation(
        "export_masks",
        "api.exporting",
        "convert masks to other programs' formats",
        command="export",
        parser="export",
    ),
    Operation(
        "export_model",
        "api.deploying",
        "export a run as an ONNX or torch.export program, and verify it",
        command="export-model",
        parser="export",
    ),
    Operation(
        "evaluate",
        "api.evaluating",
        "score a run against labels",
        command="evaluate",
        saves_memory=SMALLER,
        parser="evaluate",
        processes=True,
    ),
    Operation("evaluate_set", "api.evaluating", "score a run against a labelled set of images"),
    Operation(
        "write_evaluation",
        "api.evaluating",
        "write scores as a page, JSON, CSV and PNG",
        command="evaluate --out",
    ),
    Operation(
        "correspondence_curves",
        "api.curves",
        "measure how well correspondences predict labels",
        command="evaluate --curves",
    ),
    Operation(
        "recluster",
        "api.reclustering",
        "change a run's level or number of classes without training again",
        command="recluster",
        parser="classes",
        app=True,
    ),
    Operation(
        "rewrite_report",
        "api.reclustering",
        "write the report again with the current classes",
        command="recluster --images",
    ),
    Operation(
        "classes_of",
        "api.classes",
        "list, merge and hide the classes of a run",
        command="classes",
        parser="classes",
    ),
    Operation("class_shares", "api.classes", "share of the training images in each class"),
    Operation(
        "proposed_merges",
        "api.classes",
        "list pairs of classes that are likely to be the same",
        command="classes --propose",
    ),
    Operation(
        "merge_classes",
        "api.classes",
        "merge classes into one",
        command="classes --merge",
        app=True,
    ),
    Operation(
        "hide_classes",
        "api.classes",
        "leave classes out of overlays and exports, or show them again",
        command="classes --hide",
        app=True,
    ),
    Operation(
        "undo_classes",
        "api.classes",
        "undo the last change of the classes",
        command="classes --undo",
        app=True,
    ),
    Operation(
        "redo_classes",
        "api.classes",
        "redo the last change of the classes that was undone",
        command="classes --redo",
        app=True,
    ),
    Operation("colour_classes", "api.classes", "set the colours of classes", app=True),
    Operation(
        "name_classes",
        "api.classes",
        "name the classes of a run",
        command="name",
        parser="classes",
        app=True,
    ),
    Operation(
        "suggest_names",
        "api.suggesting",
        "suggest names from a list of words",
        command="name --suggest",
    ),
    Operation(
        "apply_suggestions", "api.suggesting", "apply the suggested names", command="name --apply"
    ),
    Operation(
        "teach",
        "api.teaching",
        "teach a run your own classes by answering questions and clicking",
        command="teach",
        parser="teach",
        resumes="same",
        saves_memory="give fewer --images",
    ),
    Operation("open_teacher", "api.teacher", "ask questions and take answers in Python"),
    Operation("add_classes", "api.teaching", "add classes to teach", command="teach --classes"),
    Operation(
        "export_answers",
        "api.teaching",
        "write the answers given to a run to a file",
        command="teach --export",
    ),
    Operation(
        "draw_figures", "api.figures", "draw figures for a paper", command="figures", parser="view"
    ),
    Operation(
        "app", "", "open a run in the browser and name its classes", command="app", parser="view"
    ),
    Operation(
        "correspond",
        "",
        "draw what a point of an image corresponds to",
        command="correspond",
        parser="view",
    ),
    Operation(
        "probe",
        "api.evaluating",
        "measure a run's codes with a linear probe",
        command="probe",
        parser="evaluate",
    ),
    Operation(
        "push",
        "api.sharing",
        "share a run on the Hugging Face hub",
        command="push",
        parser="export",
    ),
    Operation(
        "convert_checkpoint",
        "runs.conversion",
        "convert a STEGO or DepthG checkpoint to a run",
        command="convert",
        parser="export",
    ),
    Operation(
        "extract_features",
        "api.extracting",
        "write the feature map of each image",
        command="features",
        saves_memory=SMALLER,
        parser="segment",
        resumes="--resume",
    ),
    Operation(
        "fetch_images",
        "api.fetching",
        "copy a random sample of a very large set of images",
        command="fetch",
        parser="data",
        resumes="same",
    ),
    Operation(
        "estimate_depth",
        "api.depth",
        "estimate depth maps with a network",
        command="depth",
        saves_memory="lower --batch",
        parser="data",
        resumes="same",
    ),
    Operation(
        "write_sample",
        "sample.dataset",
        "generate a small data set to try segdistill with",
        command="sample",
        parser="data",
    ),
    Operation("labelled_folders", "api.labelled", "match images with label files"),
    Operation("labelled_dataset", "api.labelled", "read the labels of a benchmark"),
    Operation("backbones", "", "list the backbones", command="backbones", parser="data"),
    Operation("datasets", "", "list the benchmark data sets", command="datasets", parser="data"),
    Operation("cache", "", "show or clear the feature store", command="cache", parser="data"),
)

CLASSES = {
    "CacheSettings": "config.settings",
    "CauseSettings": "config.objectives",
    "DepthSettings": "config.settings",
    "EagleSettings": "config.objectives",
    "Evaluation": "evaluation.result",
    "ExportOptions": "export.options",
    "FigureOptions": "figures.options",
    "FitSettings": "config.settings",
    "HeadSettings": "config.settings",
    "HiddenPositivesSettings": "config.objectives",
    "LabelledSet": "api.labelled",
    "MaskOptions": "inference.options",
    "Objective": "training.objectives.protocol",
    "ObjectiveInputs": "training.objectives.protocol",
    "ObjectiveSettings": "config.settings",
    "ObjectiveStep": "training.objectives.protocol",
    "PriMaPsSettings": "config.objectives",
    "register_objective": "training.objectives.registry",
    "SegmentationEstimator": "api.estimator",
    "Segmenter": "model.segmenter",
    "SmooSegSettings": "config.objectives",
    "TrainingSettings": "config.settings",
    "UserError": "errors",
}
"""The classes that Python users need, by the module within ``segdistill``; and the function that
registers an objective of theirs."""

COMMANDS = {each.command: each for each in OPERATIONS if each.parser}
"""The commands, in the order of ``segdistill --help``."""

PUBLIC = CLASSES | {each.name: each.module for each in OPERATIONS if each.module}
"""The public names of ``segdistill``, by the module within it."""
