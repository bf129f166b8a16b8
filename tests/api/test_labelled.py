"""Folders of images and labels: label maps, and mistakes that are found before any work."""

import logging
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from segdistill import labelled_folders
from segdistill.api.labelled import labelled_dataset
from segdistill.errors import UserError

COLOURS = np.array([(128, 64, 128), (0, 0, 142), (70, 130, 180), (0, 0, 0)], np.uint8)


def regions(seed: int) -> NDArray[np.uint8]:
    """Return labels 0 to 3 in rectangles, of 96 x 128 pixels."""
    random = np.random.default_rng(seed)
    labels = np.zeros((96, 128), np.uint8)
    for label in (1, 2, 3):
        top, left = random.integers(0, (40, 70))
        labels[top : top + 44, left : left + 50] = label
    return labels


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    for seed in range(3):
        Image.new("RGB", (128, 96)).save(images / f"{seed}.jpg")
    return images, labels


def write(folder: Path, values: NDArray[np.uint8], seed: int, suffix: str = ".png") -> None:
    Image.fromarray(values).save(folder / f"{seed}{suffix}", quality=75)


def map_file(folder: Path, **content: object) -> Path:
    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def colour_map(folder: Path) -> Path:
    named = zip(("road", "car", "sky"), COLOURS[:3].tolist(), strict=True)
    classes = [{"name": name, "colours": colour} for name, colour in named]
    return map_file(folder, classes=classes, ignore=["#000000"])


@pytest.mark.parametrize("palette", [False, True])
def test_colours_are_classes_through_a_map(
    folders: tuple[Path, Path], tmp_path: Path, palette: bool
) -> None:
    images, labels = folders
    for seed in range(3):
        picture = Image.fromarray(COLOURS[regions(seed)])
        if palette:
            picture = picture.convert("P", palette=Image.Palette.ADAPTIVE)
        picture.save(labels / f"{seed}.png")
    found = labelled_folders(images, labels, label_map=colour_map(tmp_path))
    assert found.names == ("road", "car", "sky")
    assert found.classes == 3
    for seed, (_, path) in enumerate(found.pairs):
        expected = np.where(regions(seed) == 3, 255, regions(seed))
        np.testing.assert_array_equal(found.read(path), expected)


def test_colours_without_a_map_are_listed_with_a_map_to_fill_in(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, labels = folders
    # One file is all black, and alone would pass for class 0.
    Image.new("RGB", (128, 96)).save(labels / "0.png")
    for seed in (1, 2):
        write(labels, COLOURS[regions(seed)], seed)
    with pytest.raises(UserError) as caught:
        labelled_folders(images, labels)
    first, *lines = str(caught.value).splitlines()
    assert str(labels) in first
    assert "--label-map" in first
    assert lines[1] == '  - {name: class 0, colours: "#000000"}  # ' + lines[1].partition("# ")[2]
    shares = [float(line.partition("# ")[2].split("%")[0]) for line in lines[1:5]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    (tmp_path / "given.yaml").write_text("\n".join(lines), encoding="utf-8")
    found = labelled_folders(images, labels, label_map=tmp_path / "given.yaml")
    assert found.classes == 4
    assert set(np.unique(found.read(found.pairs[1][1]))) == {0, 1, 2, 3}


def test_photos_as_labels_give_a_bounded_message(folders: tuple[Path, Path]) -> None:
    images, labels = folders
    noise = np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), dtype=np.uint8)
    for seed in range(3):
        write(labels, noise[seed], seed)
    with pytest.raises(UserError, match="are these label files") as caught:
        labelled_folders(images, labels)
    assert len(str(caught.value)) < 5000
    for seed in range(3):
        (labels / f"{seed}.png").unlink()
        write(labels, noise[seed], seed, ".jpg")
    with pytest.raises(UserError, match="lossily compressed") as caught:
        labelled_folders(images, labels)
    assert len(str(caught.value)) < 500


