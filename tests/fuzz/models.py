"""Targets: the files of a model."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file, save

from segdistill.api.classes import proposed_merges
from segdistill.backbones.weight_files import read_network
from segdistill.decoding.image_reading import ImageReading
from segdistill.errors import UserError
from segdistill.features.preparation import FeaturePreparation
from segdistill.layout import DESCRIPTION_FILE, PROBE_FILE, WEIGHTS_FILE
from segdistill.model import files
from segdistill.model.class_sets import ClassSet, change_classes, read_class_sets, undo_change
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.head import SegmentationHead
from segdistill.model.levels import Levels
from segdistill.model.linear_probe import LinearProbe, read_linear_probe, write_linear_probe
from segdistill.model.prototypes import CodeMaps, Prototypes
from segdistill.model.segmenter import Segmenter
from tests.fuzz.target import Target
from tests.fuzz.writing import written
from tests.helpers import TinyBackbone

READING = ImageReading((4, 3, 2), (((0.0, 99.5),) * 3,), border=0.25)
CENTRES = torch.eye(3, 4)
PROTOTYPES = Prototypes(
    torch.eye(3, 4) / 3,
    torch.tensor([0.5, 0.3, 0.2]),
    torch.tensor([[0, 1], [2, 3]]),
    torch.tensor([0.1, 0.2]),
)
CODE_MAPS = CodeMaps(
    torch.tensor([[1, 3], [2, 2]]),
    torch.tensor([0, 1, 2, 0, 1, 2, 0], dtype=torch.int16),
    torch.tensor([1]),
    torch.tensor([0, 1, 1, 0], dtype=torch.int16),
    torch.tensor([0.1, 0.2]),
)
PICTURE = np.arange(24 * 32 * 3, dtype=np.uint16).reshape(24, 32, 3)
"""Of more than 8 bits, so that how images are read matters."""

LEVELS = Levels(((0, 1, 2),), ((0, 2), (1,)), ((0,), (1,), (2,)))
_MADE: dict[str, bytes] = {}


def models() -> list[Target]:
    """Return the targets."""
    return [
        Target("model_json", _ModelFile(DESCRIPTION_FILE), _description_seeds, "json"),
        Target("model_tensors", _ModelFile(WEIGHTS_FILE), _tensor_seeds, most=8192),
        Target("linear_probe", _linear_probe, _linear_probe_seeds, file=PROBE_FILE),
        Target("weights_index", _weights_index, _index_seeds, "json", file="model.safetensors"),
    ]


def small_run(folder: Path) -> Path:
    """Return a run folder without a backbone, with three classes that were changed and undone."""
    run = folder / "run"
    if not _MADE:
        model = Segmenter(
            TinyBackbone(),
            FeaturePreparation((3, 3)),
            SegmentationHead(6, 4, kind="nonlinear", dropout=0.1),
            CENTRES,
            SegmenterSettings(64, numbered_classes(3), {"images": 6}, READING),
            PROTOTYPES,
            LEVELS,
            CODE_MAPS,
        )
        model.save(run, overwrite=True)
        for count in (2, 1):
            sets = read_class_sets(run)
            chosen = ClassSet(numbered_classes(count), torch.eye(count, 4))
            change_classes(run, sets, chosen)
        for _ in range(2):
            undo_change(run, read_class_sets(run))
        sets = read_class_sets(run)
        named = tuple(replace(each, name=f"kind {each.index}") for each in sets.current.classes)
        change_classes(run, sets, replace(sets.current, classes=named))
        for name in (DESCRIPTION_FILE, WEIGHTS_FILE):
            _MADE[name] = (run / name).read_bytes()
    run.mkdir(exist_ok=True)
    for name, content in _MADE.items():
        (run / name).write_bytes(content)
    return run


class _ModelFile:
    """Reads a run of which one file is the input."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, content: bytes, folder: Path) -> None:
        run = small_run(folder)
        (run / self.name).write_bytes(content)
        try:
            sets = read_class_sets(run)
            for each in sets.known:
                assert sorted(c for one in each.classes for c in one.members) == list(
                    range(len(each.centres))
                )
            with patch.object(files, "load_backbone", lambda _name: TinyBackbone()):
                parts = files.read_parts(run)
            model = Segmenter(**vars(parts))
            model.segment(PICTURE)
            model.save(folder / "again", overwrite=True)
            proposed_merges(run)
        except UserError as error:
            assert str(folder) in str(error)
            raise


def _description_seeds() -> list[bytes]:
    content = json.loads(_made(DESCRIPTION_FILE))
    early = {
        name: content[name]
        for name in ("format", "backbone", "resolution", "preparation", "head", "training")
    }
    early["classes"] = content["others"][0]["classes"] if content["others"] else content["classes"]
    early["raster"] = {"bands": [], "ranges": [[0, 99]], "projection": None}
    return [_made(DESCRIPTION_FILE), json.dumps(early).encode()]


def _tensor_seeds() -> list[bytes]:
    # Without the checksum, which nearly every other input would fail.
    return [_made(WEIGHTS_FILE), written("a.safetensors", _without_checksum)]


def _without_checksum(path: Path) -> None:
    path.write_bytes(_made(WEIGHTS_FILE))
    path.write_bytes(save(load_file(path)))


def _made(name: str) -> bytes:
    def write(path: Path) -> None:
        small_run(path.parent)
        path.write_bytes(_MADE[name])

    return written("seed", write)


def _linear_probe(content: bytes, folder: Path) -> None:
    (folder / PROBE_FILE).write_bytes(content)
    probe = read_linear_probe(folder)
    assert probe is not None
    assert all(isinstance(name, str) for name in probe.names)
    scores = probe.scores(torch.zeros(1, probe.in_features, 1, 2))
    assert scores.isfinite().all()


def _linear_probe_seeds() -> list[bytes]:
    def write(path: Path) -> None:
        probe = LinearProbe(2, 3)
        probe.names = ("road", "sky", "Straße")
        write_linear_probe(probe, path.parent)

    return [written(PROBE_FILE, write)]


def _weights_index(content: bytes, folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    path.write_bytes(content)
    for name in ("a", "b"):
        part = folder / f"{name}.safetensors"
        part.write_bytes(save({f"{name}.patch_embed.proj.weight": torch.ones(1, 3, 2, 2)}))
    state = read_network(path)
    assert all(each.dtype == torch.float32 for each in state.values())


def _index_seeds() -> list[bytes]:
    key = "a.patch_embed.proj.weight"
    return [
        json.dumps({"metadata": {}, "weight_map": {key: "a.safetensors"}}).encode(),
        json.dumps({"weight_map": {key: "a.safetensors", "b": "b.safetensors"}}).encode(),
    ]
