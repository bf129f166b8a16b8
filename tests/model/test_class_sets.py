"""Prototypes kept with a model, and changes of its classes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.helpers import TinyBackbone, edited, striped_image

from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.model import files
from segdistill.model.class_sets import (
    ClassSet,
    change_classes,
    read_class_sets,
    redo_change,
    undo_change,
)
from segdistill.model.description import SegmentClass, SegmenterSettings, numbered_classes
from segdistill.model.prototypes import Prototypes
from segdistill.model.segmenter import Segmenter

PROTOTYPES = Prototypes(
    torch.tensor([[0.5, 0, 0, 0, 0, 0], [0, 0.3, 0, 0, 0, 0], [0, 0, 0.2, 0, 0, 0]]),
    torch.tensor([0.5, 0.3, 0.2]),
    torch.tensor([[0, 1], [2, 3]]),
    torch.tensor([0.1, 0.2]),
)


@pytest.fixture(autouse=True)
def _tiny_from_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "load_backbone", lambda _name: TinyBackbone())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    model = Segmenter(
        TinyBackbone(),
        FeaturePreparation((3, 3)),
        None,
        torch.eye(2, 6),
        SegmenterSettings(64, numbered_classes(2), {"images": 6}),
        PROTOTYPES,
    )
    model.save(tmp_path / "run")
    return tmp_path / "run"


def more_classes(count: int) -> ClassSet:
    classes = tuple(replace(each, name=f"kind {each.index}") for each in numbered_classes(count))
    return ClassSet(classes, torch.eye(count, 6))


def test_prototypes_are_kept(run: Path) -> None:
    kept = Segmenter.load(run).prototypes
    assert kept is not None
    for name, part in vars(PROTOTYPES).items():
        torch.testing.assert_close(getattr(kept, name), part)


def test_a_model_without_prototypes_loads(run: Path) -> None:
    path = run / "segmenter.safetensors"
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if not k.startswith("prototypes.")}, path)
    assert Segmenter.load(run).prototypes is None
    assert read_class_sets(run).prototypes is None


def test_prototypes_that_do_not_fit_together_are_named(run: Path) -> None:
    path = run / "segmenter.safetensors"
    save_file({**load_file(path), "prototypes.shares": torch.ones(7)}, path)
    for read in (Segmenter.load, read_class_sets):
        with pytest.raises(UserError, match="do not fit together"):
            read(run)


def test_classes_change_and_come_back(run: Path) -> None:
    first = read_class_sets(run)
    assert first.training == {"images": 6}
    assert not first.former
    change_classes(run, first, more_classes(3))
    second = read_class_sets(run)
    assert [each.name for each in second.current.classes] == ["kind 0", "kind 1", "kind 2"]
    loaded = Segmenter.load(run)
    assert loaded.classes == second.current.classes
    torch.testing.assert_close(loaded.centres, torch.eye(3, 6))
    assert loaded.segment(striped_image(0)).max() < 3
    weights = (run / "segmenter.safetensors").read_bytes()
    undo_change(run, second)
    third = read_class_sets(run)
    assert third.current.classes == first.current.classes
    torch.testing.assert_close(third.current.centres, first.current.centres)
    assert third.undone[0].classes == second.current.classes
    assert not third.former
    assert (run / "segmenter.safetensors").read_bytes() == weights
    assert Segmenter.load(run).classes == first.current.classes
    redo_change(run, third)
    fourth = read_class_sets(run)
    assert fourth.current.classes == second.current.classes
    assert fourth.former[0].classes == first.current.classes
    assert not fourth.undone


def test_what_was_undone_is_not_lost_when_something_else_is_done(run: Path) -> None:
    change_classes(run, read_class_sets(run), more_classes(3))
    undo_change(run, read_class_sets(run))
    change_classes(run, read_class_sets(run), more_classes(4))
    sets = read_class_sets(run)
    assert [len(each.classes) for each in sets.known] == [4, 2, 3]
    assert not sets.undone
    # A set that is taken again stands in one place only.
    change_classes(run, sets, sets.others[0])
    sets = read_class_sets(run)
    assert [len(each.classes) for each in sets.known] == [3, 4, 2]
    text = (run / "segmenter.json").read_text()
    change_classes(run, sets, sets.current)
    assert (run / "segmenter.json").read_text() == text


def test_a_change_that_is_broken_off_leaves_the_model_as_it_was(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(_path: Path, _text: str) -> None:
        raise KeyboardInterrupt

    before = read_class_sets(run)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_text_atomically", broken_off)
        with pytest.raises(KeyboardInterrupt):
            change_classes(run, before, more_classes(3))
    assert Segmenter.load(run).classes == before.current.classes
    # The next change does not touch what the one before has left.
    change_classes(run, before, more_classes(4))
    assert len(Segmenter.load(run).classes) == 4


def test_a_run_that_was_changed_can_be_saved_elsewhere(run: Path, tmp_path: Path) -> None:
    change_classes(run, read_class_sets(run), more_classes(3))
    Segmenter.load(run).save(tmp_path / "copy")
    copy = read_class_sets(tmp_path / "copy")
    assert len(copy.current.classes) == 3
    assert not copy.former
    assert copy.prototypes is not None


def test_damaged_sets_are_named(run: Path) -> None:
    path = run / "segmenter.json"
    description = edited(path.read_text())
    path.write_text(json.dumps(description | {"centres": "gone"}))
    with pytest.raises(UserError, match="refers to 'gone', which the model lacks"):
        read_class_sets(run)
    with pytest.raises(UserError, match="refers to 'gone', which the model lacks"):
        Segmenter.load(run)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": torch.ones(2)},
        {"merges": torch.zeros(3, 2)},
        {"heights": torch.zeros(3)},
        {"vectors": torch.zeros(0, 6)},
    ],
)
def test_parts_of_prototypes_must_fit(wrong: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="prototypes, but"):
        replace(PROTOTYPES, **wrong)


def test_classes_are_plain() -> None:
    assert more_classes(2).classes[0] == SegmentClass(0, "kind 0", numbered_classes(1)[0].colour)
