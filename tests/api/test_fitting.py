"""What `fit` checks, and in which order."""

from pathlib import Path
from typing import NoReturn

import pytest
from tests.helpers import write_striped_folder

import segdistill
from segdistill.api import fitting
from segdistill.backbones import Backbone, BackboneEntry, registry


def test_missing_weights_are_reported_before_images_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_weights(_source: str) -> Backbone:
        raise segdistill.UserError("--backbone lost: no weights")

    def check_images(*_arguments: object, **_options: object) -> NoReturn:
        pytest.fail("images were decoded first")

    entry = BackboneEntry("lost", "hub", "for tests", without_weights)
    monkeypatch.setitem(registry._ENTRIES, "lost", entry)
    monkeypatch.setattr(fitting, "check_images", check_images)
    photos = write_striped_folder(tmp_path / "photos")
    with pytest.raises(segdistill.UserError, match="no weights"):
        segdistill.fit(photos, backbone="lost")
