"""The report's proposals of classes to merge, with examples of both."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segdistill.model.class_sets import ClassSet
from segdistill.model.segmenter import Segmenter
from segdistill.objective.class_relations import MergeProposal
from segdistill.report import text
from segdistill.training.proposals import proposals_for

if TYPE_CHECKING:
    from segdistill.report.page import ClassRow


RARELY, OFTEN = 0.02, 0.2
"""Shares of their borders that two classes have in common."""


@dataclass(frozen=True)
class MergeRow:
    """A proposal, ready to be shown.

    Attributes:
        classes: rows of the two classes, with their examples.
        reason: why they may be one kind of thing, in words.
        command: that merges them.
    """

    classes: tuple["ClassRow", "ClassRow"]
    reason: str
    command: str


def merge_rows(segmenter: Segmenter, rows: Sequence["ClassRow"], run: str) -> list[MergeRow]:
    """Prepare the proposals.

    Args:
        segmenter: of the report.
        rows: of the table of classes, in the order of their indices.
        run: the run folder.
    """
    classes = ClassSet(segmenter.classes, segmenter.centres.cpu())
    return [
        MergeRow(
            (rows[each.classes[0]], rows[each.classes[1]]),
            merge_reason(each),
            shlex.join(["segdistill", "classes", run, "--merge", *map(str, each.classes)]),
        )
        for each in proposals_for(segmenter.prototypes, segmenter.code_maps, classes)
    ]


def merge_reason(proposal: MergeProposal) -> str:
    """Return why two classes may be one kind of thing, as a sentence.

    Example:
        >>> sentence = merge_reason(MergeProposal((0, 2), 0.2, 0.25, 0.8, 0.9, 0.001))
        >>> sentence.replace(text.NO_BREAK_SPACE, " ")
        '25 % changes between them with the light; surroundings 80 % alike, positions 90 % alike; \
almost never side by side.'
    """
    near = (
        "almost never"
        if proposal.beside < 0.02
        else "often"
        if proposal.beside > 0.2
        else "sometimes"
    )
    return (
        f"{text.percent(proposal.relit)} changes between them with the light; surroundings"
        f" {text.percent(proposal.surroundings)} alike, positions"
        f" {text.percent(proposal.positions)} alike; {near} side by side."
    )
