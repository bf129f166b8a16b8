"""``segdistill sample``, ``fetch``, ``depth``, ``datasets``, ``backbones`` and ``cache``."""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from segdistill.cli.arguments import Value
from segdistill.cli.options import Device, Folder, Name, Precision, Strict, check_path, check_source
from segdistill.cli.outcome import command_line, report_outcome
from segdistill.depth.networks import DEFAULT_DEPTH_MODEL, DEPTH_MODELS, depth_model_source
from segdistill.errors import UserError

if TYPE_CHECKING:
    from segdistill.datasets import Dataset, Stock

WIDTH = 88
HEADING_WIDTH = 11

DepthModelName = Annotated[
    str,
    Value(
        "NAME",
        "hub id or local folder of a Depth Anything, ZoeDepth or DPT network, or a short name"
        " (licence of the weights): "
        + ", ".join(f"{name} ({each.licence})" for name, each in DEPTH_MODELS.items()),
        check=depth_model_source,
    ),
]


def sample(
    folder: Folder,
    *,
    train: int = 48,
    val: int = 16,
    width: int = 320,
    height: int = 240,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Generate a small data set of outdoor scenes, with exact labels and depth.

    Args:
        folder: folder to write; must be new or empty
        train: number of training scenes
        val: number of validation scenes
        width: width of the images, in pixels
        height: height of the images, in pixels
        seed: random seed; the same seed gives the same files

    Example:
        segdistill sample world
    """
    from segdistill.progress import progress_bar
    from segdistill.sample.dataset import write_sample

    with progress_bar("Rendering scenes", train + val, shown=not quiet) as advance:
        try:
            root = write_sample(
                Path(folder),
                train=train,
                val=val,
                width=width,
                height=height,
                seed=seed,
                progress=lambda _done, _total: advance(1),
            )
        except (FileExistsError, ValueError) as error:
            raise UserError(str(error)) from error
    print(f"Images: {root / 'imgs'}")
    print(f"Labels: {root / 'labels'}")
    print(f"Depth:  {root / 'depth'}")
    print(f"Next:   {command_line('fit', root, '--classes', 6)}")


def fetch(
    source: Annotated[str, Value("SOURCE", check=check_source)],
    out: Folder,
    *,
    images: int = 10_000,
    seed: int = 0,
    quiet: bool = False,
) -> int:
    """Copy a random sample of a very large set of images to a local folder, to fit on.

    The same command resumes after an interruption.

    Args:
        source: URL such as s3://bucket/photos, folder, or quoted glob pattern
        out: folder for the copies; existing files are kept
        images: number of images, at most
        seed: random seed of the sample

    Returns:
        Exit status: 1 if an image could not be copied.

    Example:
        segdistill fetch s3://bucket/photos photos --images 10000
    """
    from segdistill import fetch_images

    done = fetch_images(source, out, images=images, seed=seed, progress=not quiet)
    for failure in done.failed:
        print(f"Not copied: {failure}", file=sys.stderr)
    kept = f", {done.kept} already existed" if done.kept else ""
    print(f"Images:  {done.copied} of {done.found} copied to {done.folder}{kept}")
    print(f"Next:    {command_line('fit', done.folder)}")
    return 1 if done.failed else 0


def depth(
    images: Annotated[str, Value("IMAGES", check=check_path)],
    *,
    out: Folder | None = None,
    model: DepthModelName = DEFAULT_DEPTH_MODEL,
    kind: Literal["inverse", "depth"] | None = None,
    preview: bool = False,
    overwrite: bool = False,
    strict: Strict = False,
    batch: int = 4,
    device: Device = "auto",
    precision: Precision = "32-true",
    quiet: bool = False,
) -> int:
    """Estimate depth with a network: one 16-bit PNG per image, upright and of the image's size.

    The maps are in the same folder tree; depth.json states what the values mean. Existing maps of
    the same model are kept, so the same command resumes after an interruption.

    Args:
        images: folder, file or quoted glob pattern of images
        out: folder for the depth maps; no other file is replaced (default: depth/train for
            imgs/train and the like, IMAGES_depth otherwise)
        kind: what the network predicts: inverse depth without a unit, or depth in metres (default:
            what its config.json says)
        preview: also write colour previews, in a separate folder
        overwrite: estimate existing maps again
        batch: number of images of one size per batch

    Returns:
        Exit status: 1 if none of the images could be read.

    Example:
        segdistill depth photos --preview
    """
    from segdistill import estimate_depth
    from segdistill.depth.outputs import DepthOptions

    done = estimate_depth(
        images,
        model,
        out,
        kind=kind,
        options=DepthOptions(overwrite=overwrite, preview=preview, strict=strict, batch=batch),
        device=device,
        precision=precision,
        progress=not quiet,
    )
    if status := report_outcome("depth", "Depth", done):
        return status
    print(f"About:   {done.folder / 'depth.json'}")
    if done.previews is not None:
        print(f"Preview: {done.previews}")
    return 0


def datasets(name: Name | None = None, *, root: Folder | None = None) -> None:
    """List the benchmark data sets, where to get them, and which files of them are present.

    Args:
        name: one data set (default: all)
        root: folder of data sets: report which files are present (default: list only)

    Example:
        segdistill datasets cocostuff27 --root data
    """
    from segdistill.datasets import dataset_names, get_dataset

    folder = Path(root) if root else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"--root {root}: no such folder; give the folder that holds data sets")
    found = [get_dataset(each) for each in ([name] if name else dataset_names())]
    print("\n\n".join(describe(dataset, folder, files=bool(name)) for dataset in found))


def describe(dataset: "Dataset", root: Path | None, *, files: bool) -> str:
    """Return the description of a data set, with what of it a folder holds."""
    names = dataset.classes if root is None else dataset.class_names(root)
    classes = f"{len(names)}: {', '.join(names)}" if names else "those of your labels"
    lines = [
        f"{dataset.name}: {dataset.title}",
        _entry("Classes", [classes]),
        _entry("Get it", [dataset.obtain]),
    ]
    if files:
        lines.append(_entry("Files", dataset.layout))
    if root is not None:
        stocks = {split: dataset.stock(root, split) for split in dataset.splits}
        missing = dict.fromkeys(word for stock in stocks.values() for word in stock.missing)
        counts = [_count(split, stock) for split, stock in stocks.items() if stock.items]
        lines.append(_entry("Found", counts or ["nothing"]))
        lines.append(_entry("Missing", list(missing) or ["nothing"]))
    return "\n".join(lines)


def _count(split: str, stock: "Stock") -> str:
    labelled = sum(item.labels is not None for item in stock.items)
    return f"{split}: {len(stock.items)} images, {labelled} with labels"


def _entry(heading: str, texts: Sequence[str]) -> str:
    """Return wrapped texts below each other, to the right of their heading."""
    indent = " " * HEADING_WIDTH
    # Paths are not broken, so that they can be copied.
    wrapper = textwrap.TextWrapper(
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    text = "\n".join(map(wrapper.fill, texts))
    return f"  {heading:<{HEADING_WIDTH - 2}}" + text[HEADING_WIDTH:]


def backbones() -> None:
    """List the backbones that have a short name.

    --backbone also accepts any hub id, a local folder in the hub's layout, or a weight file (.pth).
    With NAME:keys, features are the keys of a vision transformer's last block.

    Example:
        segdistill backbones
    """
    from segdistill.backbones import backbone_entries

    entries = backbone_entries()
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:<{width}}  {entry.summary} ({entry.source})")


def cache(*, clear: bool = False, folder: Folder | None = None) -> None:
    """Show or clear the feature store, which keeps features between fits.

    Args:
        clear: delete all stored features; they are computed again when needed
        folder: folder of the store (default: SEGDISTILL_CACHE, else segdistill in the user's cache
            folder)

    Example:
        segdistill cache --clear
    """
    from segdistill.features.store import GIGABYTE, FeatureStore

    store = FeatureStore(Path(folder) if folder else None, max_bytes=0)
    contents = store.contents()
    print(f"Folder: {store.folder}")
    for content in contents:
        print(f"  {content.backbone}: {content.maps} maps, {content.size / GIGABYTE:.2f} GB")
    if not contents:
        print("  no features are stored")
    if clear:
        print(f"Cleared: {store.clear() / GIGABYTE:.2f} GB")
