"""The run folder: refused, replaced, resumed; nothing of the user's lost."""

from dataclasses import replace
from pathlib import Path

import pytest

from segdistill.config.settings import DepthSettings, FitSettings
from segdistill.errors import UserError
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord

SETTINGS = FitSettings(classes=3)


def record(step: int) -> StepRecord:
    return StepRecord(step, -0.5, -0.1, -0.2, -0.3, -0.4)


def begun(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.check(SETTINGS, overwrite=False, resume=False)
    run.begin(SETTINGS, resume=False)
    return run


def test_a_run_is_not_replaced_unasked(tmp_path: Path) -> None:
    run = begun(tmp_path)
    with pytest.raises(UserError, match=r"contains an unfinished run.*--resume.*--overwrite"):
        run.check(SETTINGS, overwrite=False, resume=False)
    run.check(SETTINGS, overwrite=True, resume=False)
    run.check(SETTINGS, overwrite=False, resume=True)
    with pytest.raises(UserError, match="give only one"):
        run.check(SETTINGS, overwrite=True, resume=True)


def test_a_folder_of_the_user_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="is not a run"):
            RunFolder(tmp_path / "letters").check(SETTINGS, overwrite=overwrite, resume=False)


def test_overwriting_leaves_what_is_not_the_runs(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run.path / "my_notes.txt").write_text("keep")
    run.write_history([record(1)])
    run.begin(SETTINGS, resume=False)
    assert (run.path / "my_notes.txt").read_text() == "keep"
    assert run.read_history() == []


def test_resuming_takes_the_same_settings(tmp_path: Path) -> None:
    run = begun(tmp_path)
    with pytest.raises(UserError, match="started with seed = 0, not 1"):
        run.check(replace(SETTINGS, seed=1), overwrite=False, resume=True)
    run.check(replace(SETTINGS, device="cpu"), overwrite=False, resume=True)
    # What is left out is as it was.
    run.check(replace(SETTINGS, classes=None), overwrite=False, resume=True)


def test_a_run_of_one_invalid_depth_is_resumed_whatever_wrote_it(tmp_path: Path) -> None:
    settings = replace(SETTINGS, depth=DepthSettings(invalid=(0.0,)))
    run = RunFolder(tmp_path / "run")
    run.check(settings, overwrite=False, resume=False)
    run.begin(settings, resume=False)
    text = (run.path / "settings.yaml").read_text()
    assert "invalid: 0.0\n" in text  # as versions before several values wrote it
    run.check(settings, overwrite=False, resume=True)
    more = replace(settings, depth=DepthSettings(invalid=(0.0, 9.0)))
    with pytest.raises(UserError, match=r"started with depth\.invalid = 0\.0, not \[0\.0, 9\.0\]"):
        run.check(more, overwrite=False, resume=True)


def test_settings_and_history_are_read_as_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    assert run.read_settings() == SETTINGS
    history = [record(1), record(2)]
    run.write_history(history)
    assert run.read_history() == history


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file exists where"):
        RunFolder(tmp_path / "file" / "run").check(SETTINGS, overwrite=False, resume=False)


def test_settings_that_are_no_text_are_told(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run.path / "settings.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"settings\.yaml: not UTF-8 text"):
        run.read_settings()
    (run.path / "settings.yaml").write_bytes(b"")
    with pytest.raises(UserError, match=r"settings\.yaml: cannot be read \(it is empty\)"):
        run.read_settings()
