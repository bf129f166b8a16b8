"""``segdistill export-model``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from segdistill.cli.parser import CommandParser, common_options, flag, run_argument
from segdistill.images.finding import check_exists

if TYPE_CHECKING:
    from segdistill.deployment.writing import WrittenGraph


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "export-model",
        "Write a run as one graph from images to class scores, for programs without segdistill,"
        " and check it against the run.",
        "segdistill export-model runs/photos photos.onnx",
    )
    run_argument(command)
    command.add_argument("path", help="file to write, ending with .onnx or .pt2 (torch.export)")
    command.add_argument(
        "--format",
        type=Literal["onnx", "torch"],
        help="of the file (default: as its name ends)",
    )
    flag(command, "--masks", "also give masks: the best class of each pixel, enlarged bilinearly")
    flag(command, "--int8", "8-bit weights (ONNX): a third of the size, and what it loses is told")
    flag(
        command,
        "--fixed-ranges",
        "with --int8: measure the range of what is between layers now, as accelerators want it,"
        " instead of in each image",
    )
    command.add_argument(
        "--images",
        nargs="+",
        type=str,
        help="with --int8: to tell its loss and measure ranges (default: those of the run)",
    )
    command.add_argument(
        "--labels", type=str, help="with --int8: folder of label files of --images, for mIoU"
    )
    command.add_argument("--backbone", type=str, help="where the backbone lies now, if it moved")
    flag(command, "--overwrite", "replace the file")
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    # Before the library is imported, which takes seconds: a wrong path is told at once.
    for source in options.images or []:
        check_exists(source)

    from segdistill.api import export_model

    written = export_model(
        options.run,
        options.path,
        format_name=options.format,
        masks=options.masks,
        int8=options.int8,
        fixed_ranges=options.fixed_ranges,
        images=options.images,
        labels=options.labels,
        backbone=options.backbone,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    print(f"Model:   {written.path} ({written.bytes / 1e6:.1f} MB)")
    when = "before 8 bits, " if options.int8 else ""
    print(f"Checked: {when}class scores differ from the run's by {written.difference:.1g} at most")
    if options.int8:
        print(f"8 bits:  {loss_text(written)}")


def loss_text(written: "WrittenGraph") -> str:
    """Return in words what 8-bit weights lose.

    Args:
        written: the graph.
    """
    loss = written.loss
    if loss is None:
        return "what they lose was not measured; give --images"
    if loss.mean_iou is not None:
        before, after = (100 * each for each in loss.mean_iou)
        return f"mIoU {before:.1f} % before, {after:.1f} % after, on {loss.images} images"
    return f"{100 * (loss.changed or 0):.1f} % of pixels get another class, on {loss.images} images"
