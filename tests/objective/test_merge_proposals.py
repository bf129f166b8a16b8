"""Proposals of classes to merge, against their definition in loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.objective.class_relations import (
    BINS,
    MIN_SCORE,
    SMOOTHING,
    ClassRelations,
    MergeProposal,
    class_relations,
    merge_proposals,
)

EVERYTHING = 1000


def random_relations(seed: int, classes: int) -> ClassRelations:
    """Small counts, with classes that never occur and pairs that never meet."""
    random = np.random.default_rng(seed)

    def counts(columns: int) -> np.ndarray:
        table = random.integers(0, 4, (classes, columns)) * random.integers(0, 2, (classes, 1))
        return (table * random.integers(0, 3, table.shape)).astype(np.float64)

    beside = np.triu(counts(classes))
    return ClassRelations(
        counts(classes), counts(classes), counts(classes), beside + beside.T, counts(BINS**2)
    )


def share(table: np.ndarray, row: int, column: int) -> float:
    return float(table[row, column]) / max(float(table[row].sum()), 1.0)


def plain_proposal(relations: ClassRelations, one: int, other: int) -> MergeProposal:
    relit = (share(relations.relit, one, other) + share(relations.relit, other, one)) / 2
    others = [each for each in range(len(relations.relit)) if each not in (one, other)]
    coefficients = []
    for table in (relations.above, relations.below):
        pair = [[table[each, around] + SMOOTHING for around in others] for each in (one, other)]
        first, second = ([value / sum(row) for value in row] for row in pair)
        coefficients.append(sum(math.sqrt(p * q) for p, q in zip(first, second, strict=True)))
    surroundings = sum(coefficients) / 2 if others else 1.0
    positions = sum(
        math.sqrt(share(relations.positions, one, part) * share(relations.positions, other, part))
        for part in range(BINS**2)
    )
    borders = [float(relations.beside[each].sum()) for each in (one, other)]
    beside = float(relations.beside[one, other]) / max(1.0, math.sqrt(math.prod(borders)))
    return MergeProposal((one, other), relit * surroundings, relit, surroundings, positions, beside)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**16), classes=st.integers(2, 6))
def test_proposals_are_the_plain_form(seed: int, classes: int) -> None:
    relations = random_relations(seed, classes)
    found = merge_proposals(relations, EVERYTHING)
    expected = {}
    for one in range(classes):
        for other in range(one + 1, classes):
            proposal = plain_proposal(relations, one, other)
            if proposal.relit > 0 and proposal.score >= MIN_SCORE:
                expected[one, other] = proposal
    assert {each.classes for each in found} == set(expected)
    for each in found:
        plain = expected[each.classes]
        for name in ("score", "relit", "surroundings", "positions", "beside"):
            assert getattr(each, name) == pytest.approx(getattr(plain, name), abs=1e-9), name
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert merge_proposals(relations) == found[:5]


def test_a_score_of_the_minimum_is_enough() -> None:
    nothing = np.zeros((2, 2))
    for turned, proposed in ((8, True), (7.99, False)):
        relit = np.array([[100 - turned, turned], [0.0, 100.0]])
        relations = ClassRelations(relit, nothing, nothing, nothing, np.zeros((2, BINS**2)))
        assert bool(merge_proposals(relations)) == proposed


def test_positions_are_counted_in_equal_parts_of_the_image() -> None:
    image = np.zeros((13, 29), np.int64)
    image[2, 3] = 1
    image[12, 28] = 1
    positions = class_relations([image], [], 2).positions
    expected = np.zeros((BINS, BINS))
    for y, x in ((2, 3), (12, 28)):
        expected[y * BINS // 13, x * BINS // 29] += 1
    np.testing.assert_array_equal(positions[1].reshape(BINS, BINS), expected)


def test_low_images_are_compared_over_what_distance_they_have() -> None:
    two_rows = np.array([[0, 0], [1, 1]])
    relations = class_relations([two_rows], [], 2)
    assert relations.above.tolist() == [[0, 0], [2, 0]]
    assert relations.below.tolist() == [[0, 2], [0, 0]]
    one_row = class_relations([two_rows[:1]], [], 2)
    assert not one_row.above.any()
    assert not one_row.below.any()
    assert one_row.beside.tolist() == [[2, 0], [0, 0]]
