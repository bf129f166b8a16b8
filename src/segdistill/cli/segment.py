"""``segdistill segment``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.distributed import distributed_options, run_distributed
from segdistill.cli.outcome import check_sources, report_outcome
from segdistill.cli.parser import (
    CommandParser,
    backbone_option,
    compute_choice,
    compute_options,
    engine_options,
    flag,
    parse_options,
    resolution_option,
    run_argument,
    upsampling_option,
)
from segdistill.images.finding import source_name


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "segment",
        "Write one mask per image: same folder tree, same names, the image's own size, upright.",
        "segdistill segment runs/photos more_photos --overlay",
    )
    run_argument(command)
    command.add_argument(
        "sources",
        nargs="+",
        metavar="IMAGES",
        help="folders, files (also videos), quoted glob patterns, or URLs such as"
        " s3://bucket/photos",
    )
    command.add_argument(
        "--out",
        type=str,
        metavar="PATH",
        help="folder or URL for the masks (default: masks/NAME)",
    )
    flag(
        command,
        "--overlay",
        "also write NAME.overlay.jpg: the classes' colours over the image (GeoTIFFs: .tif, videos:"
        " .mp4)",
    )
    flag(command, "--scores", "also write NAME.scores.npy: similarity with each class, float16")
    flag(command, "--mirror", "average with the mirrored image: more accurate, twice the time")
    upsampling_option(command)
    command.add_argument(
        "--min-region",
        type=float,
        default=0.00005,
        metavar="SHARE",
        help="smallest region kept, as a share of the image's area: smaller specks and holes join"
        " the neighbour they border on most; 0 keeps all (large GeoTIFFs always keep all)",
    )
    flag(command, "--crf", "refine with the fully connected CRF instead: several times the time")
    resolution_option(command)
    flag(command, "--overwrite", "replace existing masks")
    flag(command, "--resume", "keep existing masks and write the missing ones")
    flag(command, "--strict", "stop at the first image that cannot be read")
    command.section("GeoTIFFs and videos").add_argument(
        "--bands",
        type=str,
        help="bands of GeoTIFFs to use as red, green and blue, as in 4,3,2 (default: as in"
        " training, else those that the files label so)",
    )
    videos = command.section("GeoTIFFs and videos")
    flag(videos, "--video", "treat the images, in the order of their names, as frames of a video")
    videos.add_argument(
        "--every", type=int, default=1, help="segment only every N-th frame of videos"
    )
    videos.add_argument(
        "--smooth",
        type=float,
        help="weight of earlier frames of a video, which makes labels steady: from 0 (none) to"
        " below 1 (default: 0.7)",
    )
    backbone_option(command)
    engine_options(command)
    compute_options(command)
    distributed_options(command)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status: 1 if none of the images could be segmented.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
    check_sources(options.sources)
    name = source_name(options.sources[0]) if len(options.sources) == 1 else "images"
    out = options.out or Path("masks") / name

    if (status := run_distributed("segment", arguments, options)) is not None:
        return status

    from segdistill.api import segment
    from segdistill.inference.options import MaskOptions

    names = MaskOptions.__dataclass_fields__
    done = segment(
        options.run,
        options.sources,
        out,
        options=MaskOptions(**{name: options[name] for name in names}),
        engine=options.engine,
        workers=options.workers,
        **compute_choice(options),
        progress=not options.quiet,
    )
    if status := report_outcome("segment", "Masks", done):
        return status
    print(f"Classes: {done.folder}/classes.json")
    return 0
