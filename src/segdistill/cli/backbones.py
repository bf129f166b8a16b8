"""``segdistill backbones``."""

from collections.abc import Sequence

from segdistill.cli.parser import CommandParser, parse_options


def parser() -> CommandParser:
    """Return the parser of the command."""
    return CommandParser(
        "backbones",
        "List the backbones that have a short name. --backbone also accepts any hub id, a local"
        " folder in the hub's layout, or a DINO .pth file.",
        "segdistill backbones",
    )


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    parse_options(parser(), arguments)

    from segdistill.backbones import backbone_entries

    entries = backbone_entries()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:<{width}}  {entry.summary} ({entry.source})")
