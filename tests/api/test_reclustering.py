"""Another number of classes, from Python."""

from pathlib import Path

import pytest
import torch
from tests.helpers import TinyBackbone, striped_image

from segdistill.api.classes import (
    colour_classes,
    hide_classes,
    merge_classes,
    name_classes,
    redo_classes,
    undo_classes,
)
from segdistill.api.reclustering import at_level, recluster
from segdistill.clustering.code_clusters import quantise_codes
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.prototypes import Prototypes
from segdistill.model.segmenter import Segmenter


def model(prototypes: Prototypes | None) -> Segmenter:
    return Segmenter(
        TinyBackbone(),
        FeaturePreparation((3, 3)),
        None,
        torch.rand(4, 6, generator=torch.Generator().manual_seed(0)),
        SegmenterSettings(64, numbered_classes(4)),
        prototypes,
    )


@pytest.fixture
def striped() -> Segmenter:
    plain = model(None)
    codes = [plain.grid_codes(striped_image(seed)).flatten(2)[0].mT for seed in range(4)]
    return model(quantise_codes(torch.cat(codes), seed=0).prototypes)


def test_a_run_is_reclustered_and_says_what_changed(striped: Segmenter, tmp_path: Path) -> None:
    striped.save(tmp_path)
    fewer = recluster(tmp_path, 3)
    assert fewer
    assert fewer.summary == "changed the number of classes: 3 instead of 4 classes"
    assert len(fewer.after.centres) == sum(len(each.members) for each in fewer.after.classes) > 3
    assert fewer.overlap is not None
    assert fewer.overlap.shape == (4, 3)
    assert fewer.overlap.sum() == pytest.approx(1)
    again = recluster(tmp_path, 3)
    assert not again
    assert again.summary == "changed nothing"
    recluster(tmp_path, 7)
    torch.testing.assert_close(recluster(tmp_path, 3).after.centres, fewer.after.centres)
    fine = recluster(tmp_path, level="fine")
    count = len(fine.after.classes)
    assert fine.summary == f"changed to level fine: {count} instead of 3 classes"


def test_edits_are_described(striped: Segmenter, tmp_path: Path) -> None:
    striped.save(tmp_path)
    named = name_classes(tmp_path, {1: "road", 2: "sky"})
    assert named.summary == "renamed class 1 to road, renamed class 2 to sky"
    assert colour_classes(tmp_path, {1: (1, 2, 3)}).summary == "changed the colour of road"
    assert hide_classes(tmp_path, [1]).summary == "hid road in overlays and exports"
    assert hide_classes(tmp_path, [1], hide=False).summary == "showed road again"
    assert not hide_classes(tmp_path, [1], hide=False)
    assert hide_classes(tmp_path, ["Road"]).summary == "hid road in overlays and exports"
    # A name alone is not a collection of letters.
    assert hide_classes(tmp_path, "road", hide=False).summary == "showed road again"
    merged = merge_classes(tmp_path, [0, 1, 3])
    assert merged.summary == "merged class 0, road and class 3 into road"
    assert undo_classes(tmp_path).summary == merged.summary
    assert undo_classes(tmp_path).summary == "showed road again"
    assert redo_classes(tmp_path).summary == "showed road again"
    assert redo_classes(tmp_path).summary == merged.summary


def test_levels_are_made_for_models_without_them(striped: Segmenter) -> None:
    coarse, fine = at_level(striped, "coarse"), at_level(striped, "fine")
    assert len(coarse.classes) == 2
    assert len(fine.classes) == len(fine.centres) > 4
    assert fine.levels is not None
    torch.testing.assert_close(coarse.centres, fine.centres)
    assert len(at_level(coarse, "medium").classes) == 4


def test_what_cannot_be_made_is_named(striped: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prototypes to recluster"):
        at_level(model(None), "fine")
    striped.save(tmp_path / "run")
    with pytest.raises(UserError, match="must be from 2 to 255"):
        recluster(tmp_path / "run", 500)
    with pytest.raises(UserError, match="either --classes or --level"):
        recluster(tmp_path / "run", 3, level="fine")
    with pytest.raises(UserError, match=r"no segmenter\.json"):
        recluster(tmp_path, 3)
