"""Targets: weights and checkpoints of others, read as data."""

import io
import json
import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from segdistill.backbones.weight_files import read_network
from segdistill.depth import estimator, preprocessing
from segdistill.errors import UserError
from segdistill.naming import encoder
from segdistill.runs.conversion import read_checkpoint
from segdistill.weights.safe_pickle import read_pickle
from tests.fuzz.target import Target

WEIGHT = torch.arange(12.0).reshape(1, 3, 2, 2)
STATE = {"patch_embed.proj.weight": WEIGHT, "cls_token": torch.ones(12)}
STEGO = {
    "state_dict": {"net.cluster1.0.weight": WEIGHT, "cluster_probe.clusters": WEIGHT[0, 0]},
    "hyper_parameters": {"dim": 70, "model_type": "vit_small", "lr": 1e-3},
    "global_step": 7,
}


def weights() -> list[Target]:
    """Return the targets."""
    return [
        Target("pickle", _pickle, _pickle_seeds),
        Target("checkpoint_pickle", _checkpoint_pickle, _pickle_seeds, file="weights.pth"),
        Target("checkpoint", _checkpoint, _checkpoint_seeds, file="weights.pth"),
        Target("network_config", _network_config, _network_config_seeds, "json"),
    ]


def _pickle(content: bytes, folder: Path) -> None:
    """Read a pickle whose errors the caller translates: only time and memory can be wrong."""
    try:
        value = read_pickle(io.BytesIO(content), rebuild={}, persistent=lambda _key: None)
    except (MemoryError, SystemError):
        raise
    except Exception as error:
        raise UserError("damaged") from error
    assert isinstance(value, object)


def _checkpoint_pickle(content: bytes, folder: Path) -> None:
    """Read a checkpoint whose pickle is the input, in an archive that is not damaged."""
    path = folder / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content)
        archive.writestr("a/byteorder", "little")
        for key in range(3):
            archive.writestr(f"a/data/{key}", WEIGHT.numpy().tobytes())
    _read_both(path)


def _checkpoint(content: bytes, folder: Path) -> None:
    path = folder / "weights.pth"
    path.write_bytes(content)
    _read_both(path)


def _read_both(path: Path) -> None:
    """Read a file as a network and as a checkpoint of STEGO."""
    try:
        facts = read_checkpoint(path).facts
        assert all(isinstance(each, str | int | float | None) for each in facts.values())
        json.dumps(facts, allow_nan=False)
    except UserError as error:
        assert path.name in str(error)
    state = read_network(path)
    assert all(each.dtype == torch.float32 for each in state.values())


def _saved(content: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def _contents() -> list[Any]:
    return [
        STATE,
        STEGO,
        {"teacher": OrderedDict(STATE), "args": Namespace(lr=0.5), "epoch": 3, "best": None},
        {"model": torch.nn.Parameter(WEIGHT), "shape": WEIGHT.shape, "where": Path("a")},
    ]


def _checkpoint_seeds() -> list[bytes]:
    return [_saved(each, legacy=legacy) for each in _contents() for legacy in (False, True)]


def _pickle_seeds() -> list[bytes]:
    plain = [{"a": (1, 2.5, b"x")}, {1, 2}, "é", 2**70]
    found = [pickle.dumps(plain, protocol=protocol) for protocol in range(6)]
    for each in _contents():
        with zipfile.ZipFile(io.BytesIO(_saved(each))) as archive:
            found += [archive.read(n) for n in archive.namelist() if n.endswith("data.pkl")]
    return found


def _network_config(content: bytes, folder: Path) -> None:
    """Read the settings of networks that the Hugging Face hub's files state."""
    (folder / "config.json").write_bytes(content)
    (folder / "preprocessor_config.json").write_bytes(content)
    failed = []
    for kind, read in (
        (estimator.NETWORKS, preprocessing.read_preprocessing),
        (encoder.NETWORKS, encoder.read_preprocessing),
    ):
        try:
            read(kind.find(str(folder)))
        except UserError as error:
            failed.append(error)
    if len(failed) == 2:  # no network is of both kinds
        raise failed[0]


def _network_config_seeds() -> list[bytes]:
    shared = {"do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2]}
    size = {"height": 384, "width": 384}
    configs: list[dict[str, Any]] = [
        {"model_type": "depth_anything", "size": size, "ensure_multiple_of": 14},
        {"model_type": "dpt", "size": 384, "keep_aspect_ratio": True, "image_size": 384},
        {"model_type": "zoedepth", "size": size, "do_pad": False, "resample": 3},
        {"model_type": "clip", "vision_config": {"image_size": 224}, "do_center_crop": True},
        {"model_type": "siglip", "image_processor": shared},
    ]
    return [json.dumps(shared | each).encode() for each in configs]
