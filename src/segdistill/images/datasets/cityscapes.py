"""Cityscapes, 27 classes."""

from dataclasses import dataclass
from pathlib import Path

from segdistill.images.datasets.base import Dataset, LabelledImage, Stock, in_words
from segdistill.images.folder import ImageFile

# Name and colour of each class, in the order of the classes.
CLASSES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "parking": (250, 170, 160),
    "rail track": (230, 150, 140),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "guard rail": (180, 165, 180),
    "bridge": (150, 100, 100),
    "tunnel": (150, 120, 90),
    "pole": (153, 153, 153),
    "polegroup": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "caravan": (0, 0, 90),
    "trailer": (0, 0, 110),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
FIRST_ID = 7
"""Label id of the first class; lower ids are void."""

IMAGE_ENDING = "_leftImg8bit.png"
LABEL_ENDING = "_gtFine_labelIds.png"


@dataclass(frozen=True, eq=False, kw_only=True)
class Cityscapes(Dataset):
    """Images and fine labels in one subfolder per city."""

    def take_stock(self, home: Path, split: str) -> Stock:
        """Find all images of a split; names are CITY/FILE."""
        image_folder = home / "leftImg8bit" / split
        label_folder = home / "gtFine" / split
        shown = in_words(home, f"leftImg8bit/{split}")
        if not image_folder.is_dir():
            return Stock(missing=(f"the folder {shown}",))
        # Unpacking on a Mac can leave hidden ._FILEs with the images' suffix.
        images = sorted(p for p in image_folder.glob(f"*/[!.]*{IMAGE_ENDING}") if p.is_file())
        if not images:
            return Stock(missing=(f"any CITY/NAME{IMAGE_ENDING} in {shown}",))
        labels = {path.relative_to(label_folder) for path in label_folder.glob("*/*")}
        items = []
        unlabelled = []
        for path in images:
            name = path.relative_to(image_folder)
            label = name.with_name(name.name.removesuffix(IMAGE_ENDING) + LABEL_ENDING)
            known = label in labels
            items.append(
                LabelledImage(ImageFile(path, name), label_folder / label if known else None)
            )
            if not known:
                unlabelled.append(label)
        return Stock(tuple(items), _labels_missing(home, split, unlabelled, len(items)))


def _labels_missing(home: Path, split: str, absent: list[Path], total: int) -> tuple[str, ...]:
    shown = in_words(home, f"gtFine/{split}")
    if not (home / "gtFine" / split).is_dir():
        return (f"the folder {shown}",)
    if not absent:
        return ()
    return (f"{len(absent)} of {total} files in {shown}, such as {absent[0].as_posix()}",)


CITYSCAPES27 = Cityscapes(
    name="cityscapes27",
    title="Cityscapes, 27 classes of street scenes",
    classes=tuple(CLASSES),
    colours=tuple(CLASSES.values()),
    obtain=(
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from"
        " www.cityscapes-dataset.com, after registering there; unpack both in ROOT/cityscapes."
    ),
    layout=(
        "cityscapes/leftImg8bit/{train,val}/CITY/NAME_leftImg8bit.png",
        "cityscapes/gtFine/{train,val}/CITY/NAME_gtFine_labelIds.png",
    ),
    folder="cityscapes",
    marker="leftImg8bit",
    label_values={FIRST_ID + index: index for index in range(len(CLASSES))},
)
