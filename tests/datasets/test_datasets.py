"""Benchmark data sets, read from miniatures of their folders."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike
from PIL import Image
from scipy.io import savemat

from segdistill.datasets import (
    Dataset,
    dataset_names,
    get_dataset,
)
from segdistill.datasets.benchmarks import COCO_COARSE, DATASETS
from segdistill.decoding.decode import UnreadableImageError, read_image
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile, check_images

FULL = "Coco164kFull_Stuff_Coarse.txt"
STUFF = "Coco164kFull_Stuff_Coarse_7.txt"
FEW = "Coco164kFew_Stuff_6.txt"


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (10, 200, 30)).save(path)


def write_labels(path: Path, values: ArrayLike, *, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.atleast_2d(np.asarray(values, np.uint8)))
    if palette:
        image.putpalette([value % 256 for value in range(768)])
    image.save(path)


def write_list(path: Path, *entries: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{entry}\n" for entry in entries))


def write_tile(path: Path, key: str, values: ArrayLike, *, compressed: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {key: np.asarray(values)}, do_compression=compressed)


def names(dataset: Dataset, root: Path, split: str) -> list[str]:
    return [item.image.name.as_posix() for item in dataset.items(root, split)]


def missing(dataset: Dataset, root: Path) -> list[str]:
    """What is missing from all splits."""
    words = (word for split in dataset.splits for word in dataset.stock(root, split).missing)
    return list(dict.fromkeys(words))


def mapped(dataset: Dataset, folder: Path, values: list[int]) -> list[int]:
    """What a data set makes of label values, by way of a file."""
    path = folder / "some_labels.png"
    write_labels(path, values)
    return dataset.read_labels(path).ravel().tolist()


@pytest.fixture
def cocostuff(tmp_path: Path) -> Path:
    home = tmp_path / "cocostuff"
    for part in ("train2017", "val2017"):
        for number in range(4):
            write_image(home / f"images/{part}/{number:012}.jpg")
            write_labels(home / f"annotations/{part}/{number:012}.png", [0, 105, 255])
    for entries, name, part in (
        ((0, 1, 2, 3), FULL, "train2017"),
        ((0, 1, 3), STUFF, "train2017"),
        ((2,), FEW, "train2017"),
        ((3, 1), STUFF, "val2017"),
        ((0,), FEW, "val2017"),
    ):
        write_list(home / "curated" / part / name, *(f"{entry:012}" for entry in entries))
    return tmp_path


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    home = tmp_path / "cityscapes"
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "lindau")):
        for number in range(2):
            name = f"{city}_00000{number}_000019"
            write_image(home / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png")
            write_labels(home / f"gtFine/{split}/{city}/{name}_gtFine_labelIds.png", [0, 7, 33])
            write_labels(home / f"gtFine/{split}/{city}/{name}_gtFine_color.png", [0])
    (home / "leftImg8bit/train/ulm/._ulm_leftImg8bit.png").write_bytes(b"left by a Mac")
    return tmp_path


@pytest.fixture
def potsdam(tmp_path: Path) -> Path:
    home = tmp_path / "potsdam"
    tile = np.zeros((4, 6, 4), np.uint8)
    tile[:] = (200, 100, 50, 7)
    for number in range(5):
        write_tile(home / f"imgs/{number}.mat", "img", tile, compressed=number % 2 == 1)
        if number != 2:
            values = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
            write_tile(home / f"gt/{number}.mat", "gt", values)
    write_list(home / "labelled_train.txt", "0", "1")
    write_list(home / "unlabelled_train.txt", "2", "4")
    write_list(home / "labelled_test.txt", "3")
    write_list(home / "all.txt", "0", "1", "2", "3", "4")
    return tmp_path


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    home = tmp_path / "VOCdevkit" / "VOC2012"
    for number in range(3):
        write_image(home / f"JPEGImages/2007_{number:06}.jpg")
        path = home / f"SegmentationClass/2007_{number:06}.png"
        write_labels(path, [0, 20, 255], palette=True)
    write_list(home / "ImageSets/Segmentation/train.txt", "2007_000002", "2007_000000", "")
    write_list(home / "ImageSets/Segmentation/val.txt", "2007_000001")
    return tmp_path


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    home = tmp_path / "camvid"
    for split, sub in (("train", "day"), ("train", "dusk"), ("val", "")):
        write_image(home / "imgs" / split / sub / "a.png")
        write_labels(home / "labels" / split / sub / "a.png", [0, 10, 11, 255])
    return tmp_path


def test_all_data_sets_are_known_and_whole() -> None:
    assert dataset_names() == (
        "cocostuff27",
        "cocostuff15",
        "cocostuff3",
        "cityscapes27",
        "potsdam3",
        "potsdamraw",
        "voc21",
        "camvid11",
        "directory",
    )
    assert len(DATASETS) == len(dataset_names())
    counts = [len(get_dataset(name).classes) for name in dataset_names()]
    assert counts == [27, 15, 3, 27, 3, 3, 21, 11, 0]
    for dataset in map(get_dataset, dataset_names()):
        assert len(dataset.colours) == len(dataset.classes)
        assert dataset.splits[:2] == ("train", "val")
        assert all(0 <= value <= 255 for colour in dataset.colours for value in colour)
        if dataset.label_values is not None:
            # Every class can occur, and no other can.
            assert set(dataset.label_values.values()) == set(range(len(dataset.classes)))


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("cityscape", "did you mean cityscapes27"),
        ("Potsdam", "did you mean potsdam3 or potsdamraw"),
        ("vco21", "did you mean voc21"),
        ("zzzzzz", "choose from cocostuff27, "),
        ("", "choose from"),
    ],
)
def test_the_nearest_name_is_offered(given: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        get_dataset(given)


def test_labels_are_mapped_to_the_classes_of_a_data_set(camvid: Path) -> None:
    two = dataclasses.replace(
        get_dataset("directory"), classes=("a", "b"), label_values={1: 0, 4: 1}
    )
    assert mapped(two, camvid, [0, 1, 2, 4, 5]) == [255, 0, 255, 1, 255]


def test_unknown_splits_are_named(camvid: Path) -> None:
    with pytest.raises(UserError, match="no split 'test'; choose from train, val"):
        get_dataset("camvid11").items(camvid, "test")


def test_cocostuff_lists_choose_the_images(cocostuff: Path) -> None:
    expected = {
        "cocostuff27": ([0, 1, 2, 3], [3, 1]),
        "cocostuff15": ([0, 1, 3], [3, 1]),
        "cocostuff3": ([2], [0]),
    }
    for name, (train, val) in expected.items():
        dataset = get_dataset(name)
        assert names(dataset, cocostuff, "train") == [f"{number:012}.jpg" for number in train]
        assert names(dataset, cocostuff, "val") == [f"{number:012}.jpg" for number in val]
        assert missing(dataset, cocostuff) == []
    item = get_dataset("cocostuff27").items(cocostuff / "cocostuff", "val")[0]
    assert item.image.path == cocostuff / "cocostuff/images/val2017/000000000003.jpg"
    assert item.labels == cocostuff / "cocostuff/annotations/val2017/000000000003.png"
    assert get_dataset("cocostuff27").read_labels(item.labels).tolist() == [[9, 23, 255]]
    assert read_image(item.image.path).shape == (4, 6, 3)


# Fine ids with their names, against the 27 classes by name.
FINE_IDS = [
    (0, "person"),
    (1, "vehicle"),
    (8, "vehicle"),
    (9, "outdoor"),
    (15, "animal"),
    (25, "accessory"),
    (33, "sports"),
    (43, "kitchen"),
    (51, "food (thing)"),
    (61, "furniture (thing)"),
    (71, "electronic"),
    (77, "appliance"),
    (83, "indoor"),
    (90, "indoor"),
    (91, "textile"),
    (93, "plant"),
    (94, "building"),
    (97, "furniture (stuff)"),
    (98, "structural"),
    (99, "raw material"),
    (100, "floor"),
    (101, "ceiling"),
    (105, "sky"),
    (110, "ground"),
    (119, "water"),
    (120, "food (stuff)"),
    (126, "solid"),
    (170, "wall"),
    (179, "window"),
    (181, "solid"),
]


def test_cocostuff_merges_fine_ids(tmp_path: Path) -> None:
    assert len(COCO_COARSE) == 182
    assert set(COCO_COARSE) == set(range(27))
    # 91 things come first, and no stuff among them.
    assert max(COCO_COARSE[:91]) == 11
    assert min(COCO_COARSE[91:]) == 12
    fine = [each for each, _ in FINE_IDS]
    for name in ("cocostuff27", "cocostuff15", "cocostuff3"):
        dataset = get_dataset(name)
        indices = mapped(dataset, tmp_path, fine)
        expected = [
            dataset.classes.index(coarse) if coarse in dataset.classes else 255
            for _, coarse in FINE_IDS
        ]
        assert indices == expected
        assert mapped(dataset, tmp_path, [182, 200, 255]) == [255, 255, 255]
    assert mapped(get_dataset("cocostuff3"), tmp_path, [105, 93, 110, 0]) == [0, 1, 2, 255]
    # 15 is stuff renumbered from 0: textile is 17 of 27, ceiling 12.
    assert mapped(get_dataset("cocostuff15"), tmp_path, [91, 101, 181]) == [5, 0, 12]
    # How many fine ids make up each class.
    counts = np.bincount(COCO_COARSE).tolist()
    assert counts[:12] == [6, 6, 10, 10, 8, 8, 8, 10, 6, 1, 10, 8]
    assert sum(counts[12:]) == 91


def test_cocostuff_colours_are_those_of_pascal_voc() -> None:
    colours = get_dataset("cocostuff27").colours
    assert colours[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert colours[20] == (0, 64, 128)  # of VOC's tvmonitor
    assert colours[:21] == get_dataset("voc21").colours


def test_missing_files_of_cocostuff_are_named(cocostuff: Path) -> None:
    dataset = get_dataset("cocostuff27")
    home = cocostuff / "cocostuff"
    (home / "images/val2017/000000000003.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 2 files in cocostuff/images/val2017, such as 0+3"):
        dataset.items(cocostuff, "val")
    (home / "annotations/train2017/000000000002.png").unlink()
    with pytest.raises(UserError, match="1 of 4 files in cocostuff/annotations/train2017"):
        dataset.items(cocostuff, "train")
    assert len(missing(dataset, cocostuff)) == 2
    (home / "curated/val2017" / STUFF).write_text("\n")
    (home / "curated/train2017" / FULL).unlink()
    assert missing(dataset, cocostuff) == [
        f"the list cocostuff/curated/train2017/{FULL}",
        f"entries in the list cocostuff/curated/val2017/{STUFF}",
    ]
    with pytest.raises(
        UserError, match=r"missing: the folder cocostuff\. To get it: .*cocodataset"
    ):
        dataset.items(cocostuff / "elsewhere", "val")


def test_cityscapes_keeps_its_cities(cityscapes: Path) -> None:
    dataset = get_dataset("cityscapes27")
    assert names(dataset, cityscapes, "train") == [
        "aachen/aachen_000000_000019_leftImg8bit.png",
        "aachen/aachen_000001_000019_leftImg8bit.png",
        "ulm/ulm_000000_000019_leftImg8bit.png",
        "ulm/ulm_000001_000019_leftImg8bit.png",
    ]
    item = dataset.items(cityscapes, "val")[0]
    assert item.labels is not None
    assert item.labels.name == "lindau_000000_000019_gtFine_labelIds.png"
    assert dataset.read_labels(item.labels).tolist() == [[255, 0, 26]]
    assert missing(dataset, cityscapes) == []
    assert names(dataset, cityscapes / "cityscapes", "val") == names(dataset, cityscapes, "val")


def test_cityscapes_labels_and_colours(tmp_path: Path) -> None:
    dataset = get_dataset("cityscapes27")
    ids = {7: "road", 8: "sidewalk", 11: "building", 17: "pole", 23: "sky", 26: "car"}
    for value, name in {**ids, 33: "bicycle"}.items():
        assert mapped(dataset, tmp_path, [value]) == [dataset.classes.index(name)]
    assert mapped(dataset, tmp_path, list(range(7, 34))) == list(range(27))
    assert mapped(dataset, tmp_path, [0, 3, 6, 34, 255]) == [255] * 5
    colours = dict(zip(dataset.classes, dataset.colours, strict=True))
    assert colours["road"] == (128, 64, 128)
    assert colours["bicycle"] == (119, 11, 32)


def test_missing_files_of_cityscapes_are_named(cityscapes: Path) -> None:
    dataset = get_dataset("cityscapes27")
    home = cityscapes / "cityscapes"
    (home / "gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(UserError, match="1 of 4 files in cityscapes/gtFine/train, such as ulm/ulm"):
        dataset.items(cityscapes, "train")
    (home / "gtFine/val").rename(home / "gtFine/other")
    (home / "leftImg8bit/train").rename(home / "leftImg8bit/other")
    assert missing(dataset, cityscapes) == [
        "the folder cityscapes/leftImg8bit/train",
        "the folder cityscapes/gtFine/val",
    ]
    (home / "leftImg8bit/train").mkdir()
    assert "any CITY/NAME_leftImg8bit.png" in missing(dataset, cityscapes)[0]


def test_potsdam_trains_on_labelled_and_unlabelled_tiles(potsdam: Path) -> None:
    dataset = get_dataset("potsdam3")
    train = dataset.items(potsdam, "train")
    assert [item.image.name.name for item in train] == ["0.mat", "1.mat", "2.mat", "4.mat"]
    assert [item.labels is not None for item in train] == [True, True, False, False]
    assert names(dataset, potsdam, "val") == ["3.mat"]
    assert names(dataset, potsdam, "labelled_train") == ["0.mat", "1.mat"]
    everything = dataset.items(potsdam, "all")
    assert [item.labels is not None for item in everything] == [True, True, False, True, True]
    assert missing(dataset, potsdam) == []


def test_potsdam_images_are_read_without_infrared(potsdam: Path) -> None:
    files = [item.image for item in get_dataset("potsdam3").items(potsdam, "all")]
    for file in files:
        image = read_image(file.path)
        assert image.shape == (4, 6, 3)
        assert image.dtype == np.uint8
        assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [[200, 100, 50]]
    checked, skipped = check_images(files)
    assert len(checked) == 5
    assert skipped == []


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "i8", "f8"])
def test_potsdam_labels(tmp_path: Path, kind: str) -> None:
    dataset = get_dataset("potsdam3")
    path = tmp_path / "0.mat"
    write_tile(path, "gt", np.array([[0, 1, 2], [3, 4, 5]], kind))
    assert dataset.read_labels(path).tolist() == [[0, 1, 2], [2, 0, 1]]
    assert get_dataset("potsdamraw").read_labels(path).tolist() == [[0, 1, 2], [2, 0, 1]]
    write_tile(path, "gt", np.array([[6, 100]], kind)[:, :, None])
    assert dataset.read_labels(path).tolist() == [[255, 255]]
    write_tile(path, "gt", np.array([[255, 0]], np.uint8))
    assert dataset.read_labels(path).tolist() == [[255, 0]]
    write_tile(path, "gt", np.array([[-1, 0]], np.int16))
    assert dataset.read_labels(path).tolist() == [[255, 0]]


def test_damaged_labels_of_potsdam_are_named(tmp_path: Path) -> None:
    dataset = get_dataset("potsdam3")
    path = tmp_path / "7.mat"
    with pytest.raises(UserError, match=r"7\.mat: no such label file"):
        dataset.read_labels(path)
    path.mkdir()
    with pytest.raises(UserError, match=r"7\.mat: cannot be read"):
        dataset.read_labels(path)
    path.rmdir()
    for values in (np.full((2, 2), 0.5), np.full((2, 2), np.inf), np.zeros((2, 2, 2))):
        write_tile(path, "gt", values)
        with pytest.raises(UserError, match=r"7\.mat: .*labels are (whole )?numbers"):
            dataset.read_labels(path)
    write_tile(path, "gt", np.zeros((50, 50)))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"7\.mat: damaged or truncated"):
        dataset.read_labels(path)


def test_damaged_tiles_are_skipped_like_any_damaged_image(tmp_path: Path) -> None:
    good = tmp_path / "good.mat"
    write_tile(good, "img", np.full((2, 2, 4), 9, np.uint8))
    damaged = {
        "cut.mat": good.read_bytes()[:150],
        "newer.mat": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(500),
        "text.mat": b"no MATLAB file at all",
        "empty.mat": b"",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    write_tile(tmp_path / "labels.mat", "gt", np.zeros((2, 2)))
    write_tile(tmp_path / "bands.mat", "img", np.zeros((2, 2, 12)))
    paths = [good, *(tmp_path / name for name in (*damaged, "labels.mat", "bands.mat"))]
    checked, skipped = check_images([ImageFile(path, Path(path.name)) for path in paths])
    assert [image.file.path for image in checked] == [good]
    for skip, reason in zip(
        skipped,
        ("truncated", "-v7", "not an image", "empty", "no array 'img'", "x 3 or 4"),
        strict=True,
    ):
        assert str(skip.file.path) in skip.reason
        assert reason in skip.reason
    with pytest.raises(UnreadableImageError, match=r"none\.mat"):
        read_image(tmp_path / "none.mat")


def test_tiles_of_other_kinds_become_8_bit_rgb(tmp_path: Path) -> None:
    path = tmp_path / "tile.mat"
    write_tile(path, "img", np.array([[0, 65535]], np.uint16))
    assert read_image(path).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    write_tile(path, "img", np.array([[[0.0, 0.5, 1.0]]]))
    assert read_image(path).tolist() == [[[0, 128, 255]]]


def test_missing_files_of_potsdam_are_named(potsdam: Path) -> None:
    dataset = get_dataset("potsdam3")
    (potsdam / "potsdam/imgs/4.mat").unlink()
    with pytest.raises(UserError, match=r"1 of 2 files in potsdam/imgs, such as 4\.mat"):
        dataset.items(potsdam, "train")
    (potsdam / "potsdam/gt/3.mat").unlink()
    with pytest.raises(UserError, match=r"1 of 1 files in potsdam/gt, such as 3\.mat"):
        dataset.items(potsdam, "val")
    (potsdam / "potsdam/unlabelled_train.txt").unlink()
    with pytest.raises(UserError, match=r"the list potsdam/unlabelled_train\.txt"):
        dataset.items(potsdam, "train")


def test_potsdam_raw_is_every_tile(tmp_path: Path) -> None:
    dataset = get_dataset("potsdamraw")
    home = tmp_path / "potsdamraw" / "processed"
    first = home / "imgs" / "0_0_0.mat"
    write_tile(first, "img", np.full((2, 2, 4), 9, np.uint8))
    assert "8549 of 8550 files in potsdamraw/processed/imgs" in missing(dataset, tmp_path)[0]
    for photo in range(38):
        for row in range(15):
            for column in range(15):
                if (photo, row, column) != (0, 0, 0):
                    os.link(first, home / "imgs" / f"{photo}_{row}_{column}.mat")
    assert missing(dataset, tmp_path) == ["labels in potsdamraw/processed/gt"]
    write_tile(home / "gt" / "37_14_14.mat", "gt", np.array([[4, 3]], np.uint8))
    write_tile(home / "gt" / "38_0_0.mat", "gt", np.array([[4, 3]], np.uint8))
    assert missing(dataset, tmp_path) == []
    train = names(dataset, tmp_path, "train")
    assert len(train) == 8550
    assert train[:2] == ["0_0_0.mat", "0_0_1.mat"]
    (item,) = dataset.items(tmp_path, "val")
    assert item.image.name == Path("37_14_14.mat")
    assert item.labels is not None
    assert dataset.read_labels(item.labels).tolist() == [[0, 2]]
    assert read_image(item.image.path).shape == (2, 2, 3)


@pytest.mark.parametrize("inner", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_from_any_of_its_folders(voc: Path, inner: str) -> None:
    dataset = get_dataset("voc21")
    assert names(dataset, voc / inner, "train") == ["2007_000002.jpg", "2007_000000.jpg"]
    (item,) = dataset.items(voc / inner, "val")
    assert item.labels is not None
    assert dataset.read_labels(item.labels).tolist() == [[0, 20, 255]]
    assert missing(dataset, voc / inner) == []


def test_voc_labels_and_missing_files(voc: Path) -> None:
    dataset = get_dataset("voc21")
    assert mapped(dataset, voc, list(range(21))) == list(range(21))
    assert mapped(dataset, voc, [21, 254, 255]) == [255] * 3
    assert dataset.classes[15] == "person"
    (voc / "VOCdevkit/VOC2012/SegmentationClass/2007_000001.png").unlink()
    (voc / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt").unlink()
    assert missing(dataset, voc) == [
        "the list VOC2012/ImageSets/Segmentation/train.txt",
        "1 of 1 files in VOC2012/SegmentationClass, such as 2007_000001.png",
    ]
    with pytest.raises(UserError, match=r"voc21 is not complete.*VOCtrainval"):
        dataset.items(voc, "val")


def test_camvid(camvid: Path) -> None:
    dataset = get_dataset("camvid11")
    assert names(dataset, camvid, "train") == ["day/a.png", "dusk/a.png"]
    (item,) = dataset.items(camvid / "camvid", "val")
    assert item.labels is not None
    assert dataset.read_labels(item.labels).tolist() == [[0, 10, 255, 255]]
    assert mapped(dataset, camvid, list(range(12))) == [*range(11), 255]
    assert dataset.class_names(camvid)[0] == "sky"
    (camvid / "camvid/labels/train/day/a.png").unlink()
    with pytest.raises(UserError, match=r"1 of 2 label files in camvid/labels/train.*day/a"):
        dataset.items(camvid, "train")
    # Other data in the same layout is not taken for CamVid.
    (camvid / "camvid").rename(camvid / "streets")
    assert missing(dataset, camvid / "streets") == ["the folder camvid"]
    assert missing(get_dataset("directory"), camvid / "streets") == []


def test_directory_with_labels_depth_and_names(tmp_path: Path) -> None:
    dataset = get_dataset("directory")
    for split in ("train", "val"):
        write_image(tmp_path / "imgs" / split / "one.jpg")
        write_image(tmp_path / "imgs" / split / "more" / "two.png")
        write_labels(tmp_path / "labels" / split / "one.png", [0, 5, 255])
        write_labels(tmp_path / "depth" / split / "more" / "two.png", [9])
    assert names(dataset, tmp_path, "train") == ["more/two.png", "one.jpg"]
    two, one = dataset.items(tmp_path, "val")
    assert (two.labels, two.depth) == (None, tmp_path / "depth/val/more/two.png")
    assert one.labels == tmp_path / "labels/val/one.png"
    assert one.depth is None
    assert dataset.read_labels(one.labels).tolist() == [[0, 5, 255]]
    assert dataset.class_names(tmp_path) == ()
    (tmp_path / "classes.txt").write_text("\ufeffsea\n\nland \n", encoding="utf-8")
    assert dataset.class_names(tmp_path) == ("sea", "land")
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"classes\.txt: not UTF-8"):
        dataset.class_names(tmp_path)


def test_directory_without_labels(tmp_path: Path) -> None:
    dataset = get_dataset("directory")
    name = tmp_path.name
    assert missing(dataset, tmp_path) == [
        f"the folder {name}/imgs/train",
        f"the folder {name}/imgs/val",
    ]
    (tmp_path / "imgs/val").mkdir(parents=True)
    write_image(tmp_path / "imgs" / "train" / "a.jpg")
    (item,) = dataset.items(tmp_path, "train")
    assert item.labels is None
    assert missing(dataset, tmp_path) == [f"images in {name}/imgs/val"]
    write_labels(tmp_path / "labels/train/b.png", [1])
    with pytest.raises(UserError, match=r"label files in .*labels/train with the images' names"):
        dataset.items(tmp_path, "train")
    with pytest.raises(UserError, match="nowhere"):
        dataset.items(tmp_path / "nowhere", "train")


@pytest.mark.data
def test_real_camvid(real_data: Path) -> None:
    dataset = get_dataset("camvid11")
    assert missing(dataset, real_data) == []
    items = dataset.items(real_data, "val")
    assert all(item.labels and item.depth for item in items)
    assert items[0].labels is not None
    labels = dataset.read_labels(items[0].labels)
    assert set(np.unique(labels)) <= {*range(11), 255}
    assert get_dataset("directory").class_names(real_data / "camvid") == dataset.classes
