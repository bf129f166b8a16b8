"""The command line over small generated images."""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from tests.helpers import TinyBackbone, edited, write_striped_folder

from segdistill.backbones import BackboneEntry, registry
from segdistill.cli.main import main
from segdistill.report import charts
from segdistill.training import linear_probe

QUICK = ["--training.steps", "10", "--objective.samples", "5", "--training.batch-size", "4"]

TRAINED = [*QUICK, "--training.steps", "60"]
"""Where what was learnt matters."""

Run = Callable[..., tuple[int, str, str]]


def register_tiny(patch: pytest.MonkeyPatch) -> None:
    """Register ``--backbone tiny``, a backbone that takes no time."""
    entry = BackboneEntry("tiny", "embedded", "for tests", lambda _source: TinyBackbone())
    patch.setitem(registry._ENTRIES, "tiny", entry)


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    register_tiny(monkeypatch)


@pytest.fixture(autouse=True)
def _short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train linear probes for a few steps, which suffice for three colours."""
    monkeypatch.setattr(linear_probe, "STEPS", 200)


@pytest.fixture(scope="session")
def drawn_charts() -> dict[str, Markup]:
    """The first chart of each kind, by the identity that it has in the page."""
    return {}


@pytest.fixture(autouse=True)
def _charts_drawn_once(monkeypatch: pytest.MonkeyPatch, drawn_charts: dict[str, Markup]) -> None:
    """Draw each kind of chart for the first report only; matplotlib takes a quarter of a fit.

    Charts of all values are drawn in the tests of figures and of reports.
    """
    draw = charts._chart

    def chart(figure: Figure, identity: str, description: str) -> Markup:
        if identity not in drawn_charts:
            drawn_charts[identity] = draw(figure, identity, description)
        return drawn_charts[identity]

    monkeypatch.setattr(charts, "_chart", chart)


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


@pytest.fixture(scope="session")
def fitted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run on the striped pictures, and its feature store."""
    root = tmp_path_factory.mktemp("fitted")
    photos = write_striped_folder(root / "photos")
    command = ["fit", str(photos), "--backbone", "tiny", "--classes", "3", "--quiet", *TRAINED]
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as error,
    ):
        register_tiny(patch)
        patch.setenv("SEGDISTILL_CACHE", str(root / "store"))
        patch.chdir(root)
        status = main(command)
    assert status == 0, error.getvalue()
    return root


@pytest.fixture
def fitted(photos: Path, fitted_once: Path) -> Path:
    """A finished run on the striped pictures, as if it had been fitted in this test's folder."""
    here, run = photos.parent, photos.parent / "runs" / "photos"
    shutil.copytree(fitted_once / "runs", here / "runs")
    shutil.copytree(fitted_once / "store", os.environ["SEGDISTILL_CACHE"], dirs_exist_ok=True)
    for path in run.iterdir():
        if path.suffix in {".json", ".yaml", ".html"}:
            text = path.read_text()
            moved = text.replace(str(fitted_once), str(here))
            if path.suffix == ".json" and moved != text:
                moved = json.dumps(edited(moved))
            path.write_text(moved)
    return run
