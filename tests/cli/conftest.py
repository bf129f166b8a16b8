"""The command line over small generated images."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.helpers import TinyBackbone, write_striped_folder

from segdistill.backbones import BackboneEntry, registry
from segdistill.cli.main import main

QUICK = ["--training.steps", "60", "--objective.samples", "5", "--training.batch-size", "4"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register ``--backbone tiny``, a backbone that takes no time."""
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    monkeypatch.setitem(registry._ENTRIES, "tiny", entry)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_striped_folder(tmp_path / "photos")


@pytest.fixture
def segdistill(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and returns exit status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def fitted(photos: Path, segdistill: Run) -> Path:
    """A finished run on the striped pictures."""
    status, _, error = segdistill(
        "fit", photos, "--backbone", "tiny", "--classes", 3, "--quiet", *QUICK
    )
    assert status == 0, error
    return photos.parent / "runs" / "photos"
