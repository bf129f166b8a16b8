"""``segdistill app``, without a browser."""

import json
from pathlib import Path
from typing import NoReturn

import pytest
from tests.cli.conftest import Run
from tests.helpers import edited

from segdistill.app import server
from segdistill.cli.view import images_of
from segdistill.errors import UserError, missing_extra


def test_without_gradio_the_fix_is_suggested(
    fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _name: None)
    status, _, error = segdistill("app", fitted)
    assert status == 2
    assert error.endswith(f"the app {missing_extra('gradio', 'app')}\n")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["nowhere"], "nowhere: no such run folder"),
        (["runs/photos", "--port", "0"], "--port 0: must be from 1 to 65535"),
        (["runs/photos", "--compare", "nowhere"], "--compare nowhere: no such run folder"),
        (["photos"], "no segmenter.json"),
        (["runs/photos", "--images", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_mistakes(
    fitted: Path,
    segdistill: Run,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    reason: str,
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _name: object())
    status, _, error = segdistill("app", *options)
    assert status == 2
    assert reason in error


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])  # noqa: S104
def test_a_public_host_is_warned_of(
    fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch, host: str, *, warned: bool
) -> None:
    def refuse(_build: object, *, host: str, port: int | None) -> NoReturn:
        raise UserError(f"asked for {host}, {port}")

    monkeypatch.setattr(server, "find_spec", lambda _name: object())
    monkeypatch.setattr(server, "serving", refuse)
    status, printed, error = segdistill("app", fitted, "--host", host, "--port", 7999)
    assert status == 2
    assert f"asked for {host}, 7999" in error
    assert ("Warning" in printed) == warned


def test_a_run_knows_the_images_it_was_fitted_on(fitted: Path, photos: Path) -> None:
    files = images_of(fitted, None)
    assert [file.name.as_posix() for file in files] == [
        "more/picture_5.png",
        *(f"picture_{number}.png" for number in range(5)),
    ]
    assert all(file.path == photos / file.name for file in files)
    (photos / "picture_0.png").unlink()
    assert len(images_of(fitted, None)) == 5
    assert [file.name.name for file in images_of(fitted, str(photos / "more"))] == ["picture_5.png"]
    facts = edited((fitted / "facts.json").read_text())
    del facts["files"]
    (fitted / "facts.json").write_text(json.dumps(facts))
    assert images_of(fitted, None) == []
