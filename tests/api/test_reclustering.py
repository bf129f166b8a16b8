"""Another number of classes, from Python."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.helpers import TinyBackbone, striped_image

from segdistill.api.reclustering import at_level, recluster, reclustered
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.prototypes import Prototypes
from segdistill.model.segmenter import Segmenter
from segdistill.training.clustering import quantise_codes


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


def test_a_model_with_other_classes_shares_all_else(striped: Segmenter) -> None:
    fewer = reclustered(striped, 3)
    assert len(fewer.classes) == 3
    assert len(fewer.centres) == sum(len(each.members) for each in fewer.classes) > 3
    assert fewer.backbone is striped.backbone
    assert len(striped.classes) == 4
    mask = fewer.segment(striped_image(9))
    assert set(np.unique(mask)) == {0, 1, 2}
    again = reclustered(reclustered(striped, 7), 3)
    torch.testing.assert_close(again.centres, fewer.centres)


def test_levels_are_made_for_models_without_them(striped: Segmenter) -> None:
    coarse, fine = at_level(striped, "coarse"), at_level(striped, "fine")
    assert len(coarse.classes) == 2
    assert len(fine.classes) == len(fine.centres) > 4
    assert fine.levels is not None
    torch.testing.assert_close(coarse.centres, fine.centres)
    assert len(at_level(coarse, "medium").classes) == 4
    with pytest.raises(UserError, match="no prototypes to recluster"):
        at_level(model(None), "fine")


def test_what_cannot_be_made_is_named(striped: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prototypes to recluster"):
        reclustered(model(None), 3)
    with pytest.raises(UserError, match="only 384 prototypes"):
        reclustered(striped, 500)
    with pytest.raises(UserError, match=r"no segmenter\.json"):
        recluster(tmp_path, 3)
