"""ISPRS Potsdam: aerial photographs cut into small tiles, stored as MATLAB files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.datasets.base import Dataset, LabelledImage, Stock, in_words
from segdistill.images.datasets.listed import ListedFiles, read_list, take_listed
from segdistill.images.matlab import MatlabFileError, read_matlab_array

CLASSES = ("roads and cars", "buildings and clutter", "trees and vegetation")
# The data set's own colours for roads, buildings and trees.
COLOURS = ((255, 255, 255), (0, 0, 255), (0, 255, 0))
FINE_TO_COARSE = {0: 0, 4: 0, 1: 1, 5: 1, 2: 2, 3: 2}

# The data set's authors withhold the labels of the unlabelled tiles.
UNLABELLED = "unlabelled_train"
# STEGO's released code trains on labelled_train only, so it is a split, too.
LISTS = {
    "train": ("labelled_train", UNLABELLED),
    "val": ("labelled_test",),
    "labelled_train": ("labelled_train",),
    "all": ("all",),
}
RAW_PHOTOS = 38
RAW_ROWS = RAW_COLUMNS = 15


@dataclass(frozen=True, eq=False, kw_only=True)
class PotsdamTiles(Dataset):
    """Tiles whose labels are MATLAB files with the key ``gt``."""

    def read_label_values(self, path: Path) -> NDArray[np.int64]:
        """Read the array ``gt`` of a MATLAB file, shape (height, width)."""
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such label file") from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read as labels ({error.strerror})") from error
        try:
            values = read_matlab_array(content, "gt")
        except MatlabFileError as error:
            raise UserError(f"{path}: {error}") from error
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[:, :, 0]
        whole = np.isfinite(values).all() and np.array_equal(values, np.floor(values))
        if values.ndim != 2 or not whole:
            raise UserError(
                f"{path}: gt must be height x width integers,"
                f" not {values.dtype} of shape {values.shape}"
            )
        return values.astype(np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Potsdam(PotsdamTiles):
    """Tiles chosen by lists; training uses labelled and unlabelled ones."""

    def take_stock(self, home: Path, split: str) -> Stock:
        """Find the tiles in the split's lists."""
        items: dict[Path, LabelledImage] = {}
        missing: tuple[str, ...] = ()
        for name in LISTS[split]:
            entries, no_list = read_list(home, f"{name}.txt")
            labels = None if name == UNLABELLED else ListedFiles(home, "gt", ".mat")
            stock = take_listed(
                entries, ListedFiles(home, "imgs", ".mat"), labels, required=name != "all"
            )
            for item in stock.items:
                items.setdefault(item.image.name, item)
            missing += no_list or stock.missing
        return Stock(tuple(items.values()), missing)


@dataclass(frozen=True, eq=False, kw_only=True)
class PotsdamRaw(PotsdamTiles):
    """All tiles of all photographs; those with labels are also used for evaluation."""

    def take_stock(self, home: Path, split: str) -> Stock:
        """Find all tiles (``train``) or those with labels (``val``)."""
        entries = [
            f"{photo}_{row}_{column}"
            for photo in range(RAW_PHOTOS)
            for row in range(RAW_ROWS)
            for column in range(RAW_COLUMNS)
        ]
        images = ListedFiles(home, "processed/imgs", ".mat")
        labels = ListedFiles(home, "processed/gt", ".mat")
        stock = take_listed(entries, images, labels, required=False)
        if split == "train":
            return stock
        labelled = tuple(item for item in stock.items if item.labels)
        none = () if labelled else (f"labels in {in_words(home, labels.folder)}",)
        return Stock(labelled, stock.missing + none)


_HOME_PAGE = "www.isprs.org (2D semantic labelling, Potsdam)"

POTSDAM3 = Potsdam(
    name="potsdam3",
    title="ISPRS Potsdam, 3 classes of aerial photographs",
    classes=CLASSES,
    colours=COLOURS,
    splits=tuple(LISTS),
    obtain=(
        f"{_HOME_PAGE}, cut into tiles by the script of IIC (github.com/xu-ji/IIC);"
        " STEGO's potsdam.zip (github.com/mhamilton723/STEGO) contains the tiles."
    ),
    layout=(
        "potsdam/imgs/ID.mat (img: height x width x red, green, blue, infrared)",
        "potsdam/gt/ID.mat (gt: height x width)",
        "potsdam/{labelled_train,unlabelled_train,labelled_test,all}.txt",
    ),
    folder="potsdam",
    marker="labelled_train.txt",
    label_values=FINE_TO_COARSE,
)
POTSDAM_RAW = PotsdamRaw(
    name="potsdamraw",
    title="ISPRS Potsdam, 3 classes, all tiles of all 38 photographs",
    classes=CLASSES,
    colours=COLOURS,
    obtain=(
        f"{_HOME_PAGE}, cut into 15 x 15 tiles per photograph;"
        " STEGO's potsdamraw.zip (github.com/mhamilton723/STEGO) contains the tiles."
    ),
    layout=(
        "potsdamraw/processed/imgs/PHOTO_ROW_COLUMN.mat",
        "potsdamraw/processed/gt/PHOTO_ROW_COLUMN.mat",
    ),
    folder="potsdamraw",
    marker="processed",
    label_values=FINE_TO_COARSE,
)
