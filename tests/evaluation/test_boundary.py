"""Boundary F-score, against distances between all pairs of boundary pixels."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segdistill.evaluation.boundary import (
    TOLERANCE,
    BoundaryCounts,
    boundary_counts,
    boundary_map,
    boundary_pixels,
    boundary_scores,
    dilate,
)
from segdistill.evaluation.confusion import labelled_mask

Mask = NDArray[np.int64]
SEEDS = st.integers(0, 99_999)


def random_mask(
    seed: int, classes: int, shape: tuple[int, int] = (9, 12), *, cell: int = 3, void: float = 0.0
) -> Mask:
    """Rectangles of random classes, with some pixels that have no label."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, classes, (shape[0] // cell + 1, shape[1] // cell + 1))
    mask = np.kron(coarse, np.ones((cell, cell), np.int64))[: shape[0], : shape[1]]
    mask[random.random(shape) < void] = random.choice([255, -1])
    return mask


def counted(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    clusters: int,
    *,
    tolerance: float = TOLERANCE,
) -> BoundaryCounts:
    valid = labelled_mask(labels)
    one, other = (boundary_map(each, valid, tolerance=tolerance) for each in (predicted, labels))
    return boundary_counts(one, other, clusters, int(labels[valid].max(initial=-1)) + 1)


def plain_boundary(mask: Mask, valid: NDArray[np.bool_], each: int) -> NDArray[np.intp]:
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [(v, u) for v, u in beside if 0 <= v < height and 0 <= u < width]
            others = [place for place in inside if valid[place] and mask[place] != each]
            if valid[y, x] and mask[y, x] == each and others:
                found.append((y, x))
    return np.array(found, np.intp).reshape(-1, 2)


def plain_near(own: NDArray[np.intp], other: NDArray[np.intp], radius: float) -> int:
    distances = np.sqrt(((own[:, None] - other[None]) ** 2).sum(-1))
    return int((distances < radius).any(axis=1).sum())


def identity(counts: BoundaryCounts) -> tuple[int, ...]:
    labels = len(counts.labelled)
    return tuple(each if each < labels else -1 for each in range(len(counts.predicted)))


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    clusters=st.integers(1, 4),
    classes=st.integers(1, 4),
    tolerance=st.floats(0.01, 0.5),
    void=st.sampled_from([0.0, 0.2]),
    cell=st.integers(1, 4),
)
def test_counts_equal_distances_between_all_pairs(
    seed: int, clusters: int, classes: int, tolerance: float, void: float, cell: int
) -> None:
    predicted = random_mask(seed, clusters, cell=cell)
    labels = random_mask(seed + 1, classes, cell=cell, void=void)
    counts = counted(predicted, labels, clusters, tolerance=tolerance)
    valid, radius = (labels >= 0) & (labels != 255), tolerance * math.hypot(*labels.shape)
    for label in range(len(counts.labelled)):
        truth = plain_boundary(labels, valid, label)
        assert counts.labelled[label] == len(truth)
        for cluster in range(clusters):
            found = plain_boundary(predicted, valid, cluster)
            assert counts.predicted[cluster] == len(found)
            assert counts.predicted_hits[cluster, label] == plain_near(found, truth, radius)
            assert counts.labelled_hits[cluster, label] == plain_near(truth, found, radius)


@pytest.mark.parametrize("classes", [8, 9, 64, 65, 150])
def test_any_number_of_classes(classes: int) -> None:
    random = np.random.default_rng(0)
    cells = np.arange(600).reshape(20, 30) % classes
    predicted, labels = (
        np.kron(random.permuted(cells), np.ones((2, 2), np.int64)) for _ in range(2)
    )
    counts = counted(predicted, labels, classes, tolerance=0.05)
    for cluster, label in [(0, 0), (classes - 1, classes - 1), (7, classes - 2), (classes - 1, 0)]:
        masks = ((predicted == cluster).astype(int), (labels == label).astype(int))
        alone = counted(*masks, 2, tolerance=0.05)
        assert counts.predicted[cluster] == alone.predicted[1] > 0
        assert counts.labelled[label] == alone.labelled[1] > 0
        assert counts.predicted_hits[cluster, label] == alone.predicted_hits[1, 1]
        assert counts.labelled_hits[cluster, label] == alone.labelled_hits[1, 1]


