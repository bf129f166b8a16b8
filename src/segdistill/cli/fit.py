"""``segdistill fit``."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]

from segdistill.cli.parser import CommandParser, common_options, flag
from segdistill.config.presets import preset_names, preset_path
from segdistill.config.settings import FitSettings
from segdistill.errors import UserError

if TYPE_CHECKING:
    from segdistill.images.folder import ImageFile


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "fit",
        "Learn to segment from a folder of images, without labels.",
        "segdistill fit photos --classes 8",
    )
    command.add_argument(
        "images", nargs="?", help="folder (nested is fine), or quoted glob pattern"
    )
    command.add_argument(
        "--preset", type=str, help=f"settings of a paper: {', '.join(preset_names())}"
    )
    command.add_argument(
        "--data-root", type=str, help="folder in which the benchmark of --dataset lies"
    )
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
    options = parser().parse_args(with_preset_file(arguments))
    settings = settings_from(options).validated()
    name = options.preset or options.images or settings.dataset or ""
    out = Path(options.out or Path("runs") / (Path(name).resolve().name or "images"))

    from segdistill.api import fit

    fit(
        training_images(options, settings),
        settings=settings,
        out=out,
        overwrite=options.overwrite,
        resume=options.resume,
        progress=not options.quiet,
    )
    print(f"Run:    {out}")
    print(f"Report: {out / 'report.html'}")
    print(f"Next:   segdistill segment {out} IMAGES")


def with_preset_file(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the YAML file of ``--preset`` read before all others.

    What is given on the command line, or in ``--config``, thus counts over the preset.

    Raises:
        UserError: there is no such preset.
    """
    given = list(arguments)
    for index, argument in enumerate(given):
        if argument == "--preset" and index + 1 < len(given):
            return ["--config", str(preset_path(given[index + 1])), *given]
        if argument.startswith("--preset="):
            return ["--config", str(preset_path(argument.removeprefix("--preset="))), *given]
    return given


def training_images(options: Namespace, settings: FitSettings) -> "str | list[ImageFile]":
    """Return the folder given, or the training images of a benchmark.

    Raises:
        UserError: neither is given, or both are, or files are missing.
    """
    if options.data_root is None:
        if options.images is None:
            raise UserError("images is missing: give a folder, or --dataset and --data-root")
        return str(options.images)
    if options.images is not None:
        raise UserError(f"{options.images} and --data-root: give one or the other")
    if settings.dataset is None:
        raise UserError("--data-root needs --dataset (`segdistill datasets` lists them)")

    from segdistill.images.datasets import get_dataset

    dataset = get_dataset(settings.dataset)
    return [item.image for item in dataset.items(Path(options.data_root), "train")]


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
