"""Which option or setting a user may have meant by one that does not exist."""

from collections.abc import Sequence
from difflib import get_close_matches

LEAST_LIKENESS = 0.75
"""Likeness of a misspelled name, 0..1. Below it, words that only share letters are suggested."""
MOST = 3

OTHER_NAMES = {
    ("CHECKPOINT", "RUN", "backbone"): "checkpoint ckpt model model-path run-dir run-folder",
    ("IMAGES", "SOURCE", "images"): (
        "data-dir data-path image image-dir image-folder images-dir img img-dir imgs input"
        " input-dir inputs source src"
    ),
    ("backbone",): "arch architecture encoder network pretrained weights",
    ("classes",): "class-count clusters k n-classes n-clusters nc num-classes num-clusters",
    ("depth.folder",): "depth depth-dir depth-folder depth-maps",
    ("device",): "accelerator cpu cuda gpu mps",
    ("devices",): "gpus n-gpus ngpus num-gpus nproc nproc-per-node world-size",
    ("format", "out"): "to",
    ("format",): "ext fmt output-format type",
    ("out", "FOLDER"): (
        "dest destination o out out-dir out-file out-folder outdir outfile output output-dir"
        " output-file output-folder save save-dir save-path save-to target"
    ),
    ("overwrite",): "clobber exist-ok force replace yes",
    ("precision",): "amp bf16 dtype fp16 half",
    ("quiet",): "no-progress silent",
    ("resolution",): "image-size img-size imgsz input-size res short-side size",
    ("resume",): "continue restart",
    ("seed",): "rand-seed random-seed random-state",
    ("training.batch-size", "batch"): "batch batch-size batchsize bs",
    ("training.learning-rate",): "learning-rate lr",
    ("training.steps",): "epochs iterations iters max-steps n-steps num-steps steps",
    ("workers",): "jobs n-jobs n-workers num-workers threads",
}
"""Names that other programs use, by the options and (in capitals) arguments that mean the same
here, the best first."""

MEANT = {other: names for names, others in OTHER_NAMES.items() for other in others.split()}


def likely_names(name: str, known: Sequence[str], arguments: Sequence[str] = ()) -> list[str]:
    """Return the names that a user may have meant, mostly one or none.

    Args:
        name: as given, without dashes in front.
        known: names of options with their groups; those of settings may have underscores.
        arguments: what stands for the values of arguments, in capitals.

    Example:
        >>> likely_names("n-classes", ["classes", "head.channels"])
        ['classes']
        >>> likely_names("chanels", ["classes", "head.channels"])
        ['head.channels']
        >>> likely_names("fast", ["classes", "head.channels"])
        []
        >>> likely_names("images", ["classes"], ["IMAGES"])
        ['IMAGES']
    """
    usual = name.replace("_", "-")
    by_dashes = {each.replace("_", "-"): each for each in known}
    if name.upper() in arguments:
        return [name.upper()]
    if usual in MEANT:
        exists = by_dashes | {each: each for each in arguments}
        return [exists[each] for each in MEANT[usual] if each in exists][:1]
    # Settings may be given without their group: samples, not objective.samples.
    short = [each for each in known if each.rpartition(".")[2] == name]
    group = [each for each in known if each.startswith(f"{name}.")]
    if short or group:
        return (short or group)[:MOST]
    if name.startswith("no-"):  # the opposite of what it is like
        known = [each for each in known if each.startswith("no-")]
    full = {each.rpartition(".")[2]: each for each in known} | {each: each for each in known}
    return [full[each] for each in get_close_matches(name, full, n=1, cutoff=LEAST_LIKENESS)]
