import subprocess
import sys
from pathlib import Path

import pytest

from segdistill import backbones
from segdistill.backbones import registry
from segdistill.backbones.efficientnet_lite import EfficientNetLite
from segdistill.backbones.loading import SHORT_NAMES
from segdistill.errors import UserError


@pytest.fixture
def _own_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test register what it likes."""
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))


def test_all_short_names_are_registered_after_the_default() -> None:
    names = [entry.name for entry in backbones.backbone_entries()]
    assert names == [backbones.DEFAULT_BACKBONE, *SHORT_NAMES]


def test_every_entry_has_its_own_source_and_a_summary() -> None:
    entries = backbones.backbone_entries()
    assert len({entry.source for entry in entries}) == len(entries)
    assert all(entry.summary for entry in entries)


def test_public_names_exist() -> None:
    assert all(hasattr(backbones, name) for name in backbones.__all__)


def test_segmenting_leaves_the_slow_libraries_alone() -> None:
    slow = ("lightning_fabric", "matplotlib", "scipy.ndimage", "scipy.spatial", "torch._dynamo")
    code = (
        "import sys, segdistill; from segdistill.devices import choose_compute;"
        " segdistill.segment, segdistill.Segmenter, choose_compute();"
        f" print({{'transformers', *{slow}}} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_default_is_loaded_from_the_installation() -> None:
    backbone = backbones.load_backbone()
    assert isinstance(backbone, EfficientNetLite)
    assert backbone.name == backbones.DEFAULT_BACKBONE


@pytest.mark.usefixtures("_own_entries")
def test_a_registered_backbone_loads_by_its_name() -> None:
    asked = []

    def load(source: str) -> backbones.Backbone:
        asked.append(source)
        return EfficientNetLite()

    backbones.register(backbones.BackboneEntry("mine", "where/from", "My own", load))
    assert backbones.load_backbone("mine").name == "mine"
    assert asked == ["where/from"]


@pytest.mark.usefixtures("_own_entries")
def test_a_name_is_registered_once() -> None:
    entry = backbones.backbone_entries()[0]
    with pytest.raises(ValueError, match="already registered"):
        backbones.register(entry)


@pytest.mark.parametrize("name", ["dino-vits8", "facebook/dino-vits8", "someone/something"])
def test_names_that_could_be_backbones_pass(name: str) -> None:
    backbones.check_backbone_name(name)


def test_an_existing_folder_passes(tmp_path: Path) -> None:
    backbones.check_backbone_name(str(tmp_path))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean dino-vits8"):
        backbones.check_backbone_name("dino-vit-s8")


@pytest.mark.parametrize("name", ["a" * 300, "a/" + "b" * 5000])
def test_a_name_that_no_file_could_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="not a short name"):
        backbones.load_backbone(name)


@pytest.mark.parametrize("name", ["weights.pth", "./nothing", "/nowhere/at/all"])
def test_a_missing_file_is_named(name: str) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        backbones.load_backbone(name)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"weights")
    with pytest.raises(UserError, match=r"weights\.bin: cannot be read as a checkpoint"):
        backbones.load_backbone(str(file))
