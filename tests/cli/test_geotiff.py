"""GeoTIFFs from the command line: a run segments with the bands it was trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from tests.cli.conftest import QUICK, Run
from tests.decoding.rasters import bands_of, write_raster
from tests.helpers import striped_image, striped_labels, write_run_stub

from segdistill.model.segmenter import Segmenter


def spectrum(seed: int, height: int = 64, width: int = 96) -> NDArray[np.uint16]:
    """Return five bands of 16 bits that distinguish the stripes."""
    colours = bands_of(striped_image(seed, height, width)).astype(np.float64)
    mixing = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [5, 5, 0], [0, 2, 7]])
    values: NDArray[np.uint16] = np.einsum("bc,chw->bhw", mixing, colours).astype(np.uint16)
    return values


@pytest.fixture
def tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed in range(6):
        write_raster(tmp_path / "tiles" / f"tile_{seed}.tif", spectrum(seed))
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(striped_labels(seed)).save(tmp_path / "labels" / f"tile_{seed}.png")
    return tmp_path / "tiles"


def test_from_tiles_of_many_bands_to_the_mask_of_a_scene(tiles: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        *("fit", tiles, "--backbone", "tiny", "--classes", 3, "--method", "kmeans", "--out", "run")
    )
    assert status == 0, error
    assert "GeoTIFFs with 5 bands are projected onto 3 (stored with the run)" in error
    settings = Segmenter.load("run").settings
    assert settings.reading.projection is not None
    assert settings.scale == 1.0
    scene = write_raster(tiles.parent / "scene.tif", spectrum(0, 320, 192))
    status, out, error = segdistill("segment", "run", scene, "--overlay")
    assert status == 0, error
    assert "1 written to masks/scene" in out
    with rasterio.open("masks/scene/scene.tif") as mask, rasterio.open(scene) as source:
        assert (mask.crs, mask.transform, mask.shape) == (
            source.crs,
            source.transform,
            source.shape,
        )
        found = mask.read(1)
    expected = striped_labels(0, 320, 192)
    sky, ground = (np.bincount(found[expected == each], minlength=3) for each in (0, 2))
    assert sky.argmax() != ground.argmax()
    assert min(sky.max() / sky.sum(), ground.max() / ground.sum()) > 0.9
    # Three bands cannot replace the projection of five that the run uses.
    status, _, error = segdistill("segment", "run", scene, "--out", "other", "--bands", "1,2,3")
    assert status == 0, error
    # Evaluated with the bands of the training.
    status, out, error = segdistill("evaluate", "run", "--images", tiles, "--labels", "labels")
    assert status == 0, error
    assert float(out.split("Accuracy:")[1].split("%")[0]) > 80


def test_chosen_bands_are_kept_with_the_run(tiles: Path, segdistill: Run) -> None:
    fit = ("fit", tiles, "--backbone", "tiny", "--classes", 3, "--quiet", *QUICK, "--out", "run")
    status, _, error = segdistill(*fit, "--bands", "3,2,1")
    assert status == 0, error
    settings = json.loads(Path("run/segmenter.json").read_text())
    assert settings["reading"]["bands"] == [3, 2, 1]
    assert [len(each) for each in settings["reading"]["ranges"]] == [3]
    for bands in ((), ("--bands", "3,2,1")):
        status, _, error = segdistill("segment", "run", tiles, "--overwrite", "--quiet", *bands)
        assert status == 0, error
        masks = [path.read_bytes() for path in sorted(Path("masks/tiles").glob("*.tif"))]
        assert len(masks) == 6
    # Features stored for the first bands are not used for others.
    status, _, error = segdistill(*fit, "--bands", "1,4,5", "--overwrite")
    assert status == 0, error
    status, _, error = segdistill("segment", "run", tiles, "--out", "other", "--quiet")
    assert masks != [path.read_bytes() for path in sorted(Path("other").glob("*.tif"))]


def test_mistakes_are_reported_before_training(tiles: Path, segdistill: Run) -> None:
    fit = ("fit", "--backbone", "tiny", "--out", "run")
    status, _, error = segdistill(*fit, tiles, "--bands", "4,3")
    assert (status, "--bands 4,3: must be three band numbers" in error) == (2, True)
    status, _, error = segdistill(*fit, tiles, "--bands", "4,3,7")
    assert (status, "has 5 bands, so there is no band 7" in error) == (2, True)
    status, _, error = segdistill(
        "segment", write_run_stub(tiles.parent / "stub"), tiles, "--bands", "red"
    )
    assert (status, "--bands red: must be" in error) == (2, True)
    Image.fromarray(striped_image(0)).save(tiles.parent / "a.png")
    status, _, error = segdistill(*fit, tiles.parent / "a.png", "--bands", "4,3,2")
    assert (status, "none of 1 images is a GeoTIFF" in error) == (2, True)
    assert not Path("run/segmenter.json").exists()
