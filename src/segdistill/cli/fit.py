"""``segdistill fit``."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]

from segdistill.cli.distributed import distributed_options, run_distributed
from segdistill.cli.parser import OPTIONS, CommandParser, command_line, flag, parse_options
from segdistill.cli.settings_file import check_settings_file, values_of
from segdistill.config.presets import preset_names, preset_path
from segdistill.config.settings import FitSettings
from segdistill.errors import UserError
from segdistill.images.finding import find_images, source_name

if TYPE_CHECKING:
    from segdistill.api import LabelledSet
    from segdistill.images.finding import ImageFile


SECTIONS = (
    (
        OPTIONS,
        (
            *("out", "classes", "backbone", "resolution", "depth.folder", "seed", "device"),
            *("config", "preset", "resume", "overwrite", "quiet", "help"),
        ),
    ),
    ("Benchmarks and settings files", ("dataset", "data_root", "print_config")),
    (
        "Images (advanced)",
        (
            *("strict", "bands", "segment_resolution", "resampling", "square", "crops"),
            *("crop_ratio", "labels", "saliency"),
        ),
    ),
    ("Method and clusters (advanced)", ("method", "components", "clustering", "extra_clusters")),
    ("Segmentation head (advanced)", ("head.*",)),
    ("Correspondence loss (advanced)", ("objective.*",)),
    ("Depth guidance (advanced)", ("depth.*",)),
    ("Training loop (advanced)", ("training.*",)),
    ("Feature store (advanced)", ("cache.*",)),
    ("Precision and processes (advanced)", ("precision", "devices", "nodes")),
)
"""The help of ``fit``, which has many more options than the other commands."""


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "fit",
        "Learn to segment from a folder of images, without labels.",
        "segdistill fit photos --classes 8",
    )
    command.add_argument(
        "images",
        nargs="?",
        metavar="IMAGES",
        help="folder, searched with its sub-folders, or quoted glob pattern",
    )
    command.add_argument(
        "--out", type=str, metavar="FOLDER", help="run folder to write (default: runs/NAME)"
    )
    command.add_argument(
        "--config",
        action=ActionConfigFile,
        metavar="FILE",
        help="YAML file of settings, such as settings.yaml of a run; the command line overrides it"
        " (default: none)",
    )
    command.add_argument(
        "--preset",
        type=str,
        metavar="NAME",
        help=f"settings of a paper (default: none): {', '.join(preset_names())}",
    )
    flag(command, "--resume", "resume an interrupted run")
    flag(command, "--overwrite", "replace an existing run")
    flag(command, "--strict", "stop at the first image that cannot be read")
    command.add_argument(
        "--data-root",
        type=str,
        metavar="FOLDER",
        help="folder that holds the files of --dataset (default: IMAGES are used)",
    )
    distributed_options(command)
    command.add_class_arguments(FitSettings, as_group=True, skip={"strict"})
    command.describe("print_config", "print all settings as YAML and exit", metavar="")
    for group in ("head", "objective", "depth", "training", "cache"):
        command.describe(group, "YAML file with the settings below (default: none)", "FILE")
    command.arrange(SECTIONS)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    for path in values_of("--config", arguments):
        check_settings_file(path, parser(), settings_from)
    options = parse_options(parser(), with_preset_file(arguments))
    settings = settings_from(options).validated()
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
    images = training_images(options, settings)
    source = source_name(options.images or settings.dataset or "")
    out = Path(options.out or Path("runs") / (options.preset or source))

    if (status := run_distributed("fit", arguments, options)) is not None:
        return status

    from segdistill.api import fit

    fit(
        images,
        settings=settings,
        labelled=training_labels(options, settings),
        depth_maps=training_depth(options, settings),
        out=out,
        overwrite=options.overwrite,
        resume=options.resume,
        progress=not options.quiet,
    )
    print(f"Run:    {out}")
    print(f"Report: {out / 'report.html'}")
    print(f"Next:   {command_line('segment', out, 'IMAGES')}")
    return 0


def with_preset_file(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the YAML file of ``--preset`` before all others.

    The command line and ``--config`` thus override the preset.

    Raises:
        UserError: there is no such preset.
    """
    presets = values_of("--preset", arguments)[:1]
    return [*(f"--config={preset_path(preset)}" for preset in presets), *arguments]


def training_images(options: Namespace, settings: FitSettings) -> "list[ImageFile]":
    """Return the images of the folder given, or the training images of a benchmark.

    Raises:
        UserError: neither is given, or both are, or files are missing.
    """
    if options.data_root is None:
        if options.images is None:
            raise UserError("IMAGES is missing: give a folder, or --dataset and --data-root")
        return find_images(options.images)
    if options.images is not None:
        raise UserError(f"{options.images} and --data-root: give only one of them")
    if settings.dataset is None:
        raise UserError("--data-root needs --dataset (`segdistill datasets` lists them)")

    from segdistill.images.datasets import get_dataset

    dataset = get_dataset(settings.dataset)
    return [item.image for item in dataset.items(Path(options.data_root), "train")]


def training_labels(options: Namespace, settings: FitSettings) -> "LabelledSet | None":
    """Return the labels of a benchmark's training images if the settings need them.

    Raises:
        UserError: files are missing, or no image is labelled.
    """
    if not settings.needs_labels or settings.dataset is None or options.data_root is None:
        return None

    from segdistill.api import labelled_dataset

    return labelled_dataset(settings.dataset, options.data_root, "train")


def training_depth(options: Namespace, settings: FitSettings) -> dict[Path, Path]:
    """Return the depth maps in the benchmark or next to the images, unless the settings name some.

    Raises:
        UserError: files of the benchmark are missing.
    """
    if not settings.wants_depth or settings.depth.folder is not None:
        return {}

    from segdistill.images.datasets import get_dataset
    from segdistill.images.depth_files import depth_folder_beside, find_depth_maps, match_depth

    if settings.dataset is not None and options.data_root is not None:
        items = get_dataset(settings.dataset).items(Path(options.data_root), "train")
        return {item.image.path: item.depth for item in items if item.depth is not None}
    folder = depth_folder_beside(options.images)
    if not folder.is_dir():
        return {}
    matched = match_depth(find_images(options.images), find_depth_maps(folder))
    return {image.path: depth.path for image, depth in matched.items()}


def settings_from(options: Namespace) -> FitSettings:
    """Return the settings among parsed options.

    Args:
        options: as parsed, nested settings as nested name spaces.
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
