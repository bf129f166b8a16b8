"""Proposing which classes of a model to merge, from what it keeps of its training images."""

import numpy as np

from segdistill.model.class_sets import ClassSet
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.objective.class_relations import (
    MergeProposal,
    class_relations,
    merge_proposals,
)
from segdistill.training.clustering import prototype_classes

PROPOSALS = 5


def proposals_for(
    prototypes: Prototypes | None,
    code_maps: CodeMaps | None,
    classes: ClassSet,
    *,
    count: int = PROPOSALS,
) -> list[MergeProposal]:
    """Return the pairs of classes that are likely to be one kind of thing, the likeliest first.

    Args:
        prototypes: of the model; without them there are no proposals.
        code_maps: of the model; without them there are no proposals.
        classes: those in use, with their centres.
        count: number of proposals, at most.
    """
    if prototypes is None or code_maps is None or len(classes.classes) < 3:
        return []
    class_of = prototype_classes(prototypes, classes)
    maps = list(code_maps.classes(class_of))
    before = [maps[number] for number in code_maps.relit_from.tolist()]
    after = code_maps.relit_classes(class_of)
    relations = class_relations(maps, zip(before, after, strict=True), len(classes.classes))
    visible = np.array([not each.hidden for each in classes.classes])
    wanted = merge_proposals(relations, count + len(classes.classes) * int((~visible).sum()))
    return [each for each in wanted if visible[list(each.classes)].all()][:count]
