"""GeoTIFFs: which bands are seen, and how their numbers become colours."""

import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from tests.decoding.rasters import bands_of, write_raster
from tests.helpers import striped_image

from segdistill.decoding import geotiff
from segdistill.decoding.decode import UnreadableImageError, read_image
from segdistill.decoding.geotiff import is_raster, open_raster
from segdistill.decoding.image_reading import NEUTRAL, ImageReading
from segdistill.decoding.scaling import scaled
from segdistill.errors import UserError
from segdistill.images.finding import find_images
from segdistill.images.folder import check_images
from segdistill.images.reading_statistics import reading_of_files


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    """Eight bands of 16 bits that follow three colours, and have gaps."""
    colours = bands_of(striped_image(0, 90, 130)).astype(np.float64)
    mixing = np.random.default_rng(0).uniform(0, 30, (8, 3))
    values = np.einsum("bc,chw->bhw", mixing, colours).astype(np.uint16) + 1
    values[:, :10, :20] = 0
    return write_raster(tmp_path / "eight" / "scene.tif", values, nodata=0)


def test_8_bit_colours_stay_as_they_are(tmp_path: Path) -> None:
    image = striped_image(0)
    path = write_raster(tmp_path / "a.tif", bands_of(image))
    assert is_raster(path)
    np.testing.assert_array_equal(read_image(path), image)
    grey = write_raster(tmp_path / "b.tif", bands_of(image)[:1])
    np.testing.assert_array_equal(read_image(grey), image[:, :, :1].repeat(3, axis=2))


