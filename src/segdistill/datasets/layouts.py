"""Folder layouts of data sets: functions that find the files of a split, and what is missing."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from segdistill.datasets.base import LabelledImage, Stock
from segdistill.errors import UserError
from segdistill.images.finding import SUFFIXES
from segdistill.images.folder import ImageFile, find_images
from segdistill.images.matching import by_stem, normal_stem
from segdistill.labels.label_files import LABEL_SUFFIXES

CITYSCAPES_IMAGE = "_leftImg8bit.png"
CITYSCAPES_LABELS = "_gtFine_labelIds.png"


def listed(
    home: Path,
    split: str,
    *,
    lists: Mapping[str, Sequence[str]],
    images: str,
    labels: str,
    unlabelled: str = "",
    partly_labelled: str = "",
) -> Stock:
    """Find the images that are listed in text files, one name per line.

    Args:
        lists: paths of the lists of each split, relative to ``home``.
        images: path of an image relative to ``home``; ``*`` stands for a name in the list, and
            ``{split}`` for the split.
        labels: the same for labels.
        unlabelled: list of images without labels.
        partly_labelled: list of images of which some have no labels.
    """
    images, labels = images.format(split=split), labels.format(split=split)
    items: dict[Path, LabelledImage] = {}
    missing: tuple[str, ...] = ()
    for path in lists[split]:
        names, no_list = _read_list(home, path)
        wanted = "" if path == unlabelled else labels
        stock = named(home, names, images, wanted, required=path != partly_labelled)
        for item in stock.items:
            items.setdefault(item.image.name, item)
        missing += no_list or stock.missing
    return Stock(tuple(items.values()), missing)


def named(
    home: Path, names: Sequence[str], images: str, labels: str, *, required: bool = True
) -> Stock:
    """Find the images of given names, and their labels.

    Args:
        names: names without suffixes.
        images: path of an image relative to ``home``; ``*`` stands for its name.
        labels: the same for labels; empty if there are none.
        required: whether absent labels count as missing.
    """
    image_folder, _, image_name = images.rpartition("/")
    label_folder, _, label_name = labels.rpartition("/")
    names = [unicodedata.normalize("NFC", name) for name in names]
    image_files = [image_name.replace("*", name) for name in names]
    label_files = [label_name.replace("*", name) for name in names]
    # Each folder is read at once, because lists are long.
    image_present = _names_in(home / image_folder)
    label_present = _names_in(home / label_folder) if labels else {}
    items = tuple(
        LabelledImage(
            ImageFile(home / image_folder / image_present[image], Path(image)),
            home / label_folder / label_present[label] if label in label_present else None,
        )
        for image, label in zip(image_files, label_files, strict=True)
        if image in image_present
    )
    absent = [image for image in image_files if image not in image_present]
    missing = _lacking(home, image_folder, absent, len(names))
    if labels and required:
        absent = [label for label in label_files if label not in label_present]
        missing += _lacking(home, label_folder, absent, len(names))
    return Stock(items, missing)


def cityscapes(home: Path, split: str) -> Stock:
    """Find images and fine labels in one subfolder per city; names are CITY/FILE."""
    image_folder = home / "leftImg8bit" / split
    label_folder = home / "gtFine" / split
    shown = _in_words(home, f"leftImg8bit/{split}")
    if not image_folder.is_dir():
        return Stock(missing=(f"the folder {shown}",))
    # Unpacking on a Mac can leave hidden ._FILEs with the images' suffix.
    images = sorted(p for p in image_folder.glob(f"*/[!.]*{CITYSCAPES_IMAGE}") if p.is_file())
    if not images:
        return Stock(missing=(f"any CITY/NAME{CITYSCAPES_IMAGE} in {shown}",))
    present = {path.relative_to(label_folder) for path in label_folder.glob("*/*")}
    items, absent = [], []
    for path in images:
        name = path.relative_to(image_folder)
        label = name.with_name(name.name.removesuffix(CITYSCAPES_IMAGE) + CITYSCAPES_LABELS)
        if label not in present:
            absent.append(label.as_posix())
        labels = label_folder / label if label in present else None
        items.append(LabelledImage(ImageFile(path, name), labels))
    return Stock(tuple(items), _lacking(home, f"gtFine/{split}", absent, len(items)))


def directory(home: Path, split: str, *, labelled: bool = False) -> Stock:
    """Find images, labels and depth maps with the same relative names and any suffixes.

    Args:
        home: folder with ``imgs/SPLIT`` and, optionally, ``labels/SPLIT`` and ``depth/SPLIT``.
        labelled: whether every image needs labels; otherwise, labels are missing only if there
            are some but none matches.
    """
    folder, shown = home / "imgs" / split, _in_words(home, f"imgs/{split}")
    if not folder.is_dir():
        return Stock(missing=(f"the folder {shown}",))
    images = _files_in(folder, SUFFIXES)
    if not images:
        return Stock(missing=(f"images in {shown}",))
    labels = by_stem(_files_in(home / "labels" / split, LABEL_SUFFIXES), kind="label file")
    depths = by_stem(_files_in(home / "depth" / split, SUFFIXES), kind="depth map")
    stems = [normal_stem(image.name) for image in images]
    items = tuple(
        LabelledImage(image, _path_of(labels.get(stem)), _path_of(depths.get(stem)))
        for image, stem in zip(images, stems, strict=True)
    )
    absent = [item.image.name for item in items if item.labels is None]
    shown = _in_words(home, f"labels/{split}")
    missing = ""
    if labelled and absent:
        missing = f"{len(absent)} of {len(items)} label files in {shown}, such as for {absent[0]}"
    elif len(absent) == len(items) and (home / "labels" / split).is_dir():
        missing = f"label files in {shown} with the images' names, such as {absent[0].stem}.png"
    return Stock(items, (missing,) if missing else ())


def potsdam_raw(home: Path, split: str) -> Stock:
    """Find all tiles of all photographs (``train``) or those with labels (``val``)."""
    tiles = [
        f"{photo}_{row}_{column}"
        for photo in range(38)
        for row in range(15)
        for column in range(15)
    ]
    stock = named(home, tiles, "processed/imgs/*.mat", "processed/gt/*.mat", required=False)
    if split == "train":
        return stock
    labelled = tuple(item for item in stock.items if item.labels)
    none = () if labelled else (f"labels in {_in_words(home, 'processed/gt')}",)
    return Stock(labelled, stock.missing + none)


def _read_list(home: Path, relative: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the names in a list, without duplicates, and what is missing, in words."""
    path = home / relative
    if not path.is_file():
        return [], (f"the list {_in_words(home, relative)}",)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return names, () if names else (f"entries in the list {_in_words(home, relative)}",)


def _lacking(home: Path, folder: str, absent: Sequence[str], total: int) -> tuple[str, ...]:
    shown = _in_words(home, folder)
    if not (home / folder).is_dir():
        return (f"the folder {shown}",)
    return (f"{len(absent)} of {total} files in {shown}, such as {absent[0]}",) if absent else ()


def _names_in(folder: Path) -> dict[str, str]:
    """Return the names in a folder by their Unicode normal form NFC."""
    if not folder.is_dir():
        return {}
    return {unicodedata.normalize("NFC", path.name): path.name for path in folder.iterdir()}


def _files_in(folder: Path, suffixes: frozenset[str]) -> list[ImageFile]:
    try:
        return find_images(folder, suffixes=suffixes)
    except UserError:
        return []


def _path_of(file: ImageFile | None) -> Path | None:
    return None if file is None else file.path


def _in_words(home: Path, relative: str) -> str:
    """Return a path for display, beginning with the data set's own folder."""
    return (Path(home.absolute().name) / relative).as_posix()
