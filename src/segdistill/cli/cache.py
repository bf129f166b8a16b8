"""``segdistill cache``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, flag, parse_options


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "cache",
        "Show or clear the feature store, which keeps features between fits.",
        "segdistill cache --clear",
    )
    flag(command, "--clear", "delete all stored features; they are computed again when needed")
    command.add_argument(
        "--folder",
        type=str,
        metavar="FOLDER",
        help="folder of the store (default: SEGDISTILL_CACHE, else segdistill in the user's cache"
        " folder)",
    )
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: the store is not a folder.
    """
    options = parse_options(parser(), arguments)

    from segdistill.features.store import GIGABYTE, FeatureStore

    store = FeatureStore(Path(options.folder) if options.folder else None, max_bytes=0)
    contents = store.contents()
    print(f"Folder: {store.folder}")
    for content in contents:
        print(f"  {content.backbone}: {content.maps} maps, {content.size / GIGABYTE:.2f} GB")
    if not contents:
        print("  no features are stored")
    if options.clear:
        print(f"Cleared: {store.clear() / GIGABYTE:.2f} GB")
