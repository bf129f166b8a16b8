"""COCO-Stuff with its fine classes merged to 27, 15 or 3."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segdistill.images.datasets.base import Dataset, Stock
from segdistill.images.datasets.listed import ListedFiles, read_list, take_listed
from segdistill.images.datasets.palettes import pascal_palette

CLASSES = (
    "electronic",
    "appliance",
    "food (thing)",
    "furniture (thing)",
    "indoor",
    "kitchen",
    "accessory",
    "animal",
    "outdoor",
    "person",
    "sports",
    "vehicle",
    "ceiling",
    "floor",
    "food (stuff)",
    "furniture (stuff)",
    "raw material",
    "textile",
    "wall",
    "window",
    "building",
    "ground",
    "plant",
    "sky",
    "solid",
    "structural",
    "water",
)
FIRST_STUFF = 12
"""Index of the first stuff class among the 27; those before it are things."""

# Class of each fine id from 0 to 181: 91 things, then 91 stuff classes.
# fmt: off
FINE_TO_COARSE = (
     9, 11, 11, 11, 11, 11, 11, 11, 11,  8,  8,  8,  8,
     8,  8,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  6,
     6,  6,  6,  6,  6,  6,  6, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10,  5,  5,  5,  5,  5,  5,  5,  5,  2,
     2,  2,  2,  2,  2,  2,  2,  2,  2,  3,  3,  3,  3,
     3,  3,  3,  3,  3,  3,  0,  0,  0,  0,  0,  0,  1,
     1,  1,  1,  1,  1,  4,  4,  4,  4,  4,  4,  4,  4,
    17, 17, 22, 20, 20, 22, 15, 25, 16, 13, 12, 12, 17,
    17, 23, 15, 15, 17, 15, 21, 15, 25, 13, 13, 13, 13,
    13, 22, 26, 14, 14, 15, 22, 21, 21, 24, 20, 22, 15,
    17, 16, 15, 22, 24, 21, 17, 25, 16, 21, 17, 22, 16,
    21, 21, 25, 21, 26, 21, 24, 20, 17, 14, 21, 26, 15,
    23, 20, 21, 24, 15, 24, 22, 25, 15, 20, 17, 17, 22,
    14, 18, 18, 18, 18, 18, 18, 18, 26, 26, 19, 19, 24,
)
# fmt: on

THREE = (CLASSES.index("sky"), CLASSES.index("plant"), CLASSES.index("ground"))
"""Classes that COCO-Stuff 3 keeps, in its order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CocoStuff(Dataset):
    """JPEG images and PNG labels of fine ids, chosen by curated lists; 255 is void.

    Attributes:
        lists: file that lists the images of each split.
    """

    lists: Mapping[str, str]

    def take_stock(self, home: Path, split: str) -> Stock:
        """Find the images in the split's curated list."""
        part = f"{split}2017"
        entries, no_list = read_list(home, f"curated/{part}/{self.lists[split]}")
        if no_list:
            return Stock(missing=no_list)
        return take_listed(
            entries,
            ListedFiles(home, f"images/{part}", ".jpg"),
            ListedFiles(home, f"annotations/{part}", ".png"),
        )


def keep_classes(kept: tuple[int, ...]) -> dict[int, int]:
    """Return the new class of each fine id whose class is kept.

    Args:
        kept: classes to keep, out of the 27, in their new order.

    Example:
        >>> keep_classes(THREE)[105]  # 105 is one of the skies
        0
    """
    new_index = {coarse: index for index, coarse in enumerate(kept)}
    return {
        fine: new_index[coarse] for fine, coarse in enumerate(FINE_TO_COARSE) if coarse in new_index
    }


def _coco_stuff(kept: tuple[int, ...], title: str, train: str, val: str) -> CocoStuff:
    both = train == val
    return CocoStuff(
        name=f"cocostuff{len(kept)}",
        title=title,
        classes=tuple(CLASSES[coarse] for coarse in kept),
        colours=pascal_palette(len(kept)),
        obtain=(
            "images train2017 and val2017 from cocodataset.org, labels stuffthingmaps_trainval2017"
            " (as annotations/) from github.com/nightrome/cocostuff, and the curated lists of"
            " PiCIE and STEGO; STEGO's cocostuff.zip (github.com/mhamilton723/STEGO) contains all."
        ),
        layout=(
            "cocostuff/images/{train,val}2017/ID.jpg",
            "cocostuff/annotations/{train,val}2017/ID.png",
            *(
                [f"cocostuff/curated/{{train,val}}2017/{train}"]
                if both
                else [f"cocostuff/curated/train2017/{train}", f"cocostuff/curated/val2017/{val}"]
            ),
        ),
        folder="cocostuff",
        marker="curated",
        label_values=keep_classes(kept),
        lists={"train": train, "val": val},
    )


FULL_LIST = "Coco164kFull_Stuff_Coarse.txt"
STUFF_LIST = "Coco164kFull_Stuff_Coarse_7.txt"
FEW_LIST = "Coco164kFew_Stuff_6.txt"

COCOSTUFF27 = _coco_stuff(
    tuple(range(len(CLASSES))), "COCO-Stuff, 27 classes of things and stuff", FULL_LIST, STUFF_LIST
)
COCOSTUFF15 = _coco_stuff(
    tuple(range(FIRST_STUFF, len(CLASSES))),
    "COCO-Stuff, its 15 classes of stuff; things are void",
    STUFF_LIST,
    STUFF_LIST,
)
COCOSTUFF3 = _coco_stuff(THREE, "COCO-Stuff, 3 classes: sky, plant and ground", FEW_LIST, FEW_LIST)
