"""The run folder: refused, replaced, resumed; nothing of the user's lost."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from segdistill.config.settings import FitSettings
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps
from segdistill.training.head_training import data_fingerprint
from segdistill.training.loop import StepRecord
from segdistill.training.modules import TrainingModules
from segdistill.training.run_folder import RunFolder

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
    with pytest.raises(UserError, match=r"unfinished run already.*--resume.*--overwrite"):
        run.check(SETTINGS, overwrite=False, resume=False)
    run.check(SETTINGS, overwrite=True, resume=False)
    run.check(SETTINGS, overwrite=False, resume=True)
    with pytest.raises(UserError, match="choose one"):
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
    with pytest.raises(UserError, match="begun with seed = 0, not 1"):
        run.check(replace(SETTINGS, seed=1), overwrite=False, resume=True)
    run.check(replace(SETTINGS, device="cpu"), overwrite=False, resume=True)
    # What is left out is as it was.
    run.check(replace(SETTINGS, classes=None), overwrite=False, resume=True)


def test_settings_and_history_are_read_as_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    assert run.read_settings() == SETTINGS.as_plain()
    history = [record(1), record(2)]
    run.write_history(history)
    assert run.read_history() == history


def test_a_checkpoint_brings_back_weights_and_averages(tmp_path: Path) -> None:
    run = begun(tmp_path)
    modules = TrainingModules(4, 3, SETTINGS)
    optimiser = modules.optimiser(SETTINGS)
    for _ in range(3):
        optimiser.zero_grad()
        (modules.head(torch.randn(1, 2, 4)).square().sum() + modules.centres.sum()).backward()
        optimiser.step()
    history = [record(step) for step in (1, 2, 3)]
    run.write_checkpoint(modules, optimiser, history, images="abc")
    run.write_history([*history, record(4)])  # a step after the checkpoint is done again

    fresh = TrainingModules(4, 3, SETTINGS)
    fresh_optimiser = fresh.optimiser(SETTINGS)
    assert run.read_checkpoint(fresh, fresh_optimiser, images="abc") == history
    for ours, theirs in zip(modules.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
        for key, value in optimiser.state[ours].items():
            torch.testing.assert_close(value, fresh_optimiser.state[theirs][key])
    with pytest.raises(UserError, match="images or backbone have changed"):
        run.read_checkpoint(fresh, fresh_optimiser, images="other")
    run.finalise()
    assert run.read_checkpoint(fresh, fresh_optimiser, images="abc") == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file exists where"):
        RunFolder(tmp_path / "file" / "run").check(SETTINGS, overwrite=False, resume=False)


def test_settings_that_are_no_text_are_told(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run.path / "settings.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"settings\.yaml: cannot be read"):
        run.read_settings()


def test_another_backbone_is_another_fingerprint() -> None:
    def of(backbone: str, *keys: str) -> str:
        views = [SimpleNamespace(key=key) for key in keys]
        maps = SimpleNamespace(backbone=SimpleNamespace(fingerprint=backbone), views=views)
        return data_fingerprint(cast("FeatureMaps", maps))

    assert len({of("a", "1", "2"), of("b", "1", "2"), of("a", "2", "1"), of("a", "1")}) == 4
    assert of("a", "1") == of("a", "1")