def test_tiffs_without_a_place_are_read_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(striped_image(0)).save(path)
    assert not is_raster(path)
    np.testing.assert_array_equal(read_image(path), striped_image(0))
    # Unless a file beside them says where they lie, or they are of a kind that Pillow cannot read.
    path.with_suffix(".tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    assert is_raster(path)
    assert not is_raster(tmp_path / "none.tif")
    (tmp_path / "letter.tif").write_text("dear")
    assert not is_raster(tmp_path / "letter.tif")


def test_large_tiffs_are_read_by_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(striped_image(0)).save(path)
    monkeypatch.setattr(geotiff, "MOST_PIXELS_OF_PILLOW", 1000)
    assert is_raster(path)
    with open_raster(path) as raster:
        pixels, valid = raster.read(slice(5, 20), slice(30, 70))
    np.testing.assert_array_equal(pixels, striped_image(0)[5:20, 30:70])
    assert valid.all()
    monkeypatch.setattr(geotiff, "MOST_PIXELS_HELD", 2000)
    with pytest.raises(UnreadableImageError, match="split it into tiles"):
        read_image(path)


def test_bigtiff_is_known(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", bands_of(striped_image(0)), bigtiff="yes")
    assert path.read_bytes()[:3] == b"II+"
    assert is_raster(path)
    np.testing.assert_array_equal(read_image(path), striped_image(0))
    path.write_bytes(b"II+\0\x08\0\0\0" + b"\xff" * 20)  # its directory is far beyond the end
    assert not is_raster(path)


def test_windows_are_parts_of_the_whole(eight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = ImageReading((4, 3, 2))
    whole = read_image(eight, reading)
    monkeypatch.setattr(geotiff, "MOST_VALUES", 1000)
    with open_raster(eight, ImageReading((4, 3, 2), (ranges_of(eight),))) as raster:
        assert raster.has_gaps
        for rows, columns in [((0, 90), (0, 130)), ((7, 31), (5, 77)), ((89, 90), (129, 130))]:
            part = (slice(*rows), slice(*columns))
            pixels, valid = raster.read(*part)
            np.testing.assert_array_equal(pixels, whole[part])
            expected = np.ones((90, 130), np.bool_)
            expected[:10, :20] = False
            np.testing.assert_array_equal(valid, expected[part])


def ranges_of(path: Path) -> tuple[tuple[float, float], ...]:
    with rasterio.open(path) as dataset:
        values = dataset.read([4, 3, 2]).reshape(3, -1)
    known = values[:, values.any(axis=0)]
    low, high = np.percentile(known, (2, 98), axis=1)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def test_more_than_8_bits_are_scaled_by_percentiles_of_the_file(eight: Path) -> None:
    found = read_image(eight, ImageReading((4, 3, 2)))
    with rasterio.open(eight) as dataset:
        values = np.moveaxis(dataset.read([4, 3, 2]), 0, 2)
    limits = np.array(ranges_of(eight))
    expected = (values - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
    expected = np.round(expected.clip(0, 1) * 255)
    expected[:10, :20] = NEUTRAL
    assert np.abs(found - expected).max() <= 1
    # An outlier, as a glint of the sun, changes next to nothing.
    values[50, 60] = 65535
    other = write_raster(eight.parent / "glint.tif", np.moveaxis(values, 2, 0), nodata=0)
    assert (
        np.abs(read_image(other, ImageReading((1, 2, 3))).astype(int) - expected).max(
            where=(np.arange(90) != 50)[:, None, None], initial=0
        )
        <= 2
    )


@pytest.mark.parametrize("kind", ["nan", "nodata", "mask", "alpha"])
def test_what_has_no_value_is_neutral(tmp_path: Path, kind: str) -> None:
    values = bands_of(striped_image(0)).astype(np.float32) + 1
    hidden = np.zeros((64, 96), np.bool_)
    hidden[20:30, 40:50] = True
    path = tmp_path / "a.tif"
    if kind == "nan":
        values[:, hidden] = np.nan
        write_raster(path, values)
    elif kind == "nodata":
        values[:, hidden] = np.finfo(np.float32).min
        write_raster(path, values, nodata=float(np.finfo(np.float32).min))
    elif kind == "alpha":
        alpha = np.where(hidden, 0, 255).astype(np.float32)[None]
        rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        write_raster(path, np.concatenate([values, alpha]), colours=rgb)
    else:
        write_raster(path, values)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(~hidden)
    with open_raster(path) as raster:
        assert raster.has_gaps
        pixels, valid = raster.read_whole()
    np.testing.assert_array_equal(valid, ~hidden)
    assert (pixels[hidden] == NEUTRAL).all()
    assert pixels[~hidden].any(axis=1).mean() > 0.9


def test_a_pixel_with_one_band_like_nodata_has_a_value(tmp_path: Path) -> None:
    red = np.zeros((3, 16, 16), np.uint8)
    red[0, :8] = 200
    path = write_raster(tmp_path / "a.tif", red, nodata=0)
    with open_raster(path) as raster:
        pixels, valid = raster.read_whole()
    assert pixels[0, 0].tolist() == [200, 0, 0]
    assert valid[:8].all()
    assert not valid[8:].any()


def test_palettes_give_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_raster(path, np.array([[[0, 1], [2, 1]]], np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (9, 8, 7, 255), 1: (0, 0, 255, 255), 2: (1, 2, 3, 255)})
    assert read_image(path)[1].tolist() == [[1, 2, 3], [0, 0, 255]]


def test_bands_are_found_by_their_colours(tmp_path: Path) -> None:
    image = bands_of(striped_image(0))
    infrared = np.full((1, 64, 96), 90, np.uint8)
    names = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
    values = np.concatenate([image[::-1], infrared])
    path = write_raster(tmp_path / "a.tif", values, colours=names)
    np.testing.assert_array_equal(read_image(path), striped_image(0))
    assert read_image(path, ImageReading((4,)))[0, 0].tolist() == [90, 90, 90]


def test_bands_that_cannot_be_chosen_are_named(eight: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"scene\.tif: has 8 bands.*--bands 4,3,2"):
        read_image(eight)
    with pytest.raises(UnreadableImageError, match="no band 9"):
        read_image(eight, ImageReading((9, 1, 2)))
    for wrong in ("4,3", "a,b,c", "0,1,2", "1,,2", ""):
        with pytest.raises(UserError, match="three band numbers"):
            ImageReading.chosen(wrong)
    complex_values = np.ones((1, 4, 4), np.complex64)
    with pytest.raises(UnreadableImageError, match="complex"):
        read_image(write_raster(tmp_path / "c.tif", complex_values))
    damaged = tmp_path / "d.tif"
    damaged.write_bytes(eight.read_bytes()[:3000])
    with pytest.raises(UnreadableImageError, match=r"d\.tif: damaged"):
        read_image(damaged, ImageReading((1, 2, 3)))


def test_without_rasterio_the_mend_is_named(eight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    monkeypatch.setattr(geotiff, "find_spec", lambda _name: None)
    with pytest.raises(UnreadableImageError, match=r"pip install .*\[geo\]'"):
        read_image(eight)
    with (
        pytest.raises(UnreadableImageError, match=r"pip install .*\[geo\]'"),
        open_raster(eight),
    ):
        pass
    # What Pillow can read is read as ever.
    path = eight.parent / "colours.tif"
    Image.fromarray(striped_image(0)).save(path)
    np.testing.assert_array_equal(read_image(path), striped_image(0))


def test_training_files_of_many_bands_are_projected_alike(eight: Path) -> None:
    with rasterio.open(eight) as dataset:
        values = dataset.read()
    write_raster(eight.parent / "part.tif", values[:, 40:, 60:], nodata=0)
    files = find_images(eight.parent)
    reading = reading_of_files(files)
    assert reading is not None
    assert reading.projection is not None
    (ranges,) = reading.ranges
    assert len(ranges) == 8
    assert ImageReading.from_plain(reading.as_plain()) == reading
    whole = read_image(eight, reading)
    np.testing.assert_array_equal(read_image(eight.parent / "part.tif", reading), whole[40:, 60:])
    # What differs in the bands differs as much in colour.
    pairs = np.random.default_rng(0).integers(10, 90, (2, 500))
    bands = scaled(values, ranges)
    apart = np.linalg.norm(bands[:, pairs[0], pairs[0]] - bands[:, pairs[1], pairs[1]], axis=0)
    colours = whole.astype(np.float64)
    seen = np.linalg.norm(colours[pairs[0], pairs[0]] - colours[pairs[1], pairs[1]], axis=1)
    assert np.corrcoef(apart, seen)[0, 1] > 0.97
    assert whole.std() > 40
    checked, _ = check_images(files, reading=reading)
    assert [image.reading for image in checked] == [reading, reading]
    other, _ = check_images(files, reading=ImageReading((1, 2, 3)))
    assert {image.digest for image in checked}.isdisjoint(image.digest for image in other)


def test_training_files_of_more_than_8_bits_share_a_scale(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    dark = random.integers(100, 1000, (3, 40, 40)).astype(np.uint16)
    write_raster(tmp_path / "dark.tif", dark)
    write_raster(tmp_path / "light.tif", dark + 9000)
    reading = reading_of_files(find_images(tmp_path))
    assert reading is not None
    assert read_image(tmp_path / "dark.tif", reading).max() < 60
    assert read_image(tmp_path / "light.tif", reading).min() > 200
    assert read_image(tmp_path / "dark.tif").max() == 255
    chosen = reading_of_files(find_images(tmp_path), "3,2,1")
    assert chosen is not None
    assert chosen.bands == (3, 2, 1)
    assert chosen.ranges_for(3) is not None


def test_readings_without_numbers_of_their_own(tmp_path: Path, eight: Path) -> None:
    Image.fromarray(striped_image(0)).save(tmp_path / "a.png")
    pictures = find_images(tmp_path / "a.png")
    assert reading_of_files(pictures) == ImageReading()
    with pytest.raises(UserError, match="none of 1 images is a GeoTIFF"):
        reading_of_files(pictures, "4,3,2")
    plain = write_raster(tmp_path / "plain" / "a.tif", bands_of(striped_image(0)))
    assert reading_of_files(find_images(plain.parent)) == ImageReading()
    everything = reading_of_files(find_images(plain.parent), "all")
    assert everything is not None
    assert everything.projection is not None
    write_raster(eight.parent / "five.tif", np.ones((5, 20, 20), np.uint16))
    with pytest.raises(UserError, match=r"has 5 bands and .*has 8"):
        reading_of_files(find_images(eight.parent))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.tif").write_bytes(eight.read_bytes()[:2500])
    assert reading_of_files(find_images(tmp_path / "bad")) == ImageReading()
