"""A small finished run for the app, and the app's state over it."""

import shutil
from pathlib import Path

import pytest
from tests.helpers import TinyBackbone, write_striped_folder

import segdistill
from segdistill.app.state import AppState
from segdistill.backbones import BackboneEntry, registry
from segdistill.config.settings import FitSettings, ObjectiveSettings, TrainingSettings
from segdistill.images.finding import find_images


def register_tiny(patch: pytest.MonkeyPatch) -> None:
    """Let ``tiny`` name a backbone that takes no time."""
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    patch.setitem(registry._ENTRIES, "tiny", entry)


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    register_tiny(monkeypatch)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 14 pictures in ``photos`` and a run of 4 classes in ``runs/one``."""
    root = tmp_path_factory.mktemp("app")
    with pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        patch.setenv("SEGDISTILL_CACHE", str(root / "store"))
        settings = FitSettings(
            backbone="tiny",
            classes=4,
            training=TrainingSettings(steps=30, batch_size=4),
            objective=ObjectiveSettings(samples=5),
        )
        photos = write_striped_folder(root / "photos", 14)
        segdistill.fit(photos, settings=settings, out=root / "runs" / "one")
    return root


@pytest.fixture
def photos(finished: Path) -> Path:
    return finished / "photos"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    shutil.copytree(finished / "runs" / "one", tmp_path / "runs" / "one")
    return tmp_path / "runs" / "one"


@pytest.fixture
def state(run: Path, photos: Path) -> AppState:
    return AppState(run, find_images(photos))
