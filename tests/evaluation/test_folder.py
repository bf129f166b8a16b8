"""Counting over files: nothing but counts is kept, and damaged files are skipped."""

import logging
import tracemalloc
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.helpers import striped_image, striped_labels

from segdistill.errors import UserError
from segdistill.evaluation.boundary import BoundaryCounts, boundary_counts, boundary_map
from segdistill.evaluation.folder import CountedFiles, confusion_over_files
from segdistill.images.folder import ImageFile
from segdistill.labels.label_files import read_labels

Pairs = list[tuple[ImageFile, Path]]


def write_pairs(folder: Path, count: int) -> Pairs:
    pairs = []
    for seed in range(count):
        image, labels = folder / f"{seed}.png", folder / f"{seed}_labels.png"
        Image.fromarray(striped_image(seed)).save(image)
        Image.fromarray(striped_labels(seed)).save(labels)
        pairs.append((ImageFile(image, Path(image.name)), labels))
    return pairs


def blueness(image: NDArray[np.uint8], size: tuple[int, int]) -> Mapping[str, NDArray[np.uint8]]:
    del size
    return {"cluster": (image[..., 2] > image[..., 1].astype(int) + 50).astype(np.uint8)}


def count(pairs: Pairs, *, strict: bool = False, label_classes: int = 0) -> CountedFiles:
    return confusion_over_files(
        pairs,
        read_labels,
        lambda image, labels: (image, labels),
        blueness,
        {"cluster": 2},
        strict=strict,
        label_classes=label_classes,
    )


def test_counts_add_up_over_files(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 3)
    done = count(pairs)
    assert done.images == 3
    assert not done.skipped
    counts = done.matrices["cluster"].counts
    alone = [count([pair]).matrices["cluster"].counts for pair in pairs]
    np.testing.assert_array_equal(counts, sum(alone))
    assert counts.sum() == 3 * 64 * 96
    assert counts[1, 0] > 0.9 * counts[:, 0].sum()
    assert count(pairs, label_classes=5).matrices["cluster"].counts.shape == (2, 5)


def test_boundaries_are_counted_beside_pixels(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 3)
    # A class that is nowhere has a place in both counts, so that any matching can be scored.
    done = count(pairs, label_classes=5)
    expected = BoundaryCounts.zeros(2, 5)
    for seed in range(3):
        masks = blueness(striped_image(seed), (64, 96))["cluster"], striped_labels(seed)
        one, other = (boundary_map(mask, np.ones((64, 96), np.bool_)) for mask in masks)
        expected += boundary_counts(one, other, 2, 5)
    found = done.boundaries["cluster"]
    assert found.labelled[:3].all()
    for name in ("predicted", "labelled", "predicted_hits", "labelled_hits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_only_counts_are_kept(tmp_path: Path) -> None:
    seen: list[weakref.ref[NDArray[np.generic]]] = []
    most_alive = 0

    def watched(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        nonlocal most_alive
        seen.append(weakref.ref(array))
        most_alive = max(most_alive, sum(reference() is not None for reference in seen))
        return array

    confusion_over_files(
        write_pairs(tmp_path, 12),
        read_labels,
        lambda image, labels: (watched(image), labels),
        lambda image, size: {"cluster": watched(blueness(image, size)["cluster"])},
        {"cluster": 2},
    )
    assert len(seen) == 24
    # The image at work with its mask, and those before it until their names are taken again.
    assert most_alive <= 4


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 2)

    def peak(repeats: int) -> int:
        tracemalloc.start()
        count(pairs * repeats)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is loaded at first use does not count
    # One mask an image kept would be 340 kB more.
    assert peak(30) < peak(2) + 150_000


@pytest.mark.parametrize("which", ["image", "labels"])
@pytest.mark.parametrize("damage", ["cut", "empty", "letters", "gone"])
def test_damaged_files_are_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, which: str, damage: str
) -> None:
    pairs = write_pairs(tmp_path, 3)
    path = pairs[1][0].path if which == "image" else pairs[1][1]
    content = path.read_bytes()
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "letters": b"dear", "gone": None}
    if damaged[damage] is None:
        path.unlink()
    else:
        path.write_bytes(damaged[damage] or b"")
    with caplog.at_level(logging.WARNING, "segdistill"):
        done = count(pairs)
    assert done.images == 2
    assert [skipped.file for skipped in done.skipped] == [pairs[1][0]]
    assert str(path) in done.skipped[0].reason
    assert str(path) in caplog.text
    assert done.matrices["cluster"].counts.sum() == 2 * 64 * 96
    with pytest.raises(UserError, match="omit --strict") as caught:
        count(pairs, strict=True)
    assert str(path) in str(caught.value)


