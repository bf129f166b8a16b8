"""``segdistill fit``."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]

from segdistill.cli.parser import CommandParser, common_options, flag
from segdistill.config.settings import FitSettings


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "fit",
        "Learn to segment from a folder of images, without labels.",
        "segdistill fit photos --classes 8",
    )
    command.add_argument("images", help="folder (nested is fine), or quoted glob pattern")
    command.add_argument("--config", action=ActionConfigFile, help="YAML file of settings")
    command.add_argument("--out", type=str, help="run folder to write (default: runs/NAME)")
    flag(command, "--overwrite", "replace the run that is there")
    flag(command, "--resume", "go on with the run that was broken off")
    flag(command, "--strict", "stop at the first image that cannot be read")
    common_options(command)
    command.add_class_arguments(FitSettings, as_group=True, skip={"strict"})
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    settings = settings_from(options).validated()
    out = Path(options.out or Path("runs") / Path(options.images).absolute().name)

    from segdistill.api import fit

    fit(
        options.images,
        settings=settings,
        out=out,
        overwrite=options.overwrite,
        resume=options.resume,
        progress=not options.quiet,
    )
    print(f"Run:    {out}")
    print(f"Report: {out / 'report.html'}")
    print(f"Next:   segdistill segment {out} IMAGES")


def settings_from(options: Namespace) -> FitSettings:
    """Return the settings among parsed options.

    Args:
        options: as the parser gives them, nested settings as nested name spaces.
    """

    def build(settings_class: Any, values: Namespace) -> Any:
        given = {}
        for field in fields(settings_class):
            value = values[field.name]
            nested = isinstance(value, Namespace)
            given[field.name] = build(field.default_factory, value) if nested else value
        return settings_class(**given)

    settings: FitSettings = build(FitSettings, options)
    return settings
