"""``segdistill depth`` as a user runs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run
from tests.depth.networks import picture, write_network

from segdistill.backbones.huggingface import NetworkFiles
from segdistill.depth.estimator import DepthEstimator
from segdistill.layout import DEPTH_FILE


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("model"), "depth-anything")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images in STEGO's layout, two of them for training."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["train/a.jpg", "train/b.png", "val/c.jpg"]):
        path = tmp_path / "world/imgs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40, 60, seed)).save(path)
    return tmp_path / "world"


def maps(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_depth_goes_to_the_folder_of_the_layout(
    pictures: Path, model: Path, segdistill: Run
) -> None:
    status, out, error = segdistill("depth", "world", "--model", model, "--preview", "--quiet")
    assert (status, error) == (0, "")
    assert out == (
        "Depth:   2 written to world/depth/train\n"
        "About:   world/depth/train/depth.json\n"
        "Preview: world/depth_preview/train\n"
    )
    assert maps(pictures / "depth") == ["train/a.png", "train/b.png"]
    with Image.open(pictures / "depth/train/a.png") as file:
        assert file.mode.startswith("I;16")
        assert np.array(file).shape == (40, 60)
    said = json.loads((pictures / "depth/train/depth.json").read_text())
    assert said["kind"] == "inverse"
    status, out, _ = segdistill("depth", "world/imgs/val", "--model", model, "--quiet")
    assert status == 0
    assert "1 written to world/depth/val" in out


def test_depth_of_a_plain_folder_goes_next_to_it(
    pictures: Path, model: Path, segdistill: Run
) -> None:
    photos = shutil.copytree(pictures / "imgs", pictures.parent / "photos")
    status, out, _ = segdistill("depth", "photos", "--model", model, "--quiet")
    assert status == 0
    assert "Depth:   3 written to photos_depth" in out
    assert maps(Path("photos_depth")) == ["train/a.png", "train/b.png", "val/c.png"]
    status, out, _ = segdistill("depth", photos, "--model", model, "--out", "deep", "--quiet")
    assert status == 0
    assert maps(Path("deep")) == maps(Path("photos_depth"))


def test_existing_maps_are_kept_without_loading_a_model(
    pictures: Path, model: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    segdistill("depth", "world", "--model", model, "--quiet")
    with monkeypatch.context() as patch:
        patch.setattr(NetworkFiles, "load", None)
        status, out, _ = segdistill("depth", "world", "--model", model, "--quiet")
        assert status == 0
        assert "0 written to world/depth/train, 2 already existed" in out
    status, _, error = segdistill("depth", "world", "--model", model, "--kind", "depth")
    assert status == 2
    assert "(inverse); add --overwrite to replace them" in error
    (pictures / "depth/train/a.png").unlink()
    _, out, _ = segdistill("depth", "world", "--model", model, "--quiet")
    assert "1 written to world/depth/train, 1 already existed" in out
    _, out, _ = segdistill("depth", "world", "--model", model, "--overwrite", "--quiet")
    assert "2 written to world/depth/train\n" in out


def test_interrupting_leaves_whole_maps_and_says_how_to_resume(
    pictures: Path, model: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = DepthEstimator.predict
    answers: list[object] = []

    def predict(self: DepthEstimator, prepared: object) -> object:
        if answers:
            raise KeyboardInterrupt
        answers.append(prepared)
        return real(self, prepared)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(DepthEstimator, "predict", predict)
        status, _, error = segdistill("depth", "world", "--model", model, "--batch", 1, "--quiet")
    assert status == 130
    assert "interrupted; run the command again to continue" in error
    assert len(maps(pictures / "depth")) == 1
    _, out, _ = segdistill("depth", "world", "--model", model, "--quiet")
    assert "1 written to world/depth/train, 1 already existed" in out


@pytest.mark.parametrize("out", ["world/imgs/train", "world/imgs/train/depth"])
def test_the_images_are_never_overwritten(
    pictures: Path, model: Path, segdistill: Run, out: str
) -> None:
    before = {path: path.read_bytes() for path in pictures.rglob("*.*")}
    status, _, error = segdistill("depth", "world", "--model", model, "--out", out, "--overwrite")
    assert status == 2
    assert "is inside the image folder" in error
    assert {path: path.read_bytes() for path in pictures.rglob("*.*")} == before


def test_given_depth_is_never_overwritten(pictures: Path, model: Path, segdistill: Run) -> None:
    given = pictures / "depth/train/b.png"
    given.parent.mkdir(parents=True)
    Image.fromarray(np.full((4, 6), 900, np.uint16)).save(given)
    before = given.read_bytes()
    status, _, error = segdistill("depth", "world", "--model", model, "--overwrite")
    assert status == 2
    assert "b.png: already exists and was not written by segdistill" in error
    assert given.read_bytes() == before
    assert not (given.parent / DEPTH_FILE).exists()


def test_damaged_images_are_named_and_skipped(pictures: Path, model: Path, segdistill: Run) -> None:
    (pictures / "imgs/train/b.png").write_bytes(b"broken")
    status, out, _ = segdistill("depth", "world", "--model", model, "--quiet")
    assert status == 0
    assert "Skipped: world/imgs/train/b.png" in out
    assert "1 written" in out
    status, _, error = segdistill(
        "depth", "world", "--model", model, "--out", "strict", "--strict", "--quiet"
    )
    assert status == 2
    assert "b.png" in error
    (pictures / "imgs/train/a.jpg").write_bytes(b"broken")
    status, _, error = segdistill("depth", "world", "--model", model, "--out", "no", "--quiet")
    assert status == 1
    assert "none of 2 images can be read" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["world", "--model", "embedded"], "no depth network is installed with segdistill"),
        (["world", "--model", "zoedept-nyu-kitti"], "did you mean zoedepth-nyu-kitti?"),
        (["missing"], "missing: no such file or folder"),
        (["world", "--kind", "height"], "--kind height: must be one of 'inverse', 'depth'"),
        (["world", "--batch", "0"], "--batch 0: must be at least 1"),
        (["world", "--previews"], "--previews: no such option; did you mean --preview?"),
    ],
)
@pytest.mark.usefixtures("pictures")
def test_mistakes_are_reported_in_a_line(
    segdistill: Run, arguments: list[str], message: str
) -> None:
    status, out, error = segdistill("depth", *arguments)
    assert (status, out) == (2, "")
    assert message in error
    assert "Traceback" not in error


def test_help_names_models_and_licences_without_importing_torch() -> None:
    code = (
        "import sys\n"
        "from segdistill.cli.main import main\n"
        "try:\n    main(['depth', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text = "".join(done.stdout.split())
    assert "depth-anything-v2-small(apache-2.0)" in text
    assert "depth-anything-v2-large(cc-by-nc-4.0)" in text
