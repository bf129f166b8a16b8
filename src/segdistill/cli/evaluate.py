"""``segdistill evaluate``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import Namespace

from segdistill.cli.distributed import distributed_options, run_distributed
from segdistill.cli.parser import (
    CommandParser,
    backbone_option,
    compute_choice,
    compute_options,
    flag,
    labelled_options,
    labelled_set,
    parse_options,
    resolution_option,
    run_argument,
    upsampling_option,
)
from segdistill.processes import started_rank

if TYPE_CHECKING:
    from segdistill.api import Evaluation, LabelledSet


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "evaluate",
        "Score a run against labels: Hungarian matching over one confusion matrix.",
        "segdistill evaluate runs/photos --images val/imgs --labels val/labels",
    )
    run_argument(command)
    labelled_options(command, split="val")
    command.add_argument(
        "--out",
        type=str,
        metavar="FOLDER",
        help="folder for evaluation.html, evaluation.json and the confusion matrices as CSV and"
        " PNG (default: scores are only printed)",
    )
    command.add_argument(
        "--protocol",
        type=Literal["full", "stego-2022"],
        default="full",
        help="full: whole images at full size; stego-2022: as in STEGO's released code (centre"
        " 320 pixels, nearest-neighbour resizing, mirror averaging, CRF)",
    )
    flag(command, "--mirror", "average with the mirrored image: more accurate, twice the time")
    upsampling_option(command)
    flag(command, "--crf", "also score masks refined by the fully connected CRF: sharper, slower")
    resolution_option(command)
    flag(
        command,
        "--curves",
        "also measure how well features, codes and the CRF's kernel predict that two pixels have"
        " the same label: average precision, and precision-recall curves on the page of --out",
    )
    flag(command, "--overwrite", "replace an earlier evaluation in --out")
    flag(command, "--strict", "stop at the first image or label file that cannot be read")
    backbone_option(command)
    compute_options(command)
    distributed_options(command)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)

    if (status := run_distributed("evaluate", arguments, options)) is not None:
        return status

    from segdistill.api import evaluate_set, write_evaluation
    from segdistill.evaluation.output import check_output_folder, scores_text
    from segdistill.inference.protocol import STEGO_2022, Protocol

    base = STEGO_2022 if options.protocol == "stego-2022" else Protocol()
    protocol = replace(
        base,
        resolution=base.resolution if options.resolution is None else options.resolution,
        mirror=options.mirror or base.mirror,
        crf=options.crf or base.crf,
        upsampling=options.upsampling if base.upsampling == "guided" else base.upsampling,
    )
    out = Path(options.out) if options.out else None
    if out is not None:
        check_output_folder(out, overwrite=options.overwrite)
    labelled = labelled_set(options)
    result = evaluate_set(
        options.run,
        labelled,
        protocol=protocol,
        **compute_choice(options),
        strict=options.strict,
        progress=not options.quiet,
    )
    if started_rank():  # rank 0 reports and writes for all
        return 0
    print(f"Images:   {result.images}{_skipped_note(len(result.skipped))}")
    print(scores_text(result))
    if options.curves:
        result = with_curves(result, options, labelled)
    if out is not None:
        write_evaluation(result, out, overwrite=options.overwrite)
        print(f"Written:  {out / 'evaluation.html'}, with JSON, CSV and PNG next to it")
    elif not options.quiet:
        print("Nothing was written; --out FOLDER writes a page, JSON, CSV and PNG.")
    return 0


def with_curves(result: "Evaluation", options: Namespace, labelled: "LabelledSet") -> "Evaluation":
    """Measure correspondences on the images that were scored; print and return them.

    Args:
        result: the scores.
        options: as parsed.
        labelled: images with labels.
    """
    from segdistill.api import correspondence_curves
    from segdistill.model.segmenter import Segmenter

    skipped = {each.file.path for each in result.skipped}
    pairs = [pair for pair in labelled.pairs if pair[0].path not in skipped]
    curves = correspondence_curves(
        Segmenter.load(options.run, **compute_choice(options)),
        replace(labelled, pairs=pairs),
        progress=not options.quiet,
    )
    print("Average precision of correspondences (chance level in brackets):")
    for curve in curves:
        precision, chance = 100 * curve.average_precision, 100 * curve.positive_share
        print(f"  {curve.name:24} {precision:5.1f} % ({chance:.1f} %)")
    return replace(result, curves=curves)


def _skipped_note(count: int) -> str:
    return f" ({count} skipped)" if count else ""
