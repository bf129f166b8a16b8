"""Code maps of training images, stored with the model, and merge proposals based on them."""

import numpy as np
import torch
import torch.nn.functional as F

from segdistill.clustering.code_clusters import prototype_classes
from segdistill.cpu_threads import in_parallel
from segdistill.features.extract import FeatureMaps, Features
from segdistill.features.preparation import FeaturePreparation
from segdistill.features.views import relit_views
from segdistill.images.lighting import LIGHTINGS
from segdistill.model.class_sets import ClassSet
from segdistill.model.head import SegmentationHead
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.objective.class_relations import MergeProposal, class_relations, merge_proposals
from segdistill.progress import progress_bar

PROPOSALS = 5
MAX_MAPS = 150
MAX_CELLS = 200_000
MAX_RELIT_MAPS = 24
RELIT_EVERY = 8
"""One in this many images is also read under changed lighting, which takes four backbone runs."""


def proposals_for(
    prototypes: Prototypes | None,
    code_maps: CodeMaps | None,
    classes: ClassSet,
    *,
    count: int = PROPOSALS,
) -> list[MergeProposal]:
    """Return at most ``count`` pairs of classes that likely belong together, best first.

    The list is empty without prototypes or code maps.
    """
    if prototypes is None or code_maps is None or len(classes.classes) < 3:
        return []
    class_of = prototype_classes(prototypes, classes)
    maps = list(code_maps.classes(class_of))
    before = [maps[number] for number in code_maps.relit_from.tolist()]
    after = code_maps.relit_classes(class_of)
    relations = class_relations(maps, zip(before, after, strict=True), len(classes.classes))
    visible = np.array([not each.hidden for each in classes.classes])
    every = merge_proposals(relations, None)
    return [each for each in every if visible[list(each.classes)].all()][:count]


def read_code_maps(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    head: SegmentationHead | None,
    prototypes: Prototypes,
    *,
    progress: bool = False,
) -> CodeMaps:
    """Map the codes of some images to their nearest prototypes, a few under changed lighting too.

    The preparation and head must be on the CPU; without a head, features serve as codes.
    """
    directions = F.normalize(prototypes.vectors, dim=1)
    matrix_type = maps.compute.matrix_type_on_cpu

    def directions_of(raw: Features) -> torch.Tensor:
        features = preparation(torch.from_numpy(raw).float().flatten(0, 1))  # (cells, features)
        if head is None:
            return F.normalize(features, dim=1)
        return F.normalize(head(features, matrix_type=matrix_type), dim=1)

    @torch.no_grad()
    def matched(raw: Features) -> tuple[torch.Tensor, torch.Tensor]:
        found = directions_of(raw)
        return found, (found @ directions.mT).argmax(dim=1)  # (cells, prototypes) -> (cells,)

    cells = int(np.mean([np.prod(maps.grid(index)) for index in range(len(maps))]))
    count = max(1, min(len(maps), MAX_MAPS, MAX_CELLS // cells))
    chosen = np.linspace(0, len(maps) - 1, count).round().astype(int).tolist()
    relit_count = min(count, MAX_RELIT_MAPS, max(4, len(maps) // RELIT_EVERY))
    relit_from = np.linspace(0, count - 1, relit_count).round().astype(int)
    relit_maps = FeatureMaps(
        relit_views([maps.views[chosen[number]] for number in relit_from.tolist()]),
        maps.backbone,
        maps.store,
        maps.compute,
    )
    if maps.compute.group.size == 1:
        # Filling the store takes all ranks, but only the first runs this code.
        relit_maps.fill_store(label="Features, relit copies", progress=progress)
    plain, relit, codes = [], [], []
    held = torch.zeros(count, len(directions))
    steps = count + len(relit_maps)
    with (
        torch.no_grad(),
        progress_bar("Relating clusters", steps, shown=progress) as advance,
    ):
        ahead = in_parallel(matched, maps.iterate(chosen))
        for number, (found, index) in enumerate(ahead):
            plain.append(index.to(torch.int16))
            valid = _valid(maps, chosen[number])
            held[number] = torch.bincount(index[valid], minlength=len(directions))
            codes.append(found[valid])
            advance(1)
        changed = relit_maps.iterate(range(len(relit_maps)))
        for _, index in in_parallel(matched, changed):
            relit.append(index.to(torch.int16))
            advance(1)
        total = held.sum(dim=0)
        distances = [
            _distance(found @ directions.mT, own, total)
            for found, own in zip(codes, held, strict=True)
        ]
    return CodeMaps(
        torch.tensor([maps.grid(index) for index in chosen]),
        torch.cat(plain),
        torch.from_numpy(relit_from).repeat_interleave(len(LIGHTINGS)),
        torch.cat(relit),
        torch.tensor(distances),
    )


def _valid(maps: FeatureMaps, index: int) -> torch.Tensor | slice:
    """Return an index of the cells of a map that have a value."""
    cells = maps.valid_cells(index)
    return slice(None) if cells is None else torch.from_numpy(cells)


def _distance(similarity: torch.Tensor, own: torch.Tensor, total: torch.Tensor) -> float:
    """Return the mean distance from an image's codes to prototypes dominated by other images.

    Prototypes made mostly of this image's own codes would make any image look typical. ``own`` and
    ``total`` are the numbers of codes per prototype in this image and in all images.
    """
    of_others = own <= total / 2
    if of_others.any():
        similarity = similarity[:, of_others]
    return float(1 - similarity.amax(dim=1).mean())
