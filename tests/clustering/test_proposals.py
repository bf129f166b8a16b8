"""Code maps of training images and the merges they propose, against plain loops."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tests.features.test_extract import maps_of
from tests.helpers import TinyBackbone, striped_image

from segdistill.clustering import proposals as module
from segdistill.clustering.code_clusters import prototype_classes, quantise_codes
from segdistill.clustering.proposals import PROPOSALS, proposals_for, read_code_maps
from segdistill.devices import FULL
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation, fit_preparation
from segdistill.features.store import FeatureStore
from segdistill.images.lighting import LIGHTINGS
from segdistill.model.class_sets import ClassSet
from segdistill.model.description import SegmentClass, numbered_classes
from segdistill.model.head import SegmentationHead
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.objective.class_relations import (
    MergeProposal,
    class_relations,
    merge_proposals,
)

SEED = 3


@pytest.fixture
def maps(tmp_path: Path) -> FeatureMaps:
    """Nine images of two shapes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(9):
        width = 96 if seed % 2 else 64
        Image.fromarray(striped_image(seed, 64, width)).save(folder / f"{seed}.png")
    return in_full_precision(folder, tmp_path)


def in_full_precision(folder: Path, tmp_path: Path) -> FeatureMaps:
    store = FeatureStore(tmp_path / "store", max_bytes=10**8)
    maps = maps_of(folder, store, TinyBackbone())
    maps.compute = replace(maps.compute, precision=FULL)
    return maps


@pytest.fixture
def preparation() -> FeaturePreparation:
    torch.manual_seed(SEED)
    return fit_preparation(torch.rand(200, 6), (3, 3), standardise=True, components=4)


@pytest.fixture
def head() -> SegmentationHead:
    torch.manual_seed(SEED)
    return SegmentationHead(4, 5).eval()


def codes_of(
    features: np.ndarray, preparation: FeaturePreparation, head: SegmentationHead | None
) -> torch.Tensor:
    flat = torch.from_numpy(np.array(features)).float().flatten(0, 1)
    with torch.no_grad():
        prepared = preparation(flat)
        return F.normalize(prepared if head is None else head(prepared), dim=1)


def prototypes_of(
    maps: FeatureMaps, preparation: FeaturePreparation, head: SegmentationHead | None
) -> Prototypes:
    codes = torch.cat([codes_of(maps[index], preparation, head) for index in range(len(maps))])
    return quantise_codes(codes, count=12, seed=0).prototypes


@pytest.mark.parametrize("with_head", [False, True])
def test_code_maps_are_the_nearest_prototypes(
    maps: FeatureMaps, preparation: FeaturePreparation, head: SegmentationHead, with_head: bool
) -> None:
    used = head if with_head else None
    prototypes = prototypes_of(maps, preparation, used)
    found = read_code_maps(maps, preparation, used, prototypes)
    directions = F.normalize(prototypes.vectors, dim=1)
    nearest, similar = [], []
    for index in range(9):
        similarity = codes_of(maps[index], preparation, used) @ directions.mT
        similar.append(similarity)
        nearest.append(similarity.argmax(dim=1))
    assert found.sizes.tolist() == [list(maps.grid(index)) for index in range(9)]
    assert len({tuple(size) for size in found.sizes.tolist()}) == 2
    assert found.prototypes.tolist() == torch.cat(nearest).tolist()
    assert found.prototypes.dtype == found.relit.dtype == torch.int16  # runs stay small
    # Four of nine images are relit, evenly chosen, under each lighting.
    assert found.relit_from.tolist() == [n for n in (0, 3, 5, 8) for _ in LIGHTINGS]
    expected = []
    for number, lighting in zip(found.relit_from.tolist(), 4 * list(LIGHTINGS), strict=True):
        relit = lighting.apply(maps.views[number].load())
        with torch.inference_mode():
            raw = maps.backbone(torch.from_numpy(relit).permute(2, 0, 1)[None].float() / 255)
        features = raw[0].permute(1, 2, 0).half().numpy()
        expected.append((codes_of(features, preparation, used) @ directions.mT).argmax(dim=1))
    assert (found.relit == torch.cat(expected)).double().mean() > 0.99
    # How far each image is from what the others are made of.
    held = torch.stack([each.bincount(minlength=len(directions)) for each in nearest])
    for index in range(9):
        others = held[index] <= held.sum(dim=0) / 2
        seen = similar[index][:, others] if others.any() else similar[index]
        distance = 1 - seen.amax(dim=1).mean()
        assert float(found.distances[index]) == pytest.approx(float(distance), abs=1e-5)


