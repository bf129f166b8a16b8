"""GeoTIFFs: masks made window by window, in their place on the Earth."""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image
from rasterio.control import GroundControlPoint
from tests.corpus.tiff import SHORT, Photometric, write_tiff
from tests.decoding.rasters import CRS, TRANSFORM, bands_of, write_raster
from tests.helpers import striped_image
from tests.model.test_segmenter import tiny_segmenter

from segdistill import segment
from segdistill.backbones import load_backbone
from segdistill.decoding.geotiff import open_raster
from segdistill.decoding.rasterio_files import quietly
from segdistill.errors import UserError
from segdistill.features.preparation import fit_preparation
from segdistill.images.palette import VOID
from segdistill.images.resize import resize_image
from segdistill.inference import raster as module
from segdistill.inference.options import MaskOptions
from segdistill.inference.raster import backbone_input_size, resized_window, segment_raster
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.head import SegmentationHead
from segdistill.model.segmenter import Segmenter
from segdistill.refinement import upsampling as upsampling_module
from segdistill.refinement.upsampling import Upsampling

MEGABYTE = 2**20


@pytest.fixture
def segmenter() -> Segmenter:
    return tiny_segmenter(classes=5)


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even small images up."""
    monkeypatch.setattr(module, "WINDOW_BYTES", 40_000)
    monkeypatch.setattr(upsampling_module, "BAND_BYTES", 1)


def scene(height: int = 700, width: int = 530) -> NDArray[np.uint8]:
    """Return a picture with things of many sizes in it."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 40, width // 40, 3), np.uint8)
    smooth = resize_image(coarse, (height, width)).astype(np.float64)
    return (smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def read_mask(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        mask: NDArray[np.uint8] = dataset.read(1)
        return mask


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("resolution", [100, 400, 530, 900])
@pytest.mark.parametrize("upsampling", ["guided", "bilinear"])
def test_masks_equal_those_made_in_one_piece(
    tmp_path: Path, segmenter: Segmenter, resolution: int, upsampling: Upsampling
) -> None:
    image = scene()
    path = write_raster(tmp_path / "a.tif", bands_of(image))
    out = tmp_path / "mask.tif"
    options = MaskOptions(resolution=resolution, upsampling=upsampling, mirror=resolution == 400)
    counts = segment_raster(segmenter, path, out, options)
    expected = segmenter.segment(
        image,
        resolution=resolution,
        upsampling=upsampling,
        mirror=resolution == 400,
        min_region=0,
    )
    found = read_mask(out)
    # Rounding decides where a resized pixel lies between two levels, or two classes tie.
    assert (found != expected).mean() < 1e-3
    np.testing.assert_array_equal(counts, np.bincount(found.ravel(), minlength=5))


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("size", [(704, 544), (96, 64), (1408, 1088), (16, 16)])
def test_parts_equal_those_of_the_resized_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    image = scene()
    path = write_raster(tmp_path / "a.tif", bands_of(image))
    whole = resize_image(image, size)
    with open_raster(path) as raster:
        for top in range(0, size[0], 70):
            rows, columns = slice(top, min(top + 70, size[0])), slice(size[1] // 3, size[1])
            part = resized_window(raster, size, rows, columns).astype(int)
            # Pillow goes through rows or columns first, as it thinks best, and rounds between.
            assert np.abs(part - whole[rows, columns]).max() <= 2
            assert np.abs(part - whole[rows, columns]).mean() < 0.3


@pytest.mark.usefixtures("_small_parts")
def test_masks_lie_where_their_images_do(tmp_path: Path, segmenter: Segmenter) -> None:
    image = bands_of(scene())
    image[:, 100:230, 50:400] = 0
    path = write_raster(tmp_path / "scenes" / "a.tif", image, nodata=0)
    out = tmp_path / "masks"
    done = segment(segmenter, path, out, options=MaskOptions(overlay=True))
    assert (done.written, done.skipped) == (1, [])
    with rasterio.open(out / "a.tif") as mask:
        assert (mask.count, mask.dtypes, mask.shape) == (1, ("uint8",), (700, 530))
        assert (mask.crs, mask.transform, mask.nodata) == (CRS, TRANSFORM, VOID)
        assert (mask.compression.name, mask.block_shapes) == ("deflate", [(512, 512)])
        colours = mask.colormap(1)
        assert colours[1] == (*segmenter.classes[1].colour, 255)
        values = mask.read(1)
    hidden = (image == 0).all(axis=0)
    np.testing.assert_array_equal(values == VOID, hidden)
    with rasterio.open(out / "a.overlay.tif") as overlay:
        assert (overlay.crs, overlay.transform, overlay.count) == (CRS, TRANSFORM, 3)
        assert overlay.read()[:, hidden].mean() < 10
    classes = json.loads((out / "classes.json").read_text())
    assert sum(each["pixels"] for each in classes) == (~hidden).sum()
    # Pillow reads it as well, with its colours.
    with Image.open(out / "a.tif") as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.array(mask), values)


def test_ground_control_points_are_kept(tmp_path: Path, segmenter: Segmenter) -> None:
    points = [
        GroundControlPoint(row=row, col=col, x=13 + col / 1e4, y=52 - row / 1e4)
        for row, col in [(0, 0), (0, 96), (64, 0), (64, 96)]
    ]
    values = bands_of(striped_image(0))
    path = write_raster(tmp_path / "a.tif", values, gcps=points, crs="EPSG:4326")
    segment_raster(segmenter, path, tmp_path / "mask.tif", MaskOptions())
    with rasterio.open(tmp_path / "mask.tif") as mask:
        found, crs = mask.gcps
        assert crs == "EPSG:4326"
        assert [(p.row, p.col, p.x, p.y) for p in found] == [
            (p.row, p.col, p.x, p.y) for p in points
        ]


def test_scenes_are_seen_at_the_scale_of_training(tmp_path: Path, segmenter: Segmenter) -> None:
    assert backbone_input_size(segmenter, (1000, 2000), None) == (64, 128)
    segmenter.settings = replace(segmenter.settings, scale=0.5)
    assert backbone_input_size(segmenter, (1000, 2000), None) == (496, 992)
    assert backbone_input_size(segmenter, (3, 5000), None) == (16, 2496)
    assert backbone_input_size(segmenter, (1000, 2000), 64) == (64, 128)


def test_large_scenes_seen_small_are_told(
    tmp_path: Path, segmenter: Segmenter, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_raster(tmp_path / "a.tif", bands_of(scene()))
    segment_raster(segmenter, path, tmp_path / "mask.tif", MaskOptions())
    assert "530 x 700 pixels, reduced to 64 x 80; set --resolution N" in caplog.text
    caplog.clear()
    segment_raster(segmenter, path, tmp_path / "mask.tif", MaskOptions(resolution=64))
    segmenter.settings = replace(segmenter.settings, scale=0.1)
    segment_raster(segmenter, path, tmp_path / "mask.tif", MaskOptions())
    assert not caplog.text


def test_nothing_is_replaced_unasked_and_what_is_there_is_kept(
    tmp_path: Path, segmenter: Segmenter
) -> None:
    folder, out = tmp_path / "tiles", tmp_path / "masks"
    for name in ("a.tif", "more/b.tif"):
        write_raster(folder / name, bands_of(striped_image(len(name))))
    Image.fromarray(striped_image(2)).save(folder / "c.tif")
    Image.fromarray(striped_image(3)).save(folder / "a.jpg")
    segment(segmenter, folder, out)
    (out / "more" / "b.tif").unlink()
    with pytest.raises(UserError, match="3 of 4 masks already exist"):
        segment(segmenter, folder, out)
    with pytest.raises(UserError, match="would be mixed with the images"):
        segment(segmenter, folder, folder, overwrite=True)
    done = segment(segmenter, folder, out, resume=True)
    assert (done.written, done.kept) == (1, 3)
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    # What has no place on the Earth gives a PNG, as ever.
    assert names == ["a.jpg.png", "a.tif.tif", "c.png", "classes.json", "images.csv", "more/b.tif"]
    classes = json.loads((out / "classes.json").read_text())
    assert sum(each["pixels"] for each in classes) == 4 * 64 * 96


def test_bands_that_do_not_fit_are_skipped_and_named(tmp_path: Path, segmenter: Segmenter) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((8, 32, 32), np.uint16))
    done = segment(segmenter, path, tmp_path / "masks")
    assert "--bands 4,3,2" in done.skipped[0].reason
    assert not (tmp_path / "masks").exists()
    options = MaskOptions(bands="8,1,2").validated()
    assert segment(segmenter, path, tmp_path / "masks", options=options).written == 1
    with pytest.raises(UserError, match="--bands 1,2"):
        MaskOptions(bands="1,2").validated()


def test_scores_and_the_crf_take_it_in_one_piece(tmp_path: Path, segmenter: Segmenter) -> None:
    path = write_raster(tmp_path / "a.tif", bands_of(striped_image(0)))
    out = tmp_path / "masks"
    segment(segmenter, path, out, options=MaskOptions(scores=True))
    assert np.load(out / "a.scores.npy").shape == (64, 96, 5)
    np.testing.assert_array_equal(read_mask(out / "a.tif"), segmenter.segment(striped_image(0)))
    segment(segmenter, path, tmp_path / "crf", options=MaskOptions(crf=True))
    assert read_mask(tmp_path / "crf/a.tif").shape == (64, 96)


def test_damage_midway_leaves_no_mask(tmp_path: Path, segmenter: Segmenter) -> None:
    path = write_raster(tmp_path / "a.tif", bands_of(scene()), compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = segment(segmenter, path, tmp_path / "masks")
    assert "a.tif: damaged" in done.skipped[0].reason
    assert not list((tmp_path / "masks").glob("*"))


LARGE = """
import sys
from pathlib import Path
from segdistill.inference.options import MaskOptions
from segdistill.inference.raster import segment_raster
from tests.inference.test_raster import large_segmenter

source, target, side = sys.argv[1:]
segment_raster(large_segmenter(), Path(source), Path(target), MaskOptions(resolution=int(side)))
"""


def large_segmenter() -> Segmenter:
    """A model of the size of a real one."""
    torch.manual_seed(0)
    backbone = load_backbone("efficientnet-lite0")
    channels = sum(backbone.channel_groups)
    preparation = fit_preparation(
        torch.rand(1000, channels), backbone.channel_groups, standardise=True, components=None
    )
    settings = SegmenterSettings(480, numbered_classes(27))
    head = SegmentationHead(channels, 70)
    return Segmenter(backbone, preparation, head, torch.randn(27, 70), settings)


@pytest.mark.slow
def test_a_hundred_million_pixels_take_less_than_two_gigabytes(tmp_path: Path) -> None:
    side = 10_000
    path = tmp_path / "large.tif"
    random = np.random.default_rng(0)
    profile = {"count": 3, "height": side, "width": side, "dtype": "uint8", "tiled": True}
    place = {"crs": CRS, "transform": TRANSFORM, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", **profile, **place) as dataset:
        coarse = random.integers(0, 256, (40, 40, 3), np.uint8)
        for top in range(0, side, 1000):
            rows = np.asarray(
                Image.fromarray(coarse).resize(
                    (side, 1000),
                    Image.Resampling.BICUBIC,
                    box=(0, top * 40 / side, 40, (top + 1000) * 40 / side),
                )
            )
            noisy = rows + random.integers(0, 8, (1000, side, 1), np.uint8)
            dataset.write(noisy.transpose(2, 0, 1), window=((top, top + 1000), (0, side)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    arguments = [sys.executable, "-c", LARGE, str(path), str(tmp_path / "mask.tif"), str(side)]
    subprocess.run(arguments, check=True, cwd=Path(__file__).parents[2])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak >= before * 1024
    assert peak < 2000 * MEGABYTE, f"{peak / MEGABYTE:.0f} MB"
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.shape == (side, side)
        assert mask.read(1, window=((0, 500), (0, side))).max() < 27


@pytest.mark.usefixtures("_small_parts")
def test_masks_of_turned_files_are_upright(tmp_path: Path, segmenter: Segmenter) -> None:
    upright = scene().astype(np.uint16) * 257
    turned = np.rot90(upright)  # what orientation 6 turns back
    ignored = np.zeros(upright.shape[:2], np.uint8)
    ignored[:200, :100] = 255
    Image.fromarray(ignored).save(tmp_path / "ignored.png")
    masks = []
    for name, values, orientation in (("a", upright, 1), ("b", turned, 6)):
        tags = {274: (SHORT, [orientation])}
        path = write_tiff(tmp_path / f"{name}.tif", values, Photometric.RGB, planar=True, tags=tags)
        mask = tmp_path / f"{name}.mask.tif"
        segment_raster(segmenter, path, mask, MaskOptions(), ignore=tmp_path / "ignored.png")
        with quietly():
            masks.append(read_mask(mask))
    assert (masks[0][:200, :100] == VOID).all()
    assert len(np.unique(masks[0])) > 2
    np.testing.assert_array_equal(masks[0], masks[1])