@settings(max_examples=30, deadline=None)
@given(radius=st.floats(0.5, 9), seed=SEEDS)
def test_spreading_is_dilation_by_a_disc(radius: float, seed: int) -> None:
    marked = (np.random.default_rng(seed).random((7, 9)) < 0.1).astype(np.uint8)
    y, x = np.nonzero(marked)
    rows, columns = np.mgrid[:7, :9]
    squares = (rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2
    near = (squares < radius**2).any(-1)
    np.testing.assert_array_equal(dilate(marked, radius), near)


def test_at_the_tolerance_is_not_near() -> None:
    marked = np.zeros((1, 9), np.uint8)
    marked[0, 4] = 1
    assert dilate(marked, 3.0).sum() == 5
    assert dilate(marked, 3.001).sum() == 7


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, classes=st.integers(2, 5), void=st.sampled_from([0.0, 0.3]))
def test_identical_masks_score_1(seed: int, classes: int, void: float) -> None:
    labels = random_mask(seed, classes, void=void)
    counts = counted(labels, labels, 256)
    assume(counts.labelled.any())
    scores = boundary_scores(counts, identity(counts))
    assert scores.mean_f == 1
    assert all(f == 1 or math.isnan(f) for f in scores.f)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, down=st.integers(-4, 4), right=st.integers(-4, 4), over=st.floats(0.01, 2))
def test_a_shift_by_less_than_the_tolerance_scores_1(
    seed: int, down: int, right: int, over: float
) -> None:
    shape = (30, 40)
    labels = np.zeros(shape, np.int64)
    labels[6:24, 6:34] = random_mask(seed, 4, (18, 28))
    assume(labels.any())
    # Five rows and columns of nothing all around: none of what is shifted leaves the image.
    shifted = np.roll(labels, (down, right), axis=(0, 1))
    tolerance = (math.hypot(down, right) + over) / math.hypot(*shape)
    counts = counted(shifted, labels, 4, tolerance=tolerance)
    assert boundary_scores(counts, identity(counts)).mean_f == 1


def test_a_shift_by_more_than_the_tolerance_is_seen() -> None:
    labels = np.zeros((30, 40), np.int64)
    labels[8:20, 10:30] = 1
    shifted = np.roll(labels, 4, axis=1)
    counts = counted(shifted, labels, 2, tolerance=0.06)  # 3 pixels
    scores = boundary_scores(counts, (0, 1))
    assert scores.f[1] < 0.95
    assert scores.precision[1] == scores.recall[1]


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, tolerance=st.floats(0.01, 0.3))
def test_swapping_the_masks_swaps_precision_and_recall(seed: int, tolerance: float) -> None:
    one, other = random_mask(seed, 3), random_mask(seed + 1, 3)
    both = [
        BoundaryCounts.zeros(3, 3) + counted(*pair, 3, tolerance=tolerance)
        for pair in ((one, other), (other, one))
    ]
    np.testing.assert_array_equal(both[0].predicted_hits, both[1].labelled_hits.T)
    np.testing.assert_array_equal(both[0].predicted, both[1].labelled)
    forth, back = (boundary_scores(counts, (0, 1, 2)) for counts in both)
    np.testing.assert_array_equal(forth.precision, back.recall)
    np.testing.assert_array_equal(forth.recall, back.precision)
    np.testing.assert_array_equal(forth.f, back.f)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, match=st.permutations([0, 1, 2, -1, -1]))
