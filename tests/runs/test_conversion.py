"""Checkpoints of STEGO: what they predict, and that nothing in them runs."""

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import GOLDEN, edited, golden

from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD
from segdistill.errors import UserError
from segdistill.model.linear_probe import read_linear_probe
from segdistill.model.segmenter import Segmenter
from segdistill.objective.clusters import cluster_similarity
from segdistill.runs.conversion import convert_checkpoint, read_checkpoint
from segdistill.weights.safe_pickle import RefusedPickleError

CHECKPOINT = GOLDEN / "stego_layout.ckpt"
State = dict[str, torch.Tensor]
Save = Callable[..., Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint as a run; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "stego"
    convert_checkpoint(CHECKPOINT, out)
    return out


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """STEGO's own predictions, and its images as before their normalisation."""
    values = golden("stego_layout_prediction")
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    return values | {"image": values["image"] * std + mean}


@pytest.fixture(scope="module")
def weights() -> State:
    return read_checkpoint(CHECKPOINT).weights


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a checkpoint of other weights or settings."""

    def save(state: State, *, legacy: bool = False, **settings: object) -> Path:
        path = tmp_path / "other.ckpt"
        cfg = {"model_type": "vit_small", "dino_feat_type": "feat"} | settings
        content = {"state_dict": state, "hyper_parameters": {"n_classes": 5, "cfg": cfg}}
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        return path

    return save


def load(run: Path) -> Segmenter:
    return Segmenter.load(run, device="cpu", precision="32-true")


def test_codes_and_predictions_are_those_of_stego(run: Path, expected: dict[str, Any]) -> None:
    segmenter = load(run)
    codes = segmenter.encode(expected["image"])
    torch.testing.assert_close(codes, expected["code"], atol=1e-5, rtol=0, check_stride=False)

    enlarged = F.interpolate(codes, (32, 32), mode="bilinear", align_corners=False)
    similarity = cluster_similarity(enlarged, segmenter.centres)
    torch.testing.assert_close(
        similarity, expected["cluster_similarity"], atol=1e-5, rtol=0, check_stride=False
    )
    assert torch.equal(similarity.argmax(dim=1), expected["cluster"])

    probe = read_linear_probe(run)
    assert probe is not None
    assert torch.equal(probe.scores(enlarged).argmax(dim=1), expected["linear"])


def test_the_run_says_what_it_is(run: Path) -> None:
    description = json.loads((run / "segmenter.json").read_text())
    assert description["backbone"]["name"] == "backbone"
    assert description["resolution"] == 320
    assert [each["name"] for each in description["classes"]] == [f"class {i}" for i in range(5)]
    facts = description["training"]
    assert facts["converted_from"] == "stego_layout.ckpt"
    assert (facts["steps"], facts["model_type"], facts["continuous"]) == (400, "vit_small", True)
    assert (facts["dataset_name"], facts["dim"], facts["extra_clusters"]) == ("directory", 10, 0)


def test_a_moved_run_loads(run: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(run, copied)
    moved = copied.rename(tmp_path / "moved")
    segmenter = load(moved)
    assert segmenter.backbone.name == str(moved / "backbone")
    assert torch.equal(segmenter.encode(expected["image"]), load(run).encode(expected["image"]))

    segmenter.save(moved, overwrite=True)
    assert '"name": "backbone"' in (moved / "segmenter.json").read_text()
    segmenter.save(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").backbone.name == str(moved / "backbone")


def test_another_backbone_in_the_run_is_noticed(run: Path, save: Save, weights: State) -> None:
    other = weights | {"net.model.norm.bias": weights["net.model.norm.bias"] + 1}
    out = save(other).parent / "run"
    convert_checkpoint(save(other), out)
    shutil.copy(run / "backbone" / "model.safetensors", out / "backbone")
    with pytest.raises(UserError, match="fingerprint"):
        load(out)


def test_a_checkpoint_without_a_hidden_layer_or_a_probe(save: Save, weights: State) -> None:
    left_out = ("net.cluster2.", "linear_probe.", "decoder.", "train_cluster_probe.")
    path = save({k: v for k, v in weights.items() if not k.startswith(left_out)})
    out = path.parent / "run"
    convert_checkpoint(CHECKPOINT, out)
    convert_checkpoint(path, out, overwrite=True)
    segmenter = load(out)
    assert segmenter.head is not None
    assert segmenter.head.nonlinear is None
    assert segmenter.encode(torch.rand(1, 3, 16, 24)).shape == (1, 10, 2, 3)
    assert read_linear_probe(out) is None


def test_the_format_of_old_torch_holds_the_same(save: Save, weights: State) -> None:
    path = save(weights, legacy=True, dim=10)
    assert not zipfile.is_zipfile(path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.facts["dim"] == 10
    assert checkpoint.weights.keys() == weights.keys()
    assert all(torch.equal(checkpoint.weights[key], weights[key]) for key in weights)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda name: f"module.{name}", id="module"),
        pytest.param(lambda name: f"_orig_mod.{name}", id="compiled"),
        pytest.param(lambda name: f"model._orig_mod.module.{name}", id="all"),
        pytest.param(
            lambda name: name.replace("net.model.", "net._orig_mod.model.module."), id="inside"
        ),
        pytest.param(lambda name: name.replace("net.model.", "net.model.backbone."), id="backbone"),
    ],
)
def test_prefixes_do_not_matter(
    wrap: Callable[[str], str], save: Save, weights: State, run: Path, tmp_path: Path
) -> None:
    path = save({wrap(name): tensor for name, tensor in weights.items()})
    converted = convert_checkpoint(path, tmp_path / "run")
    assert converted.segmenter.backbone.fingerprint == load(run).backbone.fingerprint
    torch.testing.assert_close(converted.segmenter.centres, load(run).centres)
    assert converted.probe is not None


def test_a_checkpoint_without_lightning(weights: State, run: Path, tmp_path: Path) -> None:
    for name, content in (("plain", weights), ("model", {"model": weights})):
        torch.save(content, tmp_path / f"{name}.pt")
        convert_checkpoint(tmp_path / f"{name}.pt", tmp_path / name, num_heads=6)
        torch.testing.assert_close(load(tmp_path / name).centres, load(run).centres)


def test_a_backbone_of_dinov2(save: Save, weights: State, tmp_path: Path) -> None:
    scales = {
        f"net.model.blocks.{block}.ls{number}.gamma": torch.ones(48)
        for block in range(3)
        for number in (1, 2)
    }
    path = save(weights | scales | {"net.model.register_tokens": torch.zeros(1, 2, 48)})
    convert_checkpoint(path, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "backbone" / "config.json").read_text())
    assert (config["model_type"], config["num_register_tokens"]) == ("dinov2_with_registers", 2)
    assert load(tmp_path / "run").encode(torch.rand(1, 3, 16, 24)).shape == (1, 10, 2, 3)


@pytest.mark.parametrize(
    "name",
    [
        "net.model.norm.bias",
        "net.cluster1.0.weight",
        "cluster_probe.clusters",
        "linear_probe.bias",
    ],
)
def test_weights_that_are_not_finite_are_refused(
    name: str, save: Save, weights: State, tmp_path: Path
) -> None:
    broken = weights[name].clone()
    broken.flatten()[0] = float("nan")
    path = save(weights | {name: broken})
    shown = name.removeprefix("net.model.")
    with pytest.raises(
        UserError, match=rf"other\.ckpt: .*{shown} holds 1 value that is not finite"
    ):
        convert_checkpoint(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_heads_are_told_or_follow_the_network(save: Save, weights: State) -> None:
    unnamed = save(weights, model_type="vit_other")
    out = unnamed.parent / "run"
    with pytest.raises(UserError, match="48 channels cannot be divided into heads of 64"):
        convert_checkpoint(unnamed, out)
    for heads, message in [(0, "at least 1"), (5, "cannot be divided into 5 heads")]:
        with pytest.raises(UserError, match=message):
            convert_checkpoint(CHECKPOINT, out, num_heads=heads)
    assert not out.exists()
    named = convert_checkpoint(CHECKPOINT, out)
    told = convert_checkpoint(unnamed, out, num_heads=6, overwrite=True)
    wrong = convert_checkpoint(unnamed, out, num_heads=4, overwrite=True)
    assert told.num_heads == named.num_heads == 6
    assert told.segmenter.backbone.fingerprint == named.segmenter.backbone.fingerprint
    assert wrong.segmenter.backbone.fingerprint != named.segmenter.backbone.fingerprint


def test_settings_that_are_no_plain_values_are_left_out(save: Save, weights: State) -> None:
    path = save(weights, dim=10**5000, lr=float("nan"), res=[1], dataset_name={"a": 1}, unknown=1)
    facts = read_checkpoint(path).facts
    assert [facts[name] for name in ("dim", "lr", "res", "dataset_name")] == [None] * 4
    assert "unknown" not in facts


def test_tensors_that_share_numbers_or_lie_across_them(tmp_path: Path) -> None:
    grid = torch.arange(24.0).view(4, 6)
    views = {"turned": grid.T, "part": grid[1:3, ::2], "none": grid[:0], "half": grid.half()}
    torch.save({"state_dict": views | {"number": 3}}, tmp_path / "a.ckpt")
    read = read_checkpoint(tmp_path / "a.ckpt").weights
    assert read.keys() == views.keys()
    assert all(torch.equal(read[key], views[key]) for key in views)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: {"fc.weight": torch.ones(1)}, r"lacks net\.model\.\*; expected STEGO's layout"),
        (lambda w: _without(w, "net.cluster1.0.bias"), r"lacks net\.cluster1\.0\.bias"),
        (lambda w: _without(w, "net.cluster2.2.weight"), r"lacks net\.cluster2\.2\.weight"),
        (lambda w: _without(w, "cluster_probe.clusters"), r"lacks cluster_probe\.clusters"),
        (lambda w: _without(w, "net.model.cls_token"), "cls_token is missing"),
        (lambda w: w | {"net.model.blocks.0.ls1.gamma": torch.ones(48)}, "ls2"),
        (lambda w: w | {"net.model.norm.bias": torch.ones(47)}, "unexpected shape"),
        (
            lambda w: w | {"net.model.blocks.0.mlp.fc1.weight": torch.tensor(1.0)},
            "unexpected shape",
        ),
        (
            lambda w: w | {"net.model.patch_embed.proj.weight": torch.ones(48, 3, 0, 0)},
            "unexpected shape",
        ),
        (lambda w: w | {"cluster_probe.clusters": torch.ones(5, 9)}, "does not fit"),
        (lambda w: w | {"cluster_probe.clusters": torch.ones(300, 10)}, "300 classes"),
        (lambda w: w | {"net.cluster1.0.weight": torch.ones(10, 48, 3, 3)}, "does not fit"),
        (lambda w: w | {"linear_probe.bias": torch.ones(4)}, "does not fit"),
        (lambda _: {}, "contains no state_dict"),
    ],
)
def test_other_layouts_are_named(
    change: Callable[[State], State], message: str, save: Save, weights: State
) -> None:
    path = save(change(weights))
    with pytest.raises(UserError, match=message) as caught:
        convert_checkpoint(path, path.parent / "run")
    assert str(caught.value).startswith(str(path))
    assert not (path.parent / "run").exists()


def _without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


def test_features_that_are_keys_stay_keys(save: Save, weights: State, tmp_path: Path) -> None:
    converted = convert_checkpoint(save(weights, dino_feat_type="KK"), tmp_path / "run")
    again = Segmenter.load(tmp_path / "run", device="cpu")
    tokens = convert_checkpoint(save(weights), tmp_path / "tokens").segmenter
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes = again.encode(images)
        torch.testing.assert_close(codes, converted.segmenter.encode(images))
        assert not torch.allclose(codes, tokens.encode(images), atol=1e-3)


def test_features_of_another_kind_are_refused(save: Save, weights: State, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="features are 'logits'"):
        convert_checkpoint(save(weights, dino_feat_type="logits"), tmp_path / "run")


def test_only_what_a_conversion_wrote_is_overwritten(run: Path, tmp_path: Path) -> None:
    own, trained, photos = tmp_path / "own", tmp_path / "trained", tmp_path / "photos"
    shutil.copytree(run, own)
    with pytest.raises(UserError, match="already contains a run; add --overwrite"):
        convert_checkpoint(CHECKPOINT, own)
    convert_checkpoint(CHECKPOINT, own, overwrite=True)
    (own / "segmenter.json").unlink()  # as if interrupted
    convert_checkpoint(CHECKPOINT, own)

    shutil.copytree(run, trained)
    text = json.dumps(edited((trained / "segmenter.json").read_text()))
    (trained / "segmenter.json").write_text(text.replace("converted_from", "images"))
    photos.mkdir()
    (photos / "a.jpg").touch()
    for folder, message in [(trained, "was trained, not converted"), (photos, "is not a run")]:
        before = sorted(folder.rglob("*"))
        with pytest.raises(UserError, match=message):
            convert_checkpoint(CHECKPOINT, folder, overwrite=True)
        assert sorted(folder.rglob("*")) == before


# What a checkpoint may smuggle in. Each payload, if run, makes the file that MARK names.

MARK = "SEGDISTILL_TEST_MARK"
COMMAND = f'touch "${MARK}"'


class Trap:
    """Makes the file as soon as it is given its state."""

    def __setstate__(self, state: object) -> None:
        os.system(COMMAND)  # noqa: S605


class Reduced:
    """Is pickled as a call."""

    def __init__(self, called: Callable[..., object], *arguments: object) -> None:
        self.call = (called, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MARK, str(tmp_path / "ran"))
    return tmp_path / "ran"


def archive_of(pickled: bytes, *, entries: dict[str, bytes] | None = None) -> bytes:
    """Return the golden checkpoint with another pickle and more entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(CHECKPOINT) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
        for name, content in (entries or {}).items():
            new.writestr(name, content)
    return buffer.getvalue()


def golden_pickle() -> bytes:
    with zipfile.ZipFile(CHECKPOINT) as archive:
        return archive.read("stego_layout/data.pkl")


def by_torch(content: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def in_golden(instructions: bytes) -> bytes:
    """Return the golden checkpoint, its pickle led by instructions that leave nothing behind."""
    return archive_of(b"\x80\x02" + instructions + b"0" + golden_pickle()[2:])


def trap() -> Trap:
    made = Trap()
    made.__dict__["state"] = 1
    return made


def hidden_deep(harm: object) -> dict[str, object]:
    weights: dict[str, object] = dict(read_checkpoint(CHECKPOINT).weights)
    return {"state_dict": weights, "callbacks": {"a": [({"b": harm},)]}}


RUN = COMMAND.encode()
HARMFUL = {
    "call": lambda: by_torch(Reduced(os.system, COMMAND)),
    "call among the weights": lambda: by_torch({"state_dict": {"a": Reduced(os.system, COMMAND)}}),
    "call deep inside": lambda: by_torch(hidden_deep(Reduced(os.system, COMMAND))),
    "call in the settings": lambda: by_torch(
        {
            "hyper_parameters": {
                "cfg": {"dim": Reduced(eval, f"__import__('os').system({COMMAND!r})")}
            }
        }
    ),
    "call, old format": lambda: by_torch({"a": Reduced(os.system, COMMAND)}, legacy=True),
    "call, plain pickle": lambda: pickle.dumps(Reduced(os.system, COMMAND)),
    "call before all": lambda: in_golden(b"cposix\nsystem\n(X" + _text(COMMAND) + b"tR"),
    "call by way of INST": lambda: in_golden(b"(S'" + RUN + b"'\niposix\nsystem\n"),
    "call by way of OBJ": lambda: in_golden(b"(cposix\nsystem\nX" + _text(COMMAND) + b"o"),
    "call by way of NEWOBJ": lambda: in_golden(
        b"csubprocess\nPopen\n(X" + _text(COMMAND) + b"t\x81"
    ),
    "call by way of a stack of names": lambda: in_golden(
        b"X" + _text("posix") + b"X" + _text("system") + b"\x93(X" + _text(COMMAND) + b"tR"
    ),
    "state given to a class": lambda: by_torch({"state_dict": {}, "a": trap()}),
    "state given to a function": lambda: in_golden(
        b"ctorch._utils\n_rebuild_tensor_v2\n}X" + _text("__code__") + b"I1\nsb"
    ),
    "state given to a list": lambda: in_golden(b"]}b"),
    "call of what was made": lambda: in_golden(
        b"comegaconf.nodes\nAnyNode\n)R(X" + _text(COMMAND) + b"tR"
    ),
    "call of a text": lambda: in_golden(b"X" + _text("os.system") + b")R"),
    "import of a function": lambda: in_golden(b"ctorch.hub\nload\n(X" + _text("a/b") + b"tR"),
    "import of a method": lambda: in_golden(
        b"X" + _text("omegaconf") + b"X" + _text("OmegaConf.load") + b"\x93)R"
    ),
    "import within an import": lambda: in_golden(b"ctorch.storage\n_load_from_bytes\n)R"),
    "attribute": lambda: in_golden(b"c__builtin__\ngetattr\n)R"),
    "name of line breaks": lambda: in_golden(
        b"X" + _text("os\n\x1b[2J") + b"X" + _text("system") + b"\x93"
    ),
    "registered extension": lambda: in_golden(b"\x82\x01"),
    "reference to a module": lambda: in_golden(b"(X" + _text("module") + b"NNNtQ"),
    "reference by text": lambda: in_golden(b"Pos.system\n"),
    "entry outside": lambda: archive_of(golden_pickle(), entries={"../../evil": b""}),
    "entry at the root": lambda: archive_of(golden_pickle(), entries={"/etc/evil": b""}),
    "entry of Windows": lambda: archive_of(golden_pickle(), entries={"a\\..\\evil": b""}),
}


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(4, "little") + encoded


def _rebuild(*arguments: object) -> bytes:
    """Return the golden checkpoint with one more tensor, made of other arguments."""
    pickled = pickle.dumps(arguments, protocol=2)[2:-1]
    storage = b"(X" + _text("storage") + b"ctorch\nFloatStorage\nX" + _text("0") + b"X"
    storage += _text("cpu") + b"K0tQ"  # of 48 numbers
    pickled = pickled.replace(b"X" + _text("storage here"), storage)
    return in_golden(b"ctorch._utils\n_rebuild_tensor_v2\n" + pickled + b"R")


FAKE_TENSORS = [
    ("no", 0, (1,), (1,), False, None),
    (None, 0, (1,), (1,)),
    ("storage here", -1, (1,), (1,)),
    ("storage here", 48, (1,), (1,)),
    ("storage here", 0, (49,), (1,)),
    ("storage here", 0, (2,), (48,)),
    ("storage here", 0, (2,), (-1,)),
    ("storage here", 0, (10**12,), (0,)),
    ("storage here", 0, (2, 2), (1,)),
    ("storage here", 0, 2, 1),
    ("storage here", 0, ("a",), (1,)),
    ("storage here", "os.system", (1,), (1,)),
    ("storage here",),
    (),
]


@pytest.mark.parametrize("kind", HARMFUL)
def test_a_harmful_checkpoint_is_refused_and_not_run(kind: str, tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "harm.ckpt"
    path.write_bytes(HARMFUL[kind]())
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RefusedPickleError, match="refused, because its pickle") as caught:
        convert_checkpoint(path, tmp_path / "run")
    assert str(caught.value).isprintable()
    assert not mark.exists()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["call deep inside", "state given to a class"])
def test_the_harm_is_real(kind: str, tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "harm.ckpt"
    path.write_bytes(HARMFUL[kind]())
    torch.load(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("arguments", FAKE_TENSORS)
def test_tensors_of_false_arguments_are_refused(
    arguments: tuple[object, ...], tmp_path: Path
) -> None:
    path = tmp_path / "fake.ckpt"
    path.write_bytes(_rebuild(*arguments))
    with pytest.raises(UserError, match=r"makes a tensor|cannot be read"):
        read_checkpoint(path)
    path.write_bytes(_rebuild("storage here", 0, (6, 8), (8, 1)))
    assert read_checkpoint(path).weights


def test_names_of_classes_are_recorded_and_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "known.ckpt"
    path.write_bytes(in_golden(b"comegaconf.nodes\nAnyNode\n)\x81}X" + _text("_val") + b"K\x01sb"))
    assert read_checkpoint(path).facts["dim"] == 10


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_cut_off_files_are_named(share: float, legacy: bool, save: Save, weights: State) -> None:
    path = save(weights, legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"other\.ckpt: .*truncated") as caught:
        convert_checkpoint(path, path.parent / "run")
    assert not isinstance(caught.value, RefusedPickleError)


def test_changed_and_missing_numbers_are_named(tmp_path: Path) -> None:
    content = CHECKPOINT.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    (tmp_path / "changed.ckpt").write_bytes(changed)
    with zipfile.ZipFile(tmp_path / "missing.ckpt", "w") as archive:
        archive.writestr("stego_layout/data.pkl", golden_pickle())
    for name in ("changed", "missing"):
        with pytest.raises(UserError, match=f"{name}.ckpt: cannot be read as a checkpoint"):
            read_checkpoint(tmp_path / f"{name}.ckpt")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(10**6))
    with pytest.raises(UserError, match="compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; download or copy it again"),
        (b"not weights", "cannot be read as a checkpoint"),
        (b"class_id,name\nsystem\n", "cannot be read as a checkpoint"),
        (bytes(range(256)), "cannot be read as a checkpoint"),
        (pickle.dumps({"state_dict": {}}), "not a file that torch.save wrote"),
        (by_torch([1, 2]), "contains no state_dict"),
        (by_torch({"state_dict": [1]}), "contains no state_dict"),
        (by_torch({"state_dict": {"a": 1}, "hyper_parameters": 3}), "contains no state_dict"),
        (b"PK\x05\x06" + bytes(18), "no single data.pkl"),
    ],
)
def test_other_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_checkpoint(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.ckpt: no such file"):
        read_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="a folder, not a file"):
        read_checkpoint(tmp_path)
