"""Damage to the files of a run, of masks and of depth maps: found before anything is used."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.helpers import TinyBackbone, edited

from segdistill.api.extracting import FeaturesRecord
from segdistill.config.settings import FitSettings
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.scaling import Projection
from segdistill.depth.maps import write_description as write_depth_description
from segdistill.errors import UserError
from segdistill.evaluation.record import (
    CurveRecord,
    EvaluationRecord,
    KindScores,
    LabelClassScores,
    ManyToOneScores,
    read_record,
    write_record,
)
from segdistill.features.preparation import FeaturePreparation
from segdistill.files import write_text_atomically
from segdistill.images.depth_files import DepthDescription, read_depth_file
from segdistill.inference.mask_classes import mask_classes, read_classes, write_classes
from segdistill.json_files import as_checked_json, read_json
from segdistill.model import files as model_files
from segdistill.model.class_sets import ClassSet, change_classes, read_class_sets
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.files import read_description, read_tensors
from segdistill.model.levels import Levels
from segdistill.model.linear_probe import LinearProbe, read_linear_probe, write_linear_probe
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.model.segmenter import Segmenter
from segdistill.objective.stego import Shifts
from segdistill.runs.facts import AgreementRecord, ClassCount, Facts, SkippedFile
from segdistill.runs.folder import RunFolder
from segdistill.runs.history import StepRecord
from segdistill.storage import LocalFolder

PROTOTYPES = Prototypes(
    torch.eye(3, 6) / 3,
    torch.tensor([0.5, 0.3, 0.2]),
    torch.tensor([[0, 1], [2, 3]]),
    torch.tensor([0.1, 0.2]),
)
CODE_MAPS = CodeMaps(
    torch.tensor([[1, 2], [1, 1]]),
    torch.tensor([0, 1, 2], dtype=torch.int16),
    torch.tensor([1]),
    torch.tensor([2], dtype=torch.int16),
    torch.tensor([0.1, 0.2]),
)
READING = ImageReading((), (((0.0, 99.5),),), Projection(((1.0, 0.5),) * 3, (0.0, 0.1, 0.2)), 0.1)
SCORES = KindScores(
    accuracy=0.9,
    mean_iou=0.8,
    boundary_f=0.7,
    pixels=100,
    classes=(LabelClassScores(index=0, name="sky", pixels=50, iou=0.5, boundary_f=0.5, matched=1),),
    unmatched=(2,),
    many_to_one=ManyToOneScores(0.9, 0.8),
)
FACTS = Facts(
    images=2,
    files={"/photos": ["a.png"]},
    skipped=(SkippedFile("/photos/b.png", "empty"),),
    seconds={"training": 80.5},
    shifts=Shifts(0.1, 0.2, 0.3),
    environment={"torch": "2.9", "threads": 2},
    agreement_history=(AgreementRecord(50, 0.5),),
    kept_step=50,
    class_count=ClassCount(6, (3, 6), (0.9, 0.8), (0.7, 0.6), 0.8, 3, 24, "low"),
    levels={"coarse": 1, "medium": 2, "fine": 3},
)


def read_model(folder: Path) -> object:
    Segmenter.load(folder)
    return read_class_sets(folder)


def read_features(folder: Path) -> object:
    return read_json(folder / "features.json", FeaturesRecord, what="maps", fix="again")


READERS: dict[str, Callable[[Path], object]] = {
    "segmenter.json": read_model,
    "facts.json": lambda folder: RunFolder(folder).read_facts(),
    "classes.json": lambda folder: read_classes(LocalFolder(folder), fix="segment again"),
    "evaluation.json": read_record,
    "depth.json": lambda folder: read_depth_file(folder / "depth.json"),
    "features.json": read_features,
}
QUICK_READERS = READERS | {"segmenter.json": read_description}
CHECKED = [name for name in READERS if name != "classes.json"]
"""Files with a checksum; classes.json is a list, which people may edit."""


@pytest.fixture(autouse=True)
def _tiny_from_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "load_backbone", lambda _name: TinyBackbone())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file that segdistill loads again."""
    run = RunFolder(tmp_path)
    run.begin(FitSettings(classes=3), resume=False)
    levels = Levels(((0, 1, 2),), ((0, 2), (1,)), ((0,), (1,), (2,)))
    settings = SegmenterSettings(
        64, numbered_classes(3), {"images": 6, "shifts": {"a": 0.5}}, READING, 0.5
    )
    model = Segmenter(
        *(TinyBackbone(), FeaturePreparation((3, 3)), None, torch.eye(3, 6), settings),
        *(PROTOTYPES, levels, CODE_MAPS),
    )
    model.save(tmp_path)
    two = ClassSet(numbered_classes(2), torch.eye(2, 6))
    change_classes(tmp_path, read_class_sets(tmp_path), two)
    run.write_facts(FACTS)
    classes = mask_classes(model.classes, model.centres)
    write_classes(tmp_path, classes, np.array([3, 2, 1]))
    curves = (CurveRecord("codes", 0.5, 0.1, 10),)
    record = EvaluationRecord(images=4, scores={"cluster": SCORES}, correspondences=curves)
    write_record(tmp_path, record)
    described = DepthDescription(model="a/b", kind="depth", scale=0.01, invalid=0)
    write_depth_description(tmp_path, described)
    features = FeaturesRecord(
        kind="codes", fingerprint="a", model="b", resolution=64, reading=READING, maps=3
    )
    write_text_atomically(tmp_path / "features.json", as_checked_json(features))
    return tmp_path


