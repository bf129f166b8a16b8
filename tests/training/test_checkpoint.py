"""Checkpoints: what an interrupted training continues from."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from segdistill.config.settings import DepthSettings, FitSettings, ObjectiveSettings
from segdistill.errors import UserError
from segdistill.features.extract import FeatureMaps
from segdistill.model.tensor_files import read_tensor_file, write_tensor_file
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord
from segdistill.training.checkpoint import read_checkpoint, write_checkpoint
from segdistill.training.head_training import data_fingerprint
from segdistill.training.modules import TrainingModules

SETTINGS = FitSettings(classes=3)


def record(step: int) -> StepRecord:
    return StepRecord(step, -0.5, -0.1, -0.2, -0.3, -0.4)


def test_a_checkpoint_brings_back_weights_and_averages(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.begin(SETTINGS, resume=False)
    modules = TrainingModules(4, 3, SETTINGS)
    optimiser = modules.optimiser(SETTINGS)
    for _ in range(3):
        optimiser.zero_grad()
        (modules.head(torch.randn(1, 2, 4)).square().sum() + modules.centres.sum()).backward()
        optimiser.step()
    history = [record(step) for step in (1, 2, 3)]
    write_checkpoint(run, modules, optimiser, history, images="abc")
    run.write_history([*history, record(4)])  # a step after the checkpoint is done again

    fresh = TrainingModules(4, 3, SETTINGS)
    fresh_optimiser = fresh.optimiser(SETTINGS)
    assert read_checkpoint(run, fresh, fresh_optimiser, images="abc") == history
    for ours, theirs in zip(modules.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
        for key, value in optimiser.state[ours].items():
            torch.testing.assert_close(value, fresh_optimiser.state[theirs][key])
    with pytest.raises(UserError, match="images or backbone have changed"):
        read_checkpoint(run, fresh, fresh_optimiser, images="other")
    modules.centres.data[0, 0] = float("nan")
    write_checkpoint(run, modules, optimiser, history, images="abc")
    with pytest.raises(UserError, match=r"modules\.centres holds 1 value that is not finite"):
        read_checkpoint(run, fresh, fresh_optimiser, images="abc")
    run.finalise()
    assert read_checkpoint(run, fresh, fresh_optimiser, images="abc") == []


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Decoder and second head were not part of the objective."""
    settings = FitSettings(
        classes=3,
        objective=ObjectiveSettings(weight_reconstruction=1.0),
        depth=DepthSettings(hidden_positives="depth"),
    )
    run = RunFolder(tmp_path)
    modules = TrainingModules(4, 3, settings)
    write_checkpoint(run, modules, modules.optimiser(settings), [record(1)], images="abc")
    path = tmp_path / "checkpoint.safetensors"
    tensors, texts = read_tensor_file(path, fix="")
    before = {
        name.replace("modules.objective.", "modules."): each for name, each in tensors.items()
    }
    assert "modules.decoder.weight" in before
    assert "modules.second_head.bias" in before
    write_tensor_file(path, before, texts)
    again = TrainingModules(4, 3, settings)
    assert read_checkpoint(run, again, again.optimiser(settings), images="abc") == [record(1)]
    expected = modules.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in again.state_dict().items())


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    modules = TrainingModules(4, 3, SETTINGS)
    optimiser = modules.optimiser(SETTINGS)
    write_checkpoint(run, modules, optimiser, [record(1)], images="abc")
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors: cannot be read .*--overwrite"):
        read_checkpoint(run, modules, optimiser, images="abc")


def test_another_backbone_is_another_fingerprint() -> None:
    def of(backbone: str, *keys: str) -> str:
        views = [SimpleNamespace(key=key) for key in keys]
        maps = SimpleNamespace(backbone=SimpleNamespace(fingerprint=backbone), views=views)
        return data_fingerprint(cast("FeatureMaps", maps))

    assert len({of("a", "1", "2"), of("b", "1", "2"), of("a", "2", "1"), of("a", "1")}) == 4
    assert of("a", "1") == of("a", "1")
