"""``segdistill fit``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from segdistill.cli.arguments import Value
from segdistill.cli.options import Folder
from segdistill.cli.outcome import command_line
from segdistill.cli.parser import OPTIONS
from segdistill.config.presets import preset_names
from segdistill.config.settings import FitSettings
from segdistill.errors import UserError
from segdistill.images.finding import find_images, source_name

if TYPE_CHECKING:
    from segdistill.api import LabelledSet
    from segdistill.images.finding import ImageFile

SECTIONS = {
    OPTIONS: (
        *("out", "classes", "backbone", "resolution", "depth.folder", "seed", "device"),
        *("config", "preset", "resume", "overwrite", "quiet"),
    ),
    "Benchmarks and settings files": ("dataset", "data_root", "print_config"),
    "Images (advanced)": (
        *("strict", "bands", "segment_resolution", "resampling", "square", "crops"),
        *("crop_ratio", "labels", "saliency"),
    ),
    "Method and clusters (advanced)": ("method", "components", "clustering", "extra_clusters"),
    "Segmentation head (advanced)": ("head.*",),
    "Correspondence loss (advanced)": ("objective.*",),
    "Depth guidance (advanced)": ("depth.*",),
    "Training loop (advanced)": ("training.*",),
    "Feature store (advanced)": ("cache.*",),
    "Precision and processes (advanced)": ("precision", "devices", "nodes"),
}
"""The help of ``fit``, which has many more options than the other commands."""

Preset = Annotated[
    str, Value("NAME", f"settings of a paper (default: none): {', '.join(preset_names())}")
]


def fit(
    images: Annotated[str, Value("IMAGES")] | None = None,
    *,
    settings: FitSettings,
    out: Folder | None = None,
    preset: Preset | None = None,
    resume: bool = False,
    overwrite: bool = False,
    data_root: Folder | None = None,
    quiet: bool = False,
) -> None:
    """Learn to segment from a folder of images, without labels.

    Args:
        images: folder, searched with its sub-folders, or quoted glob pattern
        out: run folder to write (default: runs/NAME)
        resume: resume an interrupted run
        overwrite: replace an existing run
        data_root: folder that holds the files of --dataset (default: IMAGES are used)

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.

    Example:
        segdistill fit photos --classes 8
    """
    settings = settings.validated()
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
    files = training_images(images, data_root, settings)
    folder = Path(out or Path("runs") / (preset or source_name(images or settings.dataset or "")))

    from segdistill import api

    api.fit(
        files,
        settings=settings,
        labelled=training_labels(data_root, settings),
        depth_maps=training_depth(images, data_root, settings),
        out=folder,
        overwrite=overwrite,
        resume=resume,
        progress=not quiet,
    )
    print(f"Run:    {folder}")
    print(f"Report: {folder / 'report.html'}")
    print(f"Next:   {command_line('segment', folder, 'IMAGES')}")


def training_images(
    images: str | None, data_root: str | None, settings: FitSettings
) -> "list[ImageFile]":
    """Return the images of the folder given, or the training images of a benchmark.

    Raises:
        UserError: neither is given, or both are, or files are missing.
    """
    if data_root is None:
        if images is None:
            raise UserError("IMAGES is missing: give a folder, or --dataset and --data-root")
        return find_images(images)
    if images is not None:
        raise UserError(f"{images} and --data-root: give only one of them")
    if settings.dataset is None:
        raise UserError("--data-root needs --dataset (`segdistill datasets` lists them)")

    from segdistill.images.datasets import get_dataset

    dataset = get_dataset(settings.dataset)
    return [item.image for item in dataset.items(Path(data_root), "train")]


def training_labels(data_root: str | None, settings: FitSettings) -> "LabelledSet | None":
    """Return the labels of a benchmark's training images if the settings need them.

    Raises:
        UserError: files are missing, or no image is labelled.
    """
    if not settings.needs_labels or settings.dataset is None or data_root is None:
        return None

    from segdistill.api import labelled_dataset

    return labelled_dataset(settings.dataset, data_root, "train")


def training_depth(
    images: str | None, data_root: str | None, settings: FitSettings
) -> dict[Path, Path]:
    """Return the depth maps in the benchmark or next to the images, unless the settings name some.

    Raises:
        UserError: files of the benchmark are missing.
    """
    if not settings.wants_depth or settings.depth.folder is not None:
        return {}

    from segdistill.images.datasets import get_dataset
    from segdistill.images.depth_files import depth_folder_beside, find_depth_maps, match_depth

    if settings.dataset is not None and data_root is not None:
        items = get_dataset(settings.dataset).items(Path(data_root), "train")
        return {item.image.path: item.depth for item in items if item.depth is not None}
    if images is None:
        return {}
    folder = depth_folder_beside(images)
    if not folder.is_dir():
        return {}
    matched = match_depth(find_images(images), find_depth_maps(folder))
    return {image.path: depth.path for image, depth in matched.items()}
