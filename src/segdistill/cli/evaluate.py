"""``segdistill evaluate`` and ``segdistill probe``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segdistill.cli.options import Folder, Labelled, Loading, Run
from segdistill.cli.outcome import command_line
from segdistill.cli.parser import OPTIONS
from segdistill.config.settings import Resolution, UpsamplingName
from segdistill.processes import started_rank

if TYPE_CHECKING:
    from segdistill import Evaluation, LabelledSet

EVALUATE_SECTIONS = {
    OPTIONS: ("out", "overwrite", "device"),
    "Labels": ("images", "labels", "label_map", "dataset", "data_root", "split"),
    "Protocol": ("protocol", "mirror", "crf"),
    "Scores (advanced)": ("upsampling", "resolution", "curves"),
    "Files and backbone (advanced)": ("strict", "backbone"),
    "Compute (advanced)": ("precision", "devices", "nodes"),
}


def evaluate(
    run: Run,
    *,
    labelled: Labelled,
    split: str = "val",
    out: Folder | None = None,
    protocol: Literal["full", "stego-2022"] = "full",
    mirror: bool = False,
    upsampling: UpsamplingName = "guided",
    crf: bool = False,
    resolution: Resolution | None = None,
    curves: bool = False,
    overwrite: bool = False,
    strict: bool = False,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Score a run against labels: Hungarian matching over one confusion matrix.

    Args:
        split: split of --dataset
        out: folder for evaluation.html, evaluation.json and the confusion matrices as CSV and PNG
            (default: scores are only printed); other files in the folder are kept
        protocol: full: whole images at full size; stego-2022: as in STEGO's released code (centre
            320 pixels, nearest-neighbour resizing, mirror averaging, CRF)
        mirror: average with the mirrored image: more accurate, but takes twice as long
        upsampling: how scores are upsampled to pixels: guided follows the image's edges
        crf: also score masks refined by the fully connected CRF: sharper, but slower
        resolution: shorter side, in pixels, at which the backbone sees images (default: as in
            training)
        curves: also measure how well features, codes and the CRF's kernel predict that two pixels
            have the same label: average precision, and precision-recall curves on the page of --out
        overwrite: replace an earlier evaluation in --out
        strict: stop at the first image or label file that cannot be read

    Example:
        segdistill evaluate runs/photos --images val/imgs --labels val/labels
    """
    from segdistill import evaluate_set, write_evaluation
    from segdistill.evaluation.output import check_output_folder, scores_text
    from segdistill.evaluation.protocol import STEGO_2022, Protocol

    base = STEGO_2022 if protocol == "stego-2022" else Protocol()
    if out is not None:
        check_output_folder(Path(out), overwrite=overwrite)
    images = labelled.load(split, progress=not quiet)
    result = evaluate_set(
        run,
        images,
        protocol=replace(
            base,
            resolution=base.resolution if resolution is None else resolution,
            mirror=mirror or base.mirror,
            crf=crf or base.crf,
            upsampling=upsampling if base.upsampling == "guided" else base.upsampling,
        ),
        **vars(loading),
        strict=strict,
        progress=not quiet,
    )
    if started_rank():  # rank 0 reports and writes for all
        return
    skipped = f" ({len(result.skipped)} skipped)" if result.skipped else ""
    print(f"Images:   {result.images}{skipped}")
    print(scores_text(result))
    if curves:
        result = with_curves(result, run, images, loading, quiet=quiet)
    if out is not None:
        write_evaluation(result, Path(out), overwrite=overwrite)
        print(f"Written:  {Path(out) / 'evaluation.html'}, with JSON, CSV and PNG next to it")
    elif not quiet:
        print("Nothing was saved; --out FOLDER saves a page, JSON, CSV and PNG.")


def with_curves(
    result: "Evaluation", run: str, labelled: "LabelledSet", loading: Loading, *, quiet: bool
) -> "Evaluation":
    """Measure correspondences on the images that were scored; print and return them."""
    from segdistill import correspondence_curves
    from segdistill.model.segmenter import Segmenter

    skipped = {each.file.path for each in result.skipped}
    pairs = [pair for pair in labelled.pairs if pair[0].path not in skipped]
    curves = correspondence_curves(
        Segmenter.load(run, **vars(loading)), replace(labelled, pairs=pairs), progress=not quiet
    )
    print("Average precision of correspondences (chance level in brackets):")
    for curve in curves:
        precision, chance = curve.average_precision, curve.positive_share
        print(f"  {curve.name:24} {precision:6.1%} ({chance:.1%})")
    return replace(result, curves=curves)


def probe(
    run: Run,
    *,
    labelled: Labelled,
    split: str = "train",
    seed: int = 0,
    loading: Loading,
    quiet: bool = False,
) -> None:
    """Train a linear probe on a run's codes, with labels, to measure what the codes encode.

    `segdistill evaluate` then scores it in addition to the clusters. Masks never depend on it.

    Args:
        split: split of --dataset
        seed: random seed

    Example:
        segdistill probe runs/photos --images train/imgs --labels train/labels
    """
    import segdistill

    images = labelled.load(split, progress=not quiet)
    trained = segdistill.probe(run, images, seed=seed, **vars(loading), progress=not quiet)
    print(f"Probe: {trained.occurring} label classes, saved in {run}")
    print(f"Next:  {command_line('evaluate', run, '--images', 'IMAGES', '--labels', 'LABELS')}")
