"""``segdistill fit``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from segdistill.cli.arguments import Value
from segdistill.cli.options import Folder
from segdistill.cli.outcome import command_line
from segdistill.cli.parser import OPTIONS
from segdistill.cli.settings_file import run_folder
from segdistill.config.presets import preset_names
from segdistill.config.settings import FitSettings
from segdistill.errors import UserError
from segdistill.images.finding import find_images

if TYPE_CHECKING:
    from segdistill import LabelledSet
    from segdistill.images.finding import ImageFile

FIT_SECTIONS = {
    OPTIONS: ("out", "classes", "backbone", "resolution", "seed", "device"),
    "Existing runs": ("resume", "overwrite"),
    "Data and training": ("depth.folder", "ignore_mask", "training.steps"),
    "Settings files": ("preset", "config", "print_config"),
    "Benchmarks (advanced)": ("dataset", "data_root"),
    "Images (advanced)": (
        *("strict", "bands", "value_range", "segment_resolution", "resampling", "square"),
        *("crops", "crop_ratio", "labels", "label_map", "saliency"),
    ),
    "Method and clusters (advanced)": ("method", "components", "clustering", "extra_clusters"),
    "Segmentation head (advanced)": ("head.*",),
    "Objective (advanced)": ("objective.*",),
    "Objectives of later papers (advanced)": (
        *("objective.smooseg.*", "objective.eagle.*", "objective.primaps.*", "objective.hp.*"),
        "objective.cause.*",
    ),
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
        out: run folder to write, new or empty (default: runs/NAME)
        resume: resume an interrupted run, with its settings
        overwrite: replace an existing run
        data_root: folder that contains the files of --dataset (default: IMAGES are used)

    Example:
        segdistill fit photos --classes 8
    """
    settings = settings.validated()
    # Before the library is imported, which takes seconds: a wrong path is reported at once.
    inputs = inputs_of(images, data_root, settings)
    folder = run_folder(
        {"images": images, "out": out, "preset": preset, "dataset": settings.dataset}
    )

    import segdistill

    segdistill.fit(
        inputs.images,
        settings=settings,
        labelled=inputs.labelled,
        depth_maps=inputs.depth_maps,
        out=folder,
        overwrite=overwrite,
        resume=resume,
        progress=not quiet,
    )
    print(f"Run:    {folder}")
    print(f"Report: {folder / 'report.html'}")
    print(f"Next:   {command_line('segment', folder, 'IMAGES')}")


class Inputs(NamedTuple):
    """What a fit learns from: images, labels if they are needed, depth maps by image."""

    images: "list[ImageFile]"
    labelled: "LabelledSet | None"
    depth_maps: dict[Path, Path]


def inputs_of(images: str | None, data_root: str | None, settings: FitSettings) -> Inputs:
    """Return the inputs in a folder of images or in a benchmark.

    Raises:
        UserError: neither is given, or both are, or files are missing.
    """
    if data_root is None:
        if images is None:
            raise UserError("IMAGES is missing: give a folder, or --dataset and --data-root")
        return _folder_inputs(images, settings)
    if images is not None:
        raise UserError(f"{images} and --data-root: give only one of them")
    if settings.dataset is None:
        raise UserError("--data-root needs --dataset (`segdistill datasets` lists them)")
    return _benchmark_inputs(settings.dataset, Path(data_root), settings)


def _folder_inputs(images: str, settings: FitSettings) -> Inputs:
    files = find_images(images)
    depth_maps = {}
    if settings.wants_depth and settings.depth.folder is None:
        from segdistill.images.depth_files import depth_folder_beside, find_depth_maps, match_depth

        folder = depth_folder_beside(images)
        if folder.is_dir():
            matched = match_depth(files, find_depth_maps(folder))
            depth_maps = {image.path: depth.path for image, depth in matched.items()}
    return Inputs(files, None, depth_maps)


def _benchmark_inputs(dataset: str, root: Path, settings: FitSettings) -> Inputs:
    from segdistill.datasets import get_dataset

    items = get_dataset(dataset).items(root, "train")
    labelled, depth_maps = None, {}
    if settings.needs_labels:
        from segdistill import labelled_dataset

        labelled = labelled_dataset(dataset, root, "train", label_map=settings.label_map)
    if settings.wants_depth and settings.depth.folder is None:
        depth_maps = {item.image.path: item.depth for item in items if item.depth is not None}
    return Inputs([item.image for item in items], labelled, depth_maps)
