"""``segdistill backbones``."""

from collections.abc import Sequence

from segdistill.cli.parser import CommandParser, common_options


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "backbones",
        "List the backbones that have a short name; any hub id, local folder in the hub's layout"
        " or DINO .pth file can be given to --backbone as well.",
        "segdistill backbones",
    )
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser().parse_args(list(arguments))

    from segdistill.backbones import backbone_entries

    entries = backbone_entries()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:<{width}}  {entry.summary} ({entry.source})")
