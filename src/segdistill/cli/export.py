"""``segdistill export``."""

from collections.abc import Sequence
from typing import get_args

from segdistill.cli.parser import CommandParser, flag, parse_options, run_argument
from segdistill.errors import UserError
from segdistill.export.options import FormatName, RegionsName
from segdistill.images.finding import check_exists


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "export",
        "Convert the masks that `segdistill segment` wrote to the format of another program.",
        "segdistill export runs/photos masks/photos --format coco --images photos",
    )
    run_argument(command)
    command.add_argument(
        "masks", metavar="MASKS", help="folder of masks that `segdistill segment` wrote"
    )
    command.add_argument(
        "--format",
        type=FormatName,
        help="format to write (required)",
    )
    command.add_argument(
        "--out",
        type=str,
        metavar="PATH",
        help="file or folder to write (default: exports/NAME-FORMAT)",
    )
    command.add_argument(
        "--images",
        nargs="+",
        type=str,
        metavar="PATH",
        help="images that were segmented: their file names are used, and yolo and voc link to them"
        " (default: names of the masks, no links)",
    )
    command.add_argument(
        "--regions",
        type=RegionsName,
        help="what counts as one region: connected pixels of a class, or a whole class (default:"
        " connected; for label-studio: class)",
    )
    flag(command, "--polygons", "write polygons instead of run lengths (coco)")
    command.add_argument(
        "--simplify",
        type=float,
        default=1.0,
        metavar="PIXELS",
        help="tolerance by which polygons lose corners; 0 follows the pixels' edges (coco with"
        " --polygons, yolo, geojson)",
    )
    command.add_argument(
        "--min-region",
        type=float,
        default=0.0005,
        metavar="SHARE",
        help="smallest region, as a share of the image's area: smaller ones join a neighbour; 0"
        " keeps all (coco, yolo, label-studio, geojson)",
    )
    command.add_argument(
        "--min-area", type=int, default=1, help="leave out connected regions of fewer pixels"
    )
    command.add_argument(
        "--split",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the images in the validation set, chosen by name; images in folders named"
        " train and val stay there; 0 makes no validation set (yolo)",
    )
    command.add_argument(
        "--image-url-prefix",
        type=str,
        metavar="URL",
        help="prefix of image names in links (label-studio; default: /data/local-files/?d=)",
    )
    flag(command, "--copy-images", "copy images instead of linking to them (yolo, voc)")
    flag(command, "--strict", "stop at the first mask that cannot be exported")
    flag(command, "--overwrite", "replace existing files")
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    if options.format is None:
        raise UserError(f"--format is missing: one of {', '.join(get_args(FormatName))}")
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
    for source in options.images or []:
        check_exists(source)

    from segdistill.api import export_masks
    from segdistill.export.options import ExportOptions

    names = ExportOptions.__dataclass_fields__
    done = export_masks(
        options.run,
        options.masks,
        options.format,
        options.out,
        images=options.images,
        options=ExportOptions(**{name: options[name] for name in names}),
        progress=not options.quiet,
    )
    for skipped in done.skipped:
        print(f"Skipped: {skipped.reason}")
    print(f"Export:  {done.written} masks in {done.path}")
    if done.small_regions:
        print(
            f"Small:   {done.small_regions:,} regions smaller than {options.min_region:.2%} of"
            " their image joined a neighbour or were left out,"
            f" {done.small_share:.2%} of the pixels"
        )
    if done.sidecar is not None:
        print(f"Also:    {done.sidecar}")
    return 0
