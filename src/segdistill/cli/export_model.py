"""``segdistill export-model``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from segdistill.cli.parser import CommandParser, backbone_option, flag, parse_options, run_argument
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
    command.add_argument(
        "path", metavar="FILE", help="file to write, ending with .onnx or .pt2 (torch.export)"
    )
    command.add_argument(
        "--format",
        type=Literal["onnx", "torch"],
        help="format of the file (default: by its ending)",
    )
    flag(command, "--masks", "also output masks: the best class per pixel, upsampled bilinearly")
    flag(command, "--int8", "8-bit weights (ONNX): a third of the size; the loss is reported")
    flag(
        command,
        "--fixed-ranges",
        "with --int8: measure activation ranges now, as accelerators require, instead of per image",
    )
    command.add_argument(
        "--images",
        nargs="+",
        type=str,
        metavar="PATH",
        help="with --int8: images to measure the loss and the ranges on (default: those of the"
        " run)",
    )
    command.add_argument(
        "--labels",
        type=str,
        metavar="FOLDER",
        help="with --int8: label files of --images, to measure mIoU (default: the share of changed"
        " pixels is measured)",
    )
    backbone_option(command)
    flag(command, "--overwrite", "replace an existing file")
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
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
    when = "before quantisation, " if options.int8 else ""
    print(f"Checked: {when}class scores differ from the run's by at most {written.difference:.1g}")
    if options.int8:
        print(f"8 bits:  {loss_text(written)}")


def loss_text(written: "WrittenGraph") -> str:
    """Return the accuracy loss of 8-bit weights in words.

    Args:
        written: the graph.
    """
    loss = written.loss
    if loss is None:
        return "the accuracy loss was not measured; give --images"
    if loss.mean_iou is not None:
        before, after = (100 * each for each in loss.mean_iou)
        return f"mIoU {before:.1f} % before, {after:.1f} % after, on {loss.images} images"
    return f"{100 * (loss.changed or 0):.1f} % of pixels change class, on {loss.images} images"