def some_bits(content: bytes, count: int, start: int = 0) -> list[bytes]:
    """Return copies of a content, each with another flipped bit."""
    random = np.random.default_rng(0)
    bits = random.choice(np.arange(8 * start, 8 * len(content)), count, replace=False)
    copies = []
    for bit in bits.tolist():
        copy = bytearray(content)
        copy[bit // 8] ^= 1 << bit % 8
        copies.append(bytes(copy))
    return copies


def read_or_error(read: Callable[[Path], object], folder: Path) -> tuple[object, str]:
    """Return what was read, or the message of the error that says why not."""
    try:
        return read(folder), ""
    except UserError as error:
        return None, str(error)


def write(path: Path, content: object) -> None:
    """Write JSON by hand: without a checksum, or with the one that was."""
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", READERS)
def test_files_are_read_as_written(folder: Path, name: str) -> None:
    text = (folder / name).read_text()
    written = READERS[name](folder)
    assert written is not None
    assert ('"sha256"' in text) == (name in CHECKED)
    if name in CHECKED:
        write(folder / name, edited(text))  # as earlier versions wrote it
        assert repr(READERS[name](folder)) == repr(written)
        write(folder / name, json.loads(text))  # indented anew
        assert repr(READERS[name](folder)) == repr(written)


@pytest.mark.parametrize("name", CHECKED)
def test_every_flipped_bit_is_found_or_harmless(folder: Path, name: str) -> None:
    path, read = folder / name, QUICK_READERS[name]
    whole, written = path.read_bytes(), repr(read(folder))
    found = 0
    for content in some_bits(whole, 400):
        path.write_bytes(content)
        result, error = read_or_error(read, folder)
        found += bool(error)
        assert error.startswith(f"{path}: ") or repr(result) == written
    assert found > 200


@pytest.mark.parametrize("name", CHECKED)
def test_an_edit_is_told_how_to_be_accepted(folder: Path, name: str) -> None:
    path = folder / name
    content = json.loads(path.read_text())
    number = next(key for key, value in content.items() if isinstance(value, int))
    content[number] += 0 if number == "format" else 1
    field = "resolution" if name == "segmenter.json" else number
    content[field] = 65 if field == "resolution" else content[field]
    write(path, content)
    with pytest.raises(UserError, match=r"edited .* remove its line .sha256. to accept the change"):
        READERS[name](folder)
    lines = json.dumps(content, indent=2).splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"sha256"' not in line))
    assert READERS[name](folder) is not None


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the path and the value of every field; of lists, those of the first entry."""
    if path:
        yield path, content
    items = (
        content.items()
        if isinstance(content, dict)
        else list(enumerate(content[:1]))
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        yield from places(value, (*path, key))


NUMBERS = [True, -1e301, float("nan"), float("inf")]
WRONG: dict[type, list[Any]] = {
    bool: [5, "text", None, []],
    int: ["text", [], {}, 0.5, 10**30, -1, *NUMBERS],
    float: ["text", [], {}, *NUMBERS],
    str: [5, [], {}, "lone \ud800"],
    list: [5, "text", {}],
    dict: [5, "text", []],
    type(None): [[], {"a": "\ud800"}],
}
FREE = {
    # Facts for display, of any plain kind.
    "training.images",
    "training.shifts",
    "training.shifts.a",
    "environment.torch",
    "environment.threads",
    "raster",
    "protocol",
    # Names of files, which need not be Unicode.
    "files./photos",
    "files./photos.0",
    "skipped.0.file",
    "skipped.0.reason",
    "run",
    "backbone",
    # Numbers of any size or sign.
    "invalid",
    "program",  # that of another program is none of ours
    "reading.ranges.0.0.0",
    "reading.projection.weights.0.0",
    "reading.projection.offsets.0",
}


@pytest.mark.parametrize("name", READERS)
def test_every_field_is_checked(folder: Path, name: str) -> None:
    path = folder / name
    whole = json.loads(path.read_text())
    if isinstance(whole, dict):
        whole = edited(path.read_text())
    accepted = []
    for place, value in list(places(whole)):
        dotted = ".".join(map(str, place))
        for wrong in WRONG[type(value)]:
            content = json.loads(json.dumps(whole))
            parent = content
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = wrong
            write(path, content)
            _, error = read_or_error(READERS[name], folder)
            assert not error or str(path) in error, (dotted, wrong, error)
            if not error:
                accepted.append((dotted, wrong))
    unexpected = [each for each in accepted if each[0] not in FREE]
    assert not unexpected, unexpected


@pytest.mark.parametrize("name", READERS)
def test_fields_that_are_absent_are_named_or_have_defaults(folder: Path, name: str) -> None:
    path = folder / name
    text = path.read_text()
    whole = json.loads(text) if name == "classes.json" else edited(text)
    named = 0
    for place, _ in list(places(whole)):
        content = json.loads(json.dumps(whole))
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        del parent[place[-1]]
        write(path, content)
        _, error = read_or_error(READERS[name], folder)
        named += bool(error)
        assert not error or str(path) in error
    assert named or name == "facts.json"  # all of whose fields earlier versions lack


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "endless", "nested", "huge"])
def test_what_is_no_file_of_ours_is_refused_at_once(
    folder: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        monkeypatch.chdir(folder)  # the names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "nested":
        path.write_text('{"segdistill": ' + "[" * 200_000)
    else:
        with path.open("wb") as file:
            file.write(b'{"segdistill": ')
            file.truncate(2**29)
    with pytest.raises(UserError, match=rf"{name}: (cannot be read|larger than)"):
        READERS[name](folder)


def contents(read: Any) -> str:
    """Return all numbers of tensors or of a probe, and its names, as text."""
    tensors = read.state_dict() if isinstance(read, LinearProbe) else read
    numbers = {name: tensor.tolist() for name, tensor in sorted(tensors.items())}
    return f"{numbers} {getattr(read, 'names', '')}"


@pytest.mark.parametrize("name", ["segmenter.safetensors", "linear_probe.safetensors"])
def test_a_flipped_bit_of_tensors_is_found(folder: Path, name: str) -> None:
    probe = LinearProbe(6, 2)
    probe.names = ("sky", "sea")
    write_linear_probe(probe, folder)
    readers = {
        "segmenter.safetensors": read_tensors,
        "linear_probe.safetensors": read_linear_probe,
    }
    path, read = folder / name, readers[name]
    assert read(folder)
    whole = path.read_bytes()
    written = contents(read(folder))
    found = 0
    for content in some_bits(whole, 100):
        path.write_bytes(content)
        result, error = read_or_error(read, folder)
        found += bool(error)
        # The name of the checksum may be hit, or a space in the header.
        assert name in error or contents(result) == written
    assert found > 80
    # As earlier versions wrote it: without a checksum.
    path.write_bytes(whole)
    save_file(load_file(path), path)
    assert read(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="a named pipe, not a file"):
        read(folder)


TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "centres": lambda tensor: tensor[:, :5],
    "centres.1": lambda tensor: tensor.flatten(),
    "preparation.mean": lambda tensor: tensor[:5],
    "prototypes.vectors": lambda tensor: tensor[:, :5],
    "prototypes.shares": torch.neg,
    "prototypes.merges": lambda tensor: tensor + 9,
    "prototypes.heights": lambda tensor: tensor * torch.nan,
    "code_maps.sizes": torch.neg,
    "code_maps.prototypes": lambda tensor: tensor + 9,
    "code_maps.relit_from": lambda tensor: tensor + 9,
    "code_maps.relit": torch.neg,
    "code_maps.distances": lambda tensor: tensor[:1],
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_do_not_agree_are_refused(folder: Path, name: str) -> None:
    path = folder / "segmenter.safetensors"
    tensors = load_file(path)
    save_file(tensors | {name: TENSORS[name](tensors[name]).contiguous()}, path)
    with pytest.raises(UserError, match=r"segmenter\.safetensors"):
        read_model(folder)


def test_settings_of_a_run_are_checked(folder: Path) -> None:
    path, run = folder / "settings.yaml", RunFolder(folder)
    assert run.read_settings().classes == 3
    text = path.read_text()
    for old, new, message in [
        ("classes: 3", "classes: 999", "classes 999: must be from 2 to 255"),
        ("dropout: 0.1", "dropout: .nan", "must be a finite number"),
        ("seed: 0", "seed: text", "Expected `int`"),
    ]:
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=rf"settings\.yaml: .*{message}"):
            run.read_settings()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="a named pipe, not a file"):
        run.read_settings()


def test_the_history_of_a_run_is_checked(folder: Path) -> None:
    path, run = folder / "history.csv", RunFolder(folder)
    record = StepRecord(1, -0.5, -0.1, -0.2, -0.3, -0.4)
    history = [record, replace(record, step=2)]
    run.write_history(history)
    assert run.read_history() == history
    text = path.read_text()
    path.write_text(text.replace("total,", "total,later,").replace("-0.5,", "-0.5,7,"))
    assert run.read_history() == history  # columns of later versions are ignored
    for damaged in [text.replace("2,-0.5", "3,-0.5"), text.replace("-0.5", "x"), text[:40]]:
        path.write_text(damaged)
        with pytest.raises(UserError, match=r"history\.csv: .*restore it from a copy"):
            run.read_history()
