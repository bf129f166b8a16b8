"""Pascal VOC 2012, 21 classes."""

from dataclasses import dataclass
from pathlib import Path

from segdistill.images.datasets.base import Dataset, Stock, same_labels
from segdistill.images.datasets.listed import ListedFiles, read_list, take_listed
from segdistill.images.datasets.palettes import pascal_palette

CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class PascalVoc(Dataset):
    """JPEG images and palette PNG labels, chosen by lists; 255 is void."""

    def take_stock(self, home: Path, split: str) -> Stock:
        """Find the images in ``ImageSets/Segmentation/SPLIT.txt``."""
        entries, no_list = read_list(home, f"ImageSets/Segmentation/{split}.txt")
        if no_list:
            return Stock(missing=no_list)
        return take_listed(
            entries,
            ListedFiles(home, "JPEGImages", ".jpg"),
            ListedFiles(home, "SegmentationClass", ".png"),
        )


VOC21 = PascalVoc(
    name="voc21",
    title="Pascal VOC 2012, 20 object classes and the background",
    classes=CLASSES,
    colours=pascal_palette(len(CLASSES)),
    obtain=(
        "VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012;"
        " unpack it in the root."
    ),
    layout=(
        "VOCdevkit/VOC2012/JPEGImages/ID.jpg",
        "VOCdevkit/VOC2012/SegmentationClass/ID.png",
        "VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val}.txt",
    ),
    folder="VOCdevkit/VOC2012",
    marker="JPEGImages",
    label_values=same_labels(len(CLASSES)),
)
