"""``segdistill evaluate``."""

from collections.abc import Sequence

from segdistill.cli.parser import CommandParser, common_options, flag
from segdistill.config.settings import DeviceName, PrecisionName


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "evaluate",
        "Score a run against labels: Hungarian matching over one confusion matrix, full size.",
        "segdistill evaluate runs/photos --images val/imgs --labels val/labels",
    )
    command.add_argument("run", help="run folder that `segdistill fit` wrote")
    command.add_argument("--images", required=True, type=str, help="folder of images")
    command.add_argument(
        "--labels",
        required=True,
        type=str,
        help="folder of class-index PNGs of the same names; 255 means 'not labelled'",
    )
    flag(command, "--mirror", "average with the mirrored image: better, twice the time")
    command.add_argument(
        "--resolution",
        type=int,
        help="shorter side at which the backbone sees images (default: as in training)",
    )
    command.add_argument("--backbone", type=str, help="where the backbone lies now, if it moved")
    command.add_argument("--device", type=DeviceName, default="auto", help="where to compute")
    command.add_argument(
        "--precision", type=PrecisionName, default="auto", help="of matrix products"
    )
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))

    from segdistill.api import evaluate

    result = evaluate(
        options.run,
        options.images,
        options.labels,
        mirror=options.mirror,
        resolution=options.resolution,
        backbone=options.backbone,
        device=options.device,
        precision=options.precision,
        progress=not options.quiet,
    )
    scores = result.scores
    print(f"Images:   {result.images}")
    print(f"Accuracy: {100 * scores.accuracy:.1f} %")
    print(f"mIoU:     {100 * scores.mean_iou:.1f} %")
    print("IoU of each label class, and the cluster matched to it:")
    cluster_of = {label: cluster for cluster, label in enumerate(scores.match) if label >= 0}
    for label, iou in enumerate(scores.iou):
        matched = f"class {cluster_of[label]}" if label in cluster_of else "none"
        print(f"  {label:>3}  {100 * iou:5.1f} %  {matched}")
