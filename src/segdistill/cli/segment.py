"""``segdistill segment``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.distributed import distributed_options, run_distributed
from segdistill.cli.outcome import check_sources, tell_outcome
from segdistill.cli.parser import (
    CommandParser,
    common_options,
    compute_choice,
    compute_options,
    engine_options,
    flag,
    resolution_option,
    run_argument,
    upsampling_option,
)
from segdistill.images.finding import source_name


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "segment",
        "Write one mask for each image: same tree, same names, the image's own size, upright.",
        "segdistill segment runs/photos more_photos --overlay",
    )
    run_argument(command)
    command.add_argument(
        "sources",
        nargs="+",
        help="folders, files (videos, too) or quoted glob patterns; also URLs, such as"
        " s3://bucket/photos",
    )
    command.add_argument(
        "--out", type=str, help="folder or URL for the masks (default: masks/NAME)"
    )
    flag(
        command,
        "--overlay",
        "also write NAME.overlay.jpg: the colours over the image (GeoTIFFs: .tif, videos: .mp4)",
    )
    flag(command, "--scores", "also write NAME.scores.npy: similarity with each class, float16")
    flag(command, "--mirror", "average with the mirrored image: better, twice the time")
    upsampling_option(command)
    flag(command, "--crf", "refine with the fully connected CRF instead: several times the time")
    flag(command, "--strict", "stop at the first image that cannot be read")
    flag(command, "--overwrite", "replace masks that are there")
    flag(command, "--resume", "leave masks that are there, write those that are missing")
    resolution_option(command)
    command.add_argument(
        "--bands",
        type=str,
        help="of GeoTIFFs, the bands to be seen as red, green and blue, as in 4,3,2 (default: as"
        " in training, else those that files call so)",
    )
    flag(command, "--video", "take the images, in the order of their names, for frames of a film")
    command.add_argument(
        "--every", type=int, default=1, help="of films, segment one frame in so many"
    )
    command.add_argument(
        "--smooth",
        type=float,
        help="of films, the weight of earlier frames, so that labels are steady: from 0 (none) to"
        " below 1 (default: 0.7)",
    )
    engine_options(command)
    compute_options(command)
    distributed_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status: 1 if none of the images could be segmented.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    # Before the library is imported, which takes seconds: a wrong path is told at once.
    check_sources(options.sources)
    name = source_name(options.sources[0]) if len(options.sources) == 1 else "images"
    out = options.out or Path("masks") / name

    if (status := run_distributed("segment", arguments, options)) is not None:
        return status

    from segdistill.api import segment
    from segdistill.inference.folder import MaskOptions

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
    if status := tell_outcome("segment", "Masks", done):
        return status
    print(f"Classes: {done.folder}/classes.json")
    return 0
