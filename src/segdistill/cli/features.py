"""``segdistill features``."""

from collections.abc import Sequence

from segdistill.cli.outcome import check_sources, tell_outcome
from segdistill.cli.parser import (
    CommandParser,
    common_options,
    compute_choice,
    compute_options,
    engine_options,
    flag,
)
from segdistill.images.finding import source_name


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "features",
        "Write the feature map of each image for other programs: NAME.npy, float16, of shape"
        " (height, width, channels), and features.json. `fit` does not need them: it keeps its"
        " own.",
        "segdistill features photos --out features/photos",
    )
    command.add_argument(
        "sources",
        nargs="+",
        help="folders, files, quoted glob patterns, or URLs such as s3://bucket/photos",
    )
    command.add_argument(
        "--out", type=str, help="folder or URL for the maps (default: features/NAME)"
    )
    command.add_argument(
        "--run", type=str, help="run folder: write the codes of its head instead of features"
    )
    command.add_argument(
        "--resolution",
        type=int,
        help="shorter side at which the backbone sees images (default: what suits it, or as in"
        " training)",
    )
    flag(command, "--strict", "stop at the first image that cannot be read")
    flag(command, "--overwrite", "replace maps that are there")
    flag(command, "--resume", "leave maps that are there, write those that are missing")
    engine_options(command)
    compute_options(
        command, backbone="`segdistill backbones` lists them; with --run, where it lies now"
    )
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status: 1 if none of the images could be read.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    # Before the library is imported, which takes seconds: a wrong path is told at once.
    check_sources(options.sources)
    name = source_name(options.sources[0]) if len(options.sources) == 1 else "images"

    from segdistill.api import extract_features

    same = ("run", "resolution", "engine", "workers", "overwrite", "resume", "strict")
    done = extract_features(
        options.sources,
        options.out or f"features/{name}",
        **{each: options[each] for each in same},
        **compute_choice(options),
        progress=not options.quiet,
    )
    if status := tell_outcome("features", "Maps", done):
        return status
    print(f"About:   {done.folder}/features.json")
    return 0
