"""``segdistill cache``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, common_options, flag


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "cache",
        "Show the features that are kept between fits, or clear them.",
        "segdistill cache --clear",
    )
    flag(command, "--clear", "remove all kept features; they are worked out again when needed")
    command.add_argument("--folder", type=str, help="the store, if not at its usual place")
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: the store is not a folder.
    """
    options = parser().parse_args(list(arguments))

    from segdistill.features.store import GIGABYTE, FeatureStore

    store = FeatureStore(Path(options.folder) if options.folder else None, max_bytes=0)
    contents = store.contents()
    print(f"Folder: {store.folder}")
    for content in contents:
        print(f"  {content.backbone}: {content.maps} maps, {content.size / GIGABYTE:.2f} GB")
    if not contents:
        print("  nothing is kept")
    if options.clear:
        print(f"Cleared: {store.clear() / GIGABYTE:.2f} GB")