def test_codes_in_bfloat16_change_little(
    maps: FeatureMaps, preparation: FeaturePreparation, head: SegmentationHead
) -> None:
    prototypes = prototypes_of(maps, preparation, head)
    exact = read_code_maps(maps, preparation, head, prototypes)
    maps.compute = replace(maps.compute, precision="bf16-mixed")
    found = read_code_maps(maps, preparation, head, prototypes)
    assert not found.distances.equal(exact.distances)
    torch.testing.assert_close(found.distances, exact.distances, atol=2e-3, rtol=0)
    assert (found.prototypes == exact.prototypes).double().mean() > 0.9


def test_of_many_images_some_are_kept(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    head: SegmentationHead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prototypes = prototypes_of(maps, preparation, head)
    grids = [maps.grid(index) for index in range(9)]
    mean = int(np.mean([height * width for height, width in grids]))
    for name, limit, kept in (
        ("MAX_MAPS", 3, [0, 4, 8]),
        ("MAX_CELLS", 5 * mean + 1, [0, 2, 4, 6, 8]),
        ("MAX_CELLS", 1, [0]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, limit)
            found = read_code_maps(maps, preparation, head, prototypes)
        assert found.sizes.tolist() == [list(grids[index]) for index in kept]
        assert set(found.relit_from.tolist()) <= set(range(len(kept)))
        assert len(found.relit_from) <= len(kept) * len(LIGHTINGS)  # each at most once
    for name, limit, relit in (
        ("MAX_RELIT_MAPS", 2, [0, 8]),
        ("RELIT_EVERY", 2, [0, 3, 5, 8]),
        ("RELIT_EVERY", 1, list(range(9))),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, limit)
            found = read_code_maps(maps, preparation, head, prototypes)
        assert found.relit_from.tolist() == [number for number in relit for _ in LIGHTINGS]


@pytest.mark.parametrize("processes", [1, 2])
def test_progress_counts_each_map_once(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    head: SegmentationHead,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
) -> None:
    """Also where other processes wait, which therefore cannot help to fill the store."""
    prototypes = prototypes_of(maps, preparation, head)
    bars: list[tuple[str, int, bool]] = []
    advanced: list[int] = []
    filled: list[dict[str, Any]] = []

    @contextmanager
    def remembered(label: str, steps: int, *, shown: bool) -> Iterator[Any]:
        bars.append((label, steps, shown))
        yield advanced.append

    monkeypatch.setattr(module, "progress_bar", remembered)
    monkeypatch.setattr(FeatureMaps, "fill_store", lambda _maps, **told: filled.append(told))
    group = replace(maps.compute.group, size=processes)
    maps.compute = replace(maps.compute, group=group)
    read_code_maps(maps, preparation, head, prototypes, progress=True)
    read_code_maps(maps, preparation, head, prototypes)
    relit = 4 * len(LIGHTINGS)
    bar = "Relating clusters"
    assert bars == [(bar, 9 + relit, True), (bar, 9 + relit, False)]
    assert advanced == [1] * 2 * (9 + relit)
    label = "Features, relit copies"
    told = [{"label": label, "progress": each} for each in (True, False)]
    assert filled == (told if processes == 1 else [])


def test_cells_without_a_value_are_not_seen(
    maps: FeatureMaps,
    preparation: FeaturePreparation,
    head: SegmentationHead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prototypes = prototypes_of(maps, preparation, head)
    directions = F.normalize(prototypes.vectors, dim=1)
    whole = read_code_maps(maps, preparation, head, prototypes)
    valid = {index: np.arange(np.prod(maps.grid(index))) % 3 > 0 for index in range(9)}
    monkeypatch.setattr(maps, "valid_cells", lambda index: None if index == 4 else valid[index])
    found = read_code_maps(maps, preparation, head, prototypes)
    assert found.prototypes.equal(whole.prototypes)
    seen = []
    for index in range(9):
        similarity = codes_of(maps[index], preparation, head) @ directions.mT
        seen.append(similarity if index == 4 else similarity[torch.from_numpy(valid[index])])
    held = torch.stack([each.argmax(dim=1).bincount(minlength=len(directions)) for each in seen])
    for index in range(9):
        others = held[index] <= held.sum(dim=0) / 2
        distance = 1 - seen[index][:, others].amax(dim=1).mean()
        assert float(found.distances[index]) == pytest.approx(float(distance), abs=1e-5)
    assert not found.distances.equal(whole.distances)


def test_a_single_image_is_compared_with_its_own_prototypes(
    tmp_path: Path, preparation: FeaturePreparation, head: SegmentationHead
) -> None:
    folder = tmp_path / "photo"
    folder.mkdir()
    Image.fromarray(striped_image(0)).save(folder / "a.png")
    maps = in_full_precision(folder, tmp_path)
    codes = codes_of(maps[0], preparation, head)
    # Every prototype holds codes of this image alone.
    prototypes = quantise_codes(codes, count=len(codes), seed=0).prototypes
    found = read_code_maps(maps, preparation, head, prototypes)
    assert found.distances.tolist() == pytest.approx([0.0], abs=1e-5)
    assert set(found.relit_from.tolist()) == {0}


# Two lights over one scene: class 0 becomes class 3 at dusk, and class 4 is hidden or not.
DAY = np.array([[0, 0, 0, 0], [4, 4, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2]])
DUSK = np.where(DAY == 0, 3, np.where(DAY == 4, 1, DAY))


def scene() -> tuple[Prototypes, CodeMaps, ClassSet]:
    vectors = torch.eye(5) / 5
    prototypes = quantise_codes(torch.eye(5), seed=0).prototypes
    assert prototypes.vectors.equal(vectors)
    flat = [torch.from_numpy(each.ravel()).to(torch.int16) for each in (DAY, DUSK)]
    code_maps = CodeMaps(
        torch.tensor([[4, 4], [4, 4]]),
        torch.cat(flat),
        torch.tensor([0]),
        flat[1],
        torch.zeros(2),
    )
    return prototypes, code_maps, ClassSet(tuple(numbered_classes(5)), torch.eye(5))


def test_proposals_are_those_of_the_maps() -> None:
    prototypes, code_maps, classes = scene()
    found = proposals_for(prototypes, code_maps, classes)
    relations = class_relations([DAY, DUSK], [(DAY, DUSK)], 5)
    assert found == merge_proposals(relations)
    assert {each.classes for each in found} == {(0, 3), (1, 4)}
    assert proposals_for(prototypes, code_maps, classes, count=1) == found[:1]
    assert proposals_for(prototypes, code_maps, classes, count=0) == []


@pytest.mark.parametrize("hidden", range(5))
def test_hidden_classes_are_not_proposed(hidden: int) -> None:
    prototypes, code_maps, classes = scene()
    every = proposals_for(prototypes, code_maps, classes)
    shown = replace(
        classes,
        classes=tuple(replace(c, hidden=c.index == hidden) for c in classes.classes),
    )
    expected = [each for each in every if hidden not in each.classes]
    assert proposals_for(prototypes, code_maps, shown) == expected
    # What is hidden takes no place of what is shown.
    assert proposals_for(prototypes, code_maps, shown, count=1) == expected[:1]


def test_what_is_shown_is_proposed_after_any_number_of_pairs_that_are_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prototypes, code_maps, classes = scene()
    hidden = replace(
        classes, classes=tuple(replace(c, hidden=c.index == 4) for c in classes.classes)
    )
    best_first = [MergeProposal((1, 4), 1, 1, 1, 1, 1)] * 20 + [
        MergeProposal((0, 3), 0.5, 1, 0.5, 1, 1)
    ]
    monkeypatch.setattr(
        module, "merge_proposals", lambda _relations, count=PROPOSALS: best_first[:count]
    )
    assert proposals_for(prototypes, code_maps, hidden) == best_first[20:]


def test_old_models_and_few_classes_have_no_proposals() -> None:
    prototypes, code_maps, classes = scene()
    assert proposals_for(None, code_maps, classes) == []
    assert proposals_for(prototypes, None, classes) == []
    for count in (2, 3):
        members = [(0, 1, 2, 4), (3,)] if count == 2 else [(0,), (1, 2, 4), (3,)]
        few = tuple(
            SegmentClass(index, f"class {index}", (0, 0, 0), own)
            for index, own in enumerate(members)
        )
        found = proposals_for(prototypes, code_maps, ClassSet(few, torch.eye(5)))
        assert bool(found) == (count == 3)
    assert prototype_classes(prototypes, classes).tolist() == [0, 1, 2, 3, 4]
