"""Counting over files: shares of several processes, pixels without a value, and shapes."""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.evaluation.test_folder import blueness, write_pairs
from tests.helpers import striped_image, striped_labels

from segdistill.decoding.pictures import Picture
from segdistill.errors import UserError
from segdistill.evaluation.confusion import ConfusionMatrix, score
from segdistill.evaluation.folder import CountedFiles, Labels, confusion_over_files
from segdistill.images.folder import ImageFile
from segdistill.labels.label_files import read_labels
from segdistill.labels.label_map import VOID_AS_CLASS
from segdistill.processes import SINGLE_PROCESS, Group

Item = TypeVar("Item")
Result = TypeVar("Result")


class InTurn(Group):
    """Three processes of a run, one after the other."""

    turn = 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        return list(items[InTurn.turn :: 3])

    def each(self, work: Callable[[], Result]) -> list[Result]:
        results = []
        for turn in range(3):
            InTurn.turn = turn
            results.append(work())
        return results


def count(
    pairs: list[tuple[ImageFile, Path]],
    *,
    group: Group = SINGLE_PROCESS,
    read: Callable[[Path], Picture] | None = None,
    labels: Callable[[Path], Labels] = read_labels,
    progress: bool = False,
) -> CountedFiles:
    given = {} if read is None else {"read": read}
    return confusion_over_files(
        pairs,
        labels,
        lambda image, labels: (image, labels),
        lambda image, size: {
            name: np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
            for name, mask in {
                "cluster": blueness(image, size)["cluster"],
                "linear": image[..., 1] // 86,
            }.items()
        },
        {"cluster": 2, "linear": 3},
        group=group,
        progress=progress,
        **given,  # type: ignore[arg-type]
    )


def test_processes_count_what_one_process_counts(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 8)
    pairs[1][0].path.write_bytes(b"")
    pairs[3][0].path.write_bytes(b"")
    labels = striped_labels(5)
    labels[:, :9] = 255
    labels[0, 20] = 6  # a label class that only one of the processes meets
    Image.fromarray(labels).save(pairs[5][1])
    whole, parts = count(pairs), count(pairs, group=InTurn())
    assert parts.images == whole.images == 6
    assert parts.has_void
    assert whole.has_void
    assert {each.file for each in parts.skipped} == {each.file for each in whole.skipped}
    assert len(parts.skipped) == 2
    for name in ("cluster", "linear"):
        found, expected = parts.matrices[name].counts, whole.matrices[name].counts
        np.testing.assert_array_equal(found, expected)
        assert found[:, 6].sum() == 1
        halves = parts.halves[name].counts, whole.halves[name].counts
        np.testing.assert_array_equal(*halves)
        assert 0 < halves[0].sum() < found.sum()
        for part in ("predicted", "labelled", "predicted_hits", "labelled_hits"):
            np.testing.assert_array_equal(
                getattr(parts.boundaries[name], part), getattr(whole.boundaries[name], part)
            )