def test_values_in_no_class_are_listed_with_their_share(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, labels = folders
    for seed in range(3):
        write(labels, regions(seed), seed)
    classes = [{"name": "ground", "numbers": 0}, {"name": "thing", "numbers": 1}]
    with pytest.raises(UserError) as caught:
        labelled_folders(images, labels, label_map=map_file(tmp_path, classes=classes))
    pixels = np.concatenate([regions(seed).ravel() for seed in range(3)])
    for value in (2, 3):
        assert f"{value} ({100 * (pixels == value).mean():.1f}%)" in str(caught.value)
    assert "map.yaml" in str(caught.value)
    assert "`ignore`" in str(caught.value)
    found = labelled_folders(
        images, labels, label_map=map_file(tmp_path, classes=classes, ignore=["2-3"])
    )
    assert set(np.unique(found.read(found.pairs[0][1]))) == {0, 1, 255}


def test_ignored_numbers_and_an_offset(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, labels = folders
    for seed in range(3):
        values = regions(seed).astype(np.uint16) + 1
        values[:9], values[-9:] = 0, 65535
        Image.fromarray(values).save(labels / f"{seed}.png")
    with pytest.raises(UserError, match="65535"):
        labelled_folders(images, labels)
    found = labelled_folders(
        images, labels, label_map=map_file(tmp_path, offset=1, ignore=[0, -1, 255, 65535])
    )
    read = found.read(found.pairs[2][1])
    np.testing.assert_array_equal(read[9:-9], regions(2)[9:-9])
    assert (np.concatenate([read[:9], read[-9:]]) == 255).all()
    assert found.classes == 4


@pytest.mark.parametrize("mapped", [False, True])
def test_numbers_in_jpeg_files_are_snapped_with_a_warning(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, mapped: bool
) -> None:
    images, labels = folders
    for seed in range(3):
        write(labels, regions(seed) * 60, seed, ".jpg")
    classes = [{"name": f"c{n}", "numbers": 60 * n} for n in range(4)]
    label_map = map_file(tmp_path, classes=classes) if mapped else None
    with caplog.at_level(logging.WARNING, "segdistill"):
        found = labelled_folders(images, labels, label_map=label_map)
    assert sum("3 of 3 label files use lossy compression" in r for r in caplog.messages) == 1
    for seed, (_, path) in enumerate(found.pairs):
        read, expected = found.read(path), regions(seed) if mapped else regions(seed) * 60
        assert set(np.unique(read)) == set(np.unique(expected))
        assert (read == expected).mean() > 0.999


def test_colours_in_jpeg_files_are_snapped_to_those_of_the_map(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = folders
    for seed in range(3):
        write(labels, COLOURS[regions(seed)], seed, ".jpg")
    with pytest.raises(UserError) as caught:
        labelled_folders(images, labels)
    for colour in ("#000000", "#4682b4", "#8"):  # as JPEG keeps them
        assert f'colours: "{colour}' in str(caught.value)
    found = labelled_folders(images, labels, label_map=colour_map(tmp_path))
    assert "use lossy compression" in caplog.text
    expected = np.where(regions(1) == 3, 255, regions(1))
    assert (found.read(found.pairs[1][1]) == expected).mean() > 0.98
    unlike = map_file(tmp_path, classes=[{"name": "road", "colours": "#804080"}])
    with pytest.raises(UserError, match=r"no class of .*map\.yaml lists: \"#000000\""):
        labelled_folders(images, labels, label_map=unlike)


def test_white_is_only_snapped_to_if_the_map_lists_it(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = folders
    colours = COLOURS[:3].copy()
    colours[1] = 250, 240, 235
    for seed in range(3):
        write(labels, colours[regions(seed) % 3], seed, ".jpg")
    classes = [
        {"name": f"c{index}", "colours": colour} for index, colour in enumerate(colours.tolist())
    ]
    found = labelled_folders(images, labels, label_map=map_file(tmp_path, classes=classes))
    assert "#ffffff" not in caplog.text
    assert set(np.unique(found.read(found.pairs[1][1]))) == {0, 1, 2}


@pytest.mark.parametrize("content", [b"sky\n\x1b[31mred\n", b"sky\n\xff\n"])
def test_a_listing_of_classes_is_plain_text(folders: tuple[Path, Path], content: bytes) -> None:
    images, labels = folders
    for seed in range(3):
        write(labels, regions(seed), seed)
    (labels.parent / "classes.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"classes\.txt: .*(control characters|not UTF-8)"):
        labelled_folders(images, labels)


def test_class_indices_in_jpeg_files_are_refused(folders: tuple[Path, Path]) -> None:
    images, labels = folders
    for seed in range(3):
        write(labels, regions(seed), seed, ".jpg")
    with pytest.raises(UserError, match=r"\.jpg\) are lossily compressed, .*as close as 0, 1"):
        labelled_folders(images, labels)


def test_sparse_numbers_are_told_in_one_line(
    folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = folders
    for seed in range(3):
        write(labels, regions(seed) * 40, seed)
    found = labelled_folders(images, labels)
    (message,) = caplog.messages
    assert "the labels are 0, 40, 80, 120" in message
    assert "{name: class 1, numbers: 40}" in message
    assert len(message.splitlines()) == 1
    assert found.classes == 121
    caplog.clear()
    for seed in range(3):
        write(labels, regions(seed), seed)
    labelled_folders(images, labels)
    assert not caplog.messages


def test_smoothed_numbers_are_told(
    folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = folders
    for seed in range(3):
        small = Image.fromarray(regions(seed) * 60).resize((64, 48), Image.Resampling.BICUBIC)
        smooth = small.resize((128, 96), Image.Resampling.BICUBIC)
        smooth.save(labels / f"{seed}.png")
    labelled_folders(images, labels)
    assert "resized with smoothing" in caplog.text


def test_a_suffix_is_found_and_said(
    folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = folders
    for seed in range(3):
        Image.fromarray(regions(seed)).save(labels / f"{seed}_mask.png")
    with caplog.at_level(logging.INFO, "segdistill"):
        found = labelled_folders(images, labels)
    assert [path.name for _, path in found.pairs] == ["0_mask.png", "1_mask.png", "2_mask.png"]
    assert "such as 0_mask.png for 0.jpg" in caplog.text
    for seed in range(3):
        Image.fromarray(COLOURS[regions(seed)]).save(labels / f"{seed}_color.png")
    with pytest.raises(UserError, match=r"\{labels: _color\}` or `suffix: \{labels: _mask\}"):
        labelled_folders(images, labels)


def test_suffixes_of_a_map(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, labels = folders
    for seed in range(3):
        (images / f"{seed}.jpg").rename(images / f"{seed}_leftImg8bit.jpg")
        for kind in ("labelIds", "instanceIds"):
            Image.fromarray(regions(seed)).save(labels / f"{seed}_gtFine_{kind}.png")
    suffix = {"images": "_leftImg8bit", "labels": "_gtFine_labelIds"}
    found = labelled_folders(images, labels, label_map=map_file(tmp_path, suffix=suffix))
    assert [path.name for _, path in found.pairs] == [f"{n}_gtFine_labelIds.png" for n in range(3)]


def test_arrays_are_label_files(folders: tuple[Path, Path]) -> None:
    images, labels = folders
    for seed in range(3):
        np.save(labels / f"{seed}.npy", regions(seed).astype(np.int64))
    found = labelled_folders(images, labels)
    np.testing.assert_array_equal(found.read(found.pairs[2][1]), regions(2))


def test_a_map_is_for_own_labels(tmp_path: Path) -> None:
    root = tmp_path / "world"
    for part in ("imgs", "labels"):
        (root / part / "val").mkdir(parents=True)
    Image.new("RGB", (128, 96)).save(root / "imgs/val/a.png")
    write(root / "labels/val", COLOURS[regions(0)], 0)
    (root / "labels/val/0.png").rename(root / "labels/val/a.png")
    found = labelled_dataset("directory", root, "val", label_map=colour_map(tmp_path))
    assert found.names == ("road", "car", "sky")
    with pytest.raises(UserError, match="the labels are colours"):
        labelled_dataset("directory", root, "val")
    with pytest.raises(UserError, match=r"map\.yaml: camvid11 defines its own classes"):
        labelled_dataset("camvid11", root, "val", label_map=colour_map(tmp_path))
    write(root / "labels/val", regions(0), 0, ".tif")
    (root / "labels/val/0.tif").rename(root / "labels/val/a.tif")
    with pytest.raises(UserError, match=r"a\.png and .*a\.tif: both are label files"):
        labelled_dataset("directory", root, "val")
