"""``segdistill evaluate``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from segdistill.cli.parser import (
    CommandParser,
    common_options,
    compute_options,
    flag,
    labelled_options,
    labelled_set,
)


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "evaluate",
        "Score a run against labels: Hungarian matching over one confusion matrix.",
        "segdistill evaluate runs/photos --images val/imgs --labels val/labels",
    )
    command.add_argument("run", help="run folder that `segdistill fit` wrote")
    labelled_options(command, split="val")
    command.add_argument(
        "--protocol",
        type=Literal["full", "stego-2022"],
        default="full",
        help="full: whole images at full size; stego-2022: as in STEGO's released code (middle"
        " 320 pixels, nearest-neighbour resizing, mirror averaging, CRF)",
    )
    flag(command, "--mirror", "average with the mirrored image: better, twice the time")
    flag(command, "--crf", "refine with the fully connected CRF: sharper, slower")
    command.add_argument(
        "--resolution",
        type=int,
        help="shorter side at which the backbone sees images (default: as in training)",
    )
    command.add_argument(
        "--out", type=str, help="folder for evaluation.json and the confusion matrices as CSV"
    )
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))

    from segdistill.api import Evaluation, evaluate_set, write_evaluation
    from segdistill.evaluation.confusion import Scores
    from segdistill.evaluation.output import score_table
    from segdistill.inference.protocol import STEGO_2022, Protocol

    base = STEGO_2022 if options.protocol == "stego-2022" else Protocol()
    protocol = replace(
        base,
        resolution=options.resolution or base.resolution,
        mirror=options.mirror or base.mirror,
        crf=options.crf or base.crf,
    )
    result: Evaluation = evaluate_set(
        options.run,
        labelled_set(options),
        protocol=protocol,
        backbone=options.backbone,
        device=options.device,
        precision=options.precision,
        progress=not options.quiet,
    )

    def show(title: str, scores: Scores) -> None:
        print(f"{title}")
        print(f"Accuracy: {100 * scores.accuracy:.1f} %")
        print(f"mIoU:     {100 * scores.mean_iou:.1f} %")
        print("IoU of each label class, and what is matched to it:")
        print(score_table(scores, result.names))

    print(f"Images:   {result.images}")
    show("Clusters, matched to label classes:", result.scores)
    if result.linear is not None:
        show("Linear probe:", result.linear)
    if options.out:
        write_evaluation(result, Path(options.out))
        print(f"Written:  {options.out}")