def test_any_matching_scores_as_if_it_had_been_known(seed: int, match: list[int]) -> None:
    """Counts of pairs of a cluster and a class lose nothing."""
    late = BoundaryCounts.zeros(5, 3)
    early = BoundaryCounts.zeros(5, 3)
    # What matches nothing becomes classes that do not occur in the labels.
    rest = iter((3, 4))
    renamed = np.array([label if label >= 0 else next(rest) for label in match])
    for image in range(3):
        predicted = random_mask(seed + image, 5)
        labels = random_mask(seed + 10 + image, 3, void=0.1)
        late += counted(predicted, labels, 5, tolerance=0.1)
        early += counted(renamed[predicted], labels, 5, tolerance=0.1)
    found, known = boundary_scores(late, match), boundary_scores(early, (0, 1, 2, -1, -1))
    np.testing.assert_array_equal(found.f, known.f)
    np.testing.assert_array_equal(found.precision, known.precision)
    np.testing.assert_array_equal(found.recall, known.recall)


def test_what_has_no_label_counts_for_nothing() -> None:
    labels = random_mask(0, 3, (20, 20), void=0.2)
    predicted = random_mask(1, 3, (20, 20))
    elsewhere = np.where((labels < 0) | (labels == 255), 2, predicted)
    one, other = (counted(each, labels, 3) for each in (predicted, elsewhere))
    for name in ("predicted", "labelled", "predicted_hits", "labelled_hits"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    nothing = counted(predicted, np.full((20, 20), 255), 3)
    assert not nothing.predicted.any()
    assert nothing.labelled.shape == (0,)


def test_the_frame_is_no_boundary() -> None:
    plain = np.zeros((5, 5), np.int64)
    assert not boundary_pixels(plain, plain == 0).any()
    scores = boundary_scores(counted(plain, plain, 1), (0,))
    assert math.isnan(scores.mean_f)
    assert np.isnan([*scores.f, *scores.precision, *scores.recall]).all()


def test_counts_add_up_whatever_the_order_and_the_labels() -> None:
    parts = [counted(random_mask(seed, 4), random_mask(seed + 9, 1 + seed), 4) for seed in range(4)]
    forth, back = BoundaryCounts.zeros(4), BoundaryCounts.zeros(4, 2)
    for one, other in zip(parts, reversed(parts), strict=True):
        forth, back = forth + one, other + back
    assert forth.labelled.shape == (4,)
    assert forth.predicted_hits.shape == (4, 4)
    for name in ("predicted", "labelled", "predicted_hits", "labelled_hits"):
        np.testing.assert_array_equal(getattr(forth, name), getattr(back, name))
    assert forth.predicted.sum() == sum(part.predicted.sum() for part in parts)


def test_a_class_that_is_not_found_or_does_not_occur() -> None:
    labels = np.zeros((9, 9), np.int64)
    labels[:, 5:] = 2
    blank = np.zeros((9, 9), np.int64)
    missed = boundary_scores(counted(blank, labels, 3), (0, 1, 2))
    assert missed.f[0] == missed.f[2] == missed.mean_f == 0
    assert math.isnan(missed.f[1])
    assert math.isnan(missed.precision[2])
    assert missed.recall[2] == 0
    invented = boundary_scores(BoundaryCounts.zeros(3, 3) + counted(labels, blank, 3), (0, 1, 2))
    assert invented.f[2] == invented.mean_f == 0
    assert math.isnan(invented.recall[2])
    unmatched = boundary_scores(counted(labels, labels, 3), (0, 1, -1))
    assert unmatched.f[0] == 1
    assert unmatched.f[2] == 0


def test_where_nothing_is_matched_every_class_that_occurs_scores_0() -> None:
    labels = np.zeros((9, 9), np.int64)
    labels[:, 5:] = 1
    scores = boundary_scores(counted(labels, labels, 2), (-1, -1))
    assert scores.f == scores.recall == (0.0, 0.0)
    assert np.isnan(scores.precision).all()