def test_all_damaged_is_an_error(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 2)
    for image, _ in pairs:
        image.path.write_bytes(b"")
    with pytest.raises(
        UserError, match=r"none of the 2 images can be scored; first error: .*0\.png"
    ):
        count(pairs)
    with pytest.raises(UserError, match="no images to score"):
        count([])


def test_labels_of_another_image_stop(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 1)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(pairs[0][1])
    with pytest.raises(UserError, match=r"labels of 64x64 do not match the image .* of 96x64"):
        count(pairs)


def test_swapped_sides_are_told_from_other_images(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 1)
    Image.fromarray(np.zeros((96, 64), np.uint8)).save(pairs[0][1])
    with pytest.raises(UserError, match=r"labels of 64x96 do not match .*orientation \(EXIF\)"):
        count(pairs)


def test_labels_are_turned_like_their_image(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 1)
    upright = count(pairs).matrices["cluster"].counts
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: viewers turn it clockwise
    for path in (pairs[0][0].path, pairs[0][1]):
        with Image.open(path) as image:
            stored = image.transpose(Image.Transpose.ROTATE_90)
        stored.save(path, exif=exif)
    np.testing.assert_array_equal(count(pairs).matrices["cluster"].counts, upright)


def test_every_second_image_is_in_the_other_half(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 5)
    done = count(pairs)
    second = count(pairs[1::2]).matrices["cluster"].counts
    np.testing.assert_array_equal(done.halves["cluster"].counts, second)


def test_an_error_while_predicting_names_the_image(tmp_path: Path) -> None:
    def refuse(image: NDArray[np.uint8], size: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
        raise UserError(f"too large: {image.shape}, {size}")

    pairs = write_pairs(tmp_path, 1)
    with pytest.raises(UserError, match=r"0\.png: too large"):
        confusion_over_files(pairs, read_labels, lambda i, m: (i, m), refuse, {"cluster": 2})


@pytest.mark.parametrize(
    ("values", "warns"),
    [((0, 255), True), ((0, 1), False), ((0, 0), False), ((0, 7), False)],
)
def test_labels_that_look_binary_are_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: tuple[int, int], warns: bool
) -> None:
    pairs = write_pairs(tmp_path, 3)
    for seed, (_, path) in enumerate(pairs):
        labels = np.where(striped_labels(seed) > 0, values[1], values[0]).astype(np.uint8)
        Image.fromarray(labels).save(path)
    with caplog.at_level(logging.WARNING, "segdistill"):
        count(pairs)
    assert len(caplog.records) == warns
    if warns:
        assert "255 means 'not labelled'" in caplog.text
        assert "{name: object, numbers: 255}" in caplog.text


def test_void_beside_other_classes_is_no_cause_for_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = write_pairs(tmp_path, 2)
    Image.fromarray(np.where(striped_labels(0) > 0, 255, 0).astype(np.uint8)).save(pairs[0][1])
    with caplog.at_level(logging.WARNING, "segdistill"):
        count(pairs)
    assert not caplog.records


def test_no_labelled_pixel_is_an_error(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 1)
    Image.fromarray(np.full((64, 96), 255, np.uint8)).save(pairs[0][1])
    with pytest.raises(UserError, match="no labelled pixel"):
        count(pairs)
