"""``segdistill features``."""

from collections.abc import Sequence

from segdistill.cli.outcome import check_sources, report_outcome
from segdistill.cli.parser import (
    RUN,
    CommandParser,
    compute_choice,
    compute_options,
    engine_options,
    flag,
    parse_options,
)
from segdistill.images.finding import source_name


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "features",
        "Write the feature map of each image for other programs: NAME.npy, float16, of shape"
        " (height, width, channels), and features.json. `fit` does not need them: it has its own"
        " feature store.",
        "segdistill features photos --out features/photos",
    )
    command.add_argument(
        "sources",
        nargs="+",
        metavar="IMAGES",
        help="folders, files, quoted glob patterns, or URLs such as s3://bucket/photos",
    )
    command.add_argument(
        "--out",
        type=str,
        metavar="PATH",
        help="folder or URL for the feature maps (default: features/NAME)",
    )
    command.add_argument(
        "--run",
        type=str,
        metavar=RUN,
        help="run folder: write the codes of its head instead (default: features of the backbone)",
    )
    command.add_argument(
        "--backbone",
        type=str,
        metavar="NAME",
        help="backbone; `segdistill backbones` lists them (default: efficientnet-lite0, with --run"
        " that of the run)",
    )
    command.add_argument(
        "--resolution",
        type=int,
        help="shorter side, in pixels, at which the backbone sees images (default: that of the"
        " backbone, with --run as in training)",
    )
    flag(command, "--strict", "stop at the first image that cannot be read")
    flag(command, "--overwrite", "replace existing feature maps")
    flag(command, "--resume", "keep existing feature maps and write the missing ones")
    engine_options(command)
    compute_options(command)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status: 1 if none of the images could be read.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
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
    if status := report_outcome("features", "Maps", done):
        return status
    print(f"About:   {done.folder}/features.json")
    return 0