def test_counts_of_fewer_label_classes_are_added() -> None:
    one, other = ConfusionMatrix(2), ConfusionMatrix(2)
    one.update(np.array([[0, 1, 1]], np.uint8), np.array([[0, 3, 3]]))
    other.update(np.array([[1, 0]], np.uint8), np.array([[0, 1]]))
    one.add(other)
    assert one.counts.tolist() == [[1, 1, 0, 0], [1, 0, 0, 2]]
    other.add(one)
    assert other.counts.tolist() == [[1, 2, 0, 0], [2, 0, 0, 2]]


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_pixels_without_a_value_are_not_scored(tmp_path: Path, scale: int) -> None:
    pairs = write_pairs(tmp_path, 1)
    valid = np.zeros((64, 96), np.bool_)
    valid[10:40, 5:25] = True

    def read(_path: Path) -> Picture:
        return Picture(striped_image(0), valid)

    def larger(_path: Path) -> NDArray[np.int64]:
        return np.kron(striped_labels(0), np.ones((scale, scale))).astype(np.int64)

    counts = count(pairs, read=read, labels=larger).matrices["cluster"].counts
    seen = striped_labels(0)[valid]
    assert (
        counts.sum(axis=0).tolist()
        == (np.bincount(seen, minlength=3) * scale**2)[: int(seen.max()) + 1].tolist()
    )
    # What has no value is no void of the label files: nothing is warned of.
    assert not count(pairs, read=read, labels=larger).has_void


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        ((103, 100), False),
        ((102, 100), True),
        ((100, 100), True),
        ((100, 103), True),
        ((97, 100), False),
        ((98, 100), True),
        ((204, 200), True),
        ((50, 50), True),
        ((194, 200), False),
    ],
)
def test_aspect_ratios_may_differ_by_less_than_3_percent(
    tmp_path: Path, size: tuple[int, int], fits: bool
) -> None:
    pairs = write_pairs(tmp_path, 1)
    image = np.full((*size, 3), 90, np.uint8)
    Image.fromarray(image).save(pairs[0][0].path)
    labels = np.zeros((100, 100), np.uint8)
    Image.fromarray(labels).save(pairs[0][1])
    if fits:
        assert count(pairs).matrices["cluster"].counts.sum() == 10_000
        return
    path, label_path = pairs[0][0].path, pairs[0][1]
    message = (
        f"{label_path}: labels of 100x100 do not match the image {path} of {size[1]}x{size[0]}"
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        count(pairs)


def test_swapped_sides_name_both_files_and_the_cause(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 1)
    Image.fromarray(np.zeros((192, 128), np.uint8)).save(pairs[0][1])
    message = (
        f"{pairs[0][1]}: labels of 128x192 do not match the image {pairs[0][0].path} of 96x64; they"
        " would match if width and height were swapped, so one of the two files lacks the"
        " orientation (EXIF) of the other: rotate the labels to match the image as shown"
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        count(pairs)


def test_messages_name_the_file_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs = write_pairs(tmp_path, 2)
    pairs[0][0].path.write_bytes(b"")
    with caplog.at_level(logging.WARNING, "segdistill"):
        done = count(pairs)
    reason = done.skipped[0].reason
    assert [each.getMessage() for each in caplog.records] == [f"skipped: {reason}"]
    with pytest.raises(UserError) as caught:
        confusion_over_files(
            pairs, read_labels, lambda i, m: (i, m), blueness, {"cluster": 2}, strict=True
        )
    assert str(caught.value) == f"{reason}; fix or remove it, or omit --strict to skip it"


def test_every_file_moves_the_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_pairs(tmp_path, 3)
    pairs[0][0].path.write_bytes(b"")
    count(pairs, progress=True)
    shown = capsys.readouterr().err
    assert "Evaluating" in shown
    assert "3/3" in shown
    count(pairs)
    assert capsys.readouterr().err == ""


def test_what_cannot_be_scored_is_told_in_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UserError, match=r"^there are no images to score$"):
        count([])
    pairs = write_pairs(tmp_path, 2)
    for _, path in pairs:
        Image.fromarray(np.full((64, 96), 255, np.uint8)).save(path)
    message = "the label files contain no labelled pixels (255 means 'not labelled')"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        count(pairs)
    with pytest.raises(ValueError, match=r"^no labelled pixels to score$"):
        score(np.zeros((2, 3), np.int64))
    for seed, (_, path) in enumerate(pairs):
        Image.fromarray(np.where(striped_labels(seed) > 0, 255, 0).astype(np.uint8)).save(path)
    with caplog.at_level(logging.WARNING, "segdistill"):
        count(pairs)
    warning = (
        "the label files contain only 0 and 255, and 255 means 'not labelled', so only 0 was"
        f" scored; {VOID_AS_CLASS}"
    )
    assert caplog.messages == [warning]
    for image, _ in pairs:
        image.path.write_bytes(b"")
    caplog.clear()
    with caplog.at_level(logging.WARNING, "segdistill"), pytest.raises(UserError) as caught:
        count(pairs)
    first = caplog.messages[0].removeprefix("skipped: ")
    assert str(caught.value) == f"none of the 2 images can be scored; first error: {first}"


def test_an_error_while_predicting_begins_with_the_path(tmp_path: Path) -> None:
    def refuse(image: NDArray[np.uint8], size: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
        raise UserError(f"{image.shape[:2]} at {size} is too large")

    pairs = write_pairs(tmp_path, 1)
    message = f"{pairs[0][0].path}: (64, 96) at (64, 96) is too large"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        confusion_over_files(pairs, read_labels, lambda i, m: (i, m), refuse, {"cluster": 2})
