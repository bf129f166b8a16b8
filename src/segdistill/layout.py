"""The names of the files and folders that segdistill writes; it imports nothing.

A run folder, written by ``fit``::

    runs/photos/
        segmenter.safetensors     the model
        segmenter.json
        settings.yaml             every setting, resolved
        history.csv               the losses of every step
        facts.json                images used and skipped, timings, shifts
        log/                      TensorBoard
        report.html
        linear_probe.safetensors  a linear classifier trained with labels, if asked for
        backbone/                 the backbone of a converted checkpoint
        answers.json              what a person taught it, if anything
        taught/                   the run with the taught classes
        checkpoint.safetensors    only until the run is finished

A folder without ``segmenter.json`` is not a finished run. Other folders hold masks (``segment``),
feature maps (``features``), scores (``evaluate``) or depth maps (``depth``), with the files below.
"""

DESCRIPTION_FILE = "segmenter.json"
WEIGHTS_FILE = "segmenter.safetensors"
SETTINGS_FILE = "settings.yaml"
HISTORY_FILE = "history.csv"
FACTS_FILE = "facts.json"
LOG_FOLDER = "log"
REPORT_FILE = "report.html"
PROBE_FILE = "linear_probe.safetensors"
BACKBONE_FOLDER = "backbone"
CHECKPOINT_FILE = "checkpoint.safetensors"

ANSWERS_FILE = "answers.json"
TAUGHT_FOLDER = "taught"

CLASSES_FILE = "classes.json"
"""Beside masks: their classes."""

IMAGES_FILE = "images.csv"
"""Beside masks: the share of each class in each image."""

FEATURES_FILE = "features.json"
"""Beside feature maps: what made them."""

SCORES_FILE = "evaluation.json"
SCORES_PAGE = "evaluation.html"

DEPTH_FILE = "depth.json"
"""Beside estimated depth maps: what made them and what their values mean."""
