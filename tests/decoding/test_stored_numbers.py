"""Numbers of more than 8 bits become grey and colours, in whatever file they are kept."""

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.corpus.images import (
    grey_of,
    grey_profile,
    scene,
    srgb_profile,
    swapped_profile,
    write_png_16,
)
from tests.corpus.tiff import Photometric, write_tiff
from tests.decoding.rasters import bands_of, write_raster

from segdistill.decoding.decode import read_image, read_picture
from segdistill.decoding.geotiff import is_raster, open_raster
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.notices import forget_notices
from segdistill.decoding.scaling import display_ranges
from segdistill.errors import UserError
from segdistill.images.finding import find_images
from segdistill.images.reading_statistics import reading_of_files


@pytest.fixture(autouse=True)
def _all_notices() -> None:
    forget_notices()


def narrow(grey: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return 51241 + grey.astype(np.uint16) * 4


def same_scale(folder: Path) -> ImageReading:
    return reading_of_files(find_images(folder))


def test_a_narrow_band_of_16_bits_has_full_contrast_and_one_scale(tmp_path: Path) -> None:
    for seed in range(3):
        # Each file is darker than the one before, as in a cooling room.
        values = narrow(grey_of(scene(seed)) // (seed + 1))
        values[0, seed] = 65535  # a hot pixel
        values[1, seed] = 0  # a dead one
        Image.fromarray(values).save(tmp_path / f"{seed}.png")
    reading = same_scale(tmp_path)
    seen = [read_image(tmp_path / f"{seed}.png", reading)[:, :, 0] for seed in range(3)]
    assert len(np.unique(seen[0])) > 60
    together = np.concatenate([each.ravel() for each in seen])
    assert np.percentile(together, 99) - np.percentile(together, 1) > 230
    # The same number is the same grey in all images.
    greys: dict[int, set[int]] = {}
    for seed in range(3):
        stored = np.asarray(Image.open(tmp_path / f"{seed}.png"))
        for number, grey in zip(stored.ravel().tolist(), seen[seed].ravel().tolist(), strict=True):
            greys.setdefault(number, set()).add(grey)
    assert all(len(each) == 1 for each in greys.values())
    ordered = [max(greys[number]) for number in sorted(greys)]
    assert ordered == sorted(ordered)
    assert np.percentile(seen[2], 99) < np.percentile(seen[0], 99)


@pytest.mark.parametrize("kind", ["grey.png", "colours.png", "raster.tif"])
def test_an_image_of_another_scale_than_the_run_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path, image = tmp_path / kind, scene()

    def written(values: NDArray[np.float64]) -> NDArray[np.uint8]:
        numbers = values.round().astype(np.uint16)
        if kind == "raster.tif":
            write_raster(path, numbers.mean(axis=2, dtype=np.float64).astype(np.uint16)[None])
        else:
            write_png_16(path, numbers if kind == "colours.png" else numbers[:, :, 1])
        forget_notices()
        caplog.clear()
        return read_image(path, reading)

    reading = ImageReading(ranges=(((0.0, 65535.0),), ((0.0, 65535.0),) * 3))
    plain = image.astype(np.float64)
    written(plain * 257)
    assert not caplog.text
    assert written(plain * 16).max() <= 16  # 12 bits
    assert f"{kind}: its values, " in caplog.text
    assert (
        "become almost black in the run's range, 0 to 65535; is their scale different"
        in caplog.text
    )
    assert written(65535 - plain).min() > 250
    assert "become almost white in the run's range" in caplog.text
    written(plain / 2 + 30000)
    assert "become almost uniformly grey in the run's range" in caplog.text
    # An image of one value is what it looks like.
    written(np.full(image.shape, 30000.0))
    assert not caplog.text


def test_signed_numbers_are_monotone_from_black_to_white(tmp_path: Path) -> None:
    grey = grey_of(scene())
    values = grey.astype(np.int16) * 12 - 1024
    write_raster(tmp_path / "raster.tif", values[None])
    write_tiff(tmp_path / "plain.tif", values)
    reading = same_scale(tmp_path)
    for name in ("raster.tif", "plain.tif"):
        seen = read_image(tmp_path / name, reading)[:, :, 0].astype(int)
        order = np.argsort(grey.ravel(), kind="stable")
        assert (np.diff(seen.ravel()[order]) >= 0).all()
        assert seen[grey <= np.percentile(grey, 0.4)].max() == 0
        assert seen.max() == 255


def test_a_window_can_be_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tiff(
        tmp_path / "ct.tif", np.array([[-2000, -1024, 0, 1024, 3000]], np.int16).repeat(4, 0)
    )
    files = find_images(tmp_path)
    reading = reading_of_files(files, None, "-1024,1024")
    assert read_image(tmp_path / "ct.tif", reading)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert not caplog.text
    Image.fromarray(scene()).save(tmp_path / "plain.png")
    reading_of_files(find_images(tmp_path / "plain.png"), None, "0,9")
    assert "--value-range 0,9: none of 1 images has more than 8 bits" in caplog.text
    for wrong in ("5", "9,1", "a,b", "1,inf", ""):
        with pytest.raises(UserError, match=r"--value-range.*black and white"):
            reading_of_files(files, None, wrong)
    run = ImageReading(ranges=reading.ranges)
    assert run.with_options(None, None) == run
    with pytest.raises(UserError, match=r"the run has its own range \(-1024,1024\)"):
        run.with_options(None, "0,1")
    assert ImageReading().with_options(None, "0,9").ranges_for(1) == ((0.0, 9.0),)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("form", ["png", "rgba.png", "tiff", "big endian", "planar", "unmarked"])
def test_deep_colours_are_those_of_the_8_bit_scene(tmp_path: Path, bits: int, form: str) -> None:
    image = scene()
    values = image.astype(np.uint16) * np.uint16(2 ** (bits - 8))
    path = tmp_path / ("a.png" if form.endswith("png") else "a.tif")
    if form == "png":
        write_png_16(path, values)
    elif form == "rgba.png":
        write_png_16(path, np.dstack([values, np.full(values.shape[:2], 65535, np.uint16)]))
    elif form == "unmarked":
        write_tiff(path, values, Photometric.BLACK_IS_ZERO)
    else:
        swapped, planar = form == "big endian", form == "planar"
        write_tiff(path, values, Photometric.RGB, big_endian=swapped, planar=planar)
    for reading in (None, same_scale(tmp_path)):
        assert np.abs(read_image(path, reading).astype(int) - image).max() <= 1


def test_a_colour_cast_does_not_change(tmp_path: Path) -> None:
    image = scene()
    dusk = (image * (1.0, 0.5, 0.25)).astype(np.uint8)
    write_png_16(tmp_path / "a.png", dusk.astype(np.uint16) * 16)
    assert np.abs(read_image(tmp_path / "a.png").astype(int) - dusk).max() <= 1


def test_grey_with_opacity_of_16_bits(tmp_path: Path) -> None:
    grey = grey_of(scene()).astype(np.uint16) * 257
    opacity = np.full_like(grey, 65535)
    opacity[:20] = 0
    picture = read_picture(write_png_16(tmp_path / "a.png", np.dstack([grey, opacity])))
    assert picture.valid is not None
    assert not picture.valid[:20].any()
    assert picture.valid[20:].all()
    seen = picture.pixels[20:, :, 0].astype(int)
    order = np.argsort(grey[20:].ravel(), kind="stable")
    assert (np.diff(seen.ravel()[order]) >= 0).all()
    assert np.ptp(seen) == 255


@pytest.mark.parametrize("bands", [1, 3])
def test_a_transparent_number_or_colour_of_16_bits(tmp_path: Path, bands: int) -> None:
    values = np.repeat(grey_of(scene())[:, :, None], bands, axis=2).astype(np.uint16) * 257
    colour = [515, 772, 3][:bands]
    values[:20, :30] = colour
    values[40:50] = colour[0]  # of three equal channels: not that colour
    picture = read_picture(write_png_16(tmp_path / "a.png", values, colour))
    expected = np.ones(values.shape[:2], np.bool_)
    expected[:20, :30] = False
    expected[40:50] = bands == 3
    assert picture.valid is not None
    np.testing.assert_array_equal(picture.valid, expected)
    plain = read_picture(write_png_16(tmp_path / "b.png", values + 1, colour))
    assert plain.valid is None


def test_8_bit_files_stay_as_they_are_among_deep_ones(tmp_path: Path) -> None:
    image = scene()
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(narrow(grey_of(image))).save(tmp_path / "b.png")
    reading = same_scale(tmp_path)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", reading), image)
    assert reading.ranges_for(1) is not None
    assert reading.ranges_for(3) is None


def test_grey_and_colours_have_ranges_of_their_own(tmp_path: Path) -> None:
    image = scene()
    write_png_16(tmp_path / "a.png", image.astype(np.uint16) * 16)
    Image.fromarray(narrow(grey_of(image))).save(tmp_path / "b.png")
    reading = same_scale(tmp_path)
    assert reading.ranges_for(3) == ((0.0, 4095.0),) * 3
    assert reading.ranges_for(1) != reading.ranges_for(3)
    assert ImageReading.from_plain(reading.as_plain()) == reading


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([7, 7, 7], np.uint16), (7.0, 8.0)),
        # Small things on nothing, with one hot pixel in a thousand.
        (np.r_[np.full(9500, 20000), np.arange(20100, 20599), [60000]], (20000.0, 20596.0)),
        # A masked thermal image, and one with overflow.
        (np.r_[np.zeros(3000), np.arange(51000, 52001)].astype(np.uint16), (51005.0, 51995.0)),
        (np.r_[np.zeros(300), np.arange(51000, 52001)].astype(np.uint16), (51005.0, 51995.0)),
        (np.r_[np.arange(4001), np.full(300, 65535)].astype(np.uint16), (0.0, 4095.0)),
        (np.linspace(0, 255, 1000).astype(np.uint16), (0.0, 255.0)),
        (np.linspace(0, 1, 1000), (0.0, 1.0)),
        (np.linspace(0, 255, 1000).round(), (0.0, 255.0)),
        (np.linspace(280, 310, 1001), (280.15, 309.85)),
        (np.linspace(-5, 5, 1001), (-4.95, 4.95)),
        (np.linspace(3, 2**31, 1001).astype(np.uint32), (0.005 * 2**31, 0.995 * 2**31)),
    ],
)
def test_ranges_of_awkward_values(
    values: NDArray[np.generic], expected: tuple[float, float]
) -> None:
    (found,) = display_ranges(values[:, None], common=True)
    assert found == pytest.approx(expected, rel=1e-3, abs=5)


def test_bright_things_on_black_keep_the_range_of_colours() -> None:
    lit = np.linspace(2500, 4000, 1000).astype(np.uint16)
    colours = np.r_[np.zeros(1000, np.uint16), lit][:, None].repeat(3, axis=1)
    assert display_ranges(colours, common=True) == ((0.0, 4095.0),) * 3


def test_old_runs_read_as_before(tmp_path: Path) -> None:
    Image.fromarray(narrow(grey_of(scene()))).save(tmp_path / "a.png")
    old = ImageReading.of_older_run(None)
    assert len(np.unique(read_image(tmp_path / "a.png", old))) <= 5
    kept = {"bands": [3, 2, 1], "ranges": [[0, 9], [0, 8], [0, 7]], "projection": None}
    values = np.array([[[9, 3]], [[4, 4]], [[7, 0]]], np.uint16)
    path = write_raster(tmp_path / "b.tif", values, nodata=0)
    found = read_image(path, ImageReading.of_older_run(kept))
    assert found[0, 0].tolist() == [round(255 * 7 / 9), round(255 * 4 / 8), 255]
    write_raster(path, np.zeros_like(values), nodata=0)
    assert not read_image(path, ImageReading.of_older_run(kept)).any()  # gaps were black
    colours = scene().astype(np.uint16) * 16
    write_png_16(tmp_path / "d.png", colours)
    assert np.abs(read_image(tmp_path / "d.png", old).astype(int) - colours // 256).max() <= 1
    see_through = Image.new("RGBA", (2, 2), (200, 0, 0, 0))
    see_through.save(tmp_path / "c.png")
    assert read_image(tmp_path / "c.png", old).min() == 255


def test_colour_profiles_are_converted(tmp_path: Path) -> None:
    red = Image.new("RGB", (64, 64), (200, 30, 30))
    for name, profile in (("swapped", swapped_profile()), ("plain", srgb_profile())):
        for suffix in (".png", ".jpg", ".tif"):
            red.save(tmp_path / f"{name}{suffix}", icc_profile=profile, quality=95)
            seen = read_image(tmp_path / f"{name}{suffix}")[32, 32].astype(int)
            expected = (30, 200, 30) if name == "swapped" else (200, 30, 30)
            assert np.abs(seen - expected).max() <= 25, (name, suffix)
    # sRGB is not converted, which would round its colours.
    np.testing.assert_array_equal(read_image(tmp_path / "plain.png"), np.asarray(red))


def test_profiles_of_grey_count_beside_opacity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(4, axis=0))
    opaque, hole = Image.new("L", ramp.size, 255), Image.new("L", ramp.size, 255)
    hole.paste(0, (0, 0, 9, 4))
    path, profile = tmp_path / "a.png", grey_profile(1.0)
    ramp.save(path, icc_profile=profile)
    expected = read_image(path)
    assert 185 <= expected[0, 128, 0] <= 191  # half of the light
    for alpha in (opaque, hole):
        Image.merge("LA", (ramp, alpha)).save(path, icc_profile=profile)
        np.testing.assert_array_equal(read_image(path)[:, 9:], expected[:, 9:])
    ramp.save(path, icc_profile=profile, transparency=5)
    np.testing.assert_array_equal(read_image(path)[:, 9:], expected[:, 9:])
    assert not caplog.text


@pytest.mark.parametrize(("bits", "placed"), [(8, True), (16, False), (16, True)])
def test_colour_profiles_of_rasters_are_converted(tmp_path: Path, bits: int, placed: bool) -> None:
    image = scene()
    expected_path = tmp_path / "a.png"
    Image.fromarray(image).save(expected_path, icc_profile=swapped_profile())
    expected = read_image(expected_path)
    assert np.abs(expected.astype(int) - image).max() > 20
    values = image if bits == 8 else image.astype(np.uint16) * 257
    tags = {34675: (7, swapped_profile())}
    path = write_tiff(tmp_path / "a.tif", values, Photometric.RGB, planar=True, tags=tags)
    if placed:
        path.with_suffix(".tfw").write_text("1\n0\n0\n-1\n100\n200\n")
    assert is_raster(path)
    reading = ImageReading(ranges=(((0.0, 65535.0),) * 3,))
    np.testing.assert_array_equal(read_image(path, reading), expected)
    with open_raster(path, reading) as raster:
        part, _ = raster.read(slice(10, 30), slice(20, 50))
    np.testing.assert_array_equal(part, expected[10:30, 20:50])
    # Bands that are chosen are not the colours that the profile describes.
    bands = ImageReading((1, 2, 3), reading.ranges)
    np.testing.assert_array_equal(read_image(path, bands), image)


def test_a_damaged_profile_is_ignored_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = scene()
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path, icc_profile=b"no profile at all")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            np.testing.assert_array_equal(read_image(path), image)
    assert len(caplog.records) == 1
    assert "its colour profile is ignored" in caplog.text


def test_bands_of_a_place_that_are_no_colours_are_balanced(tmp_path: Path) -> None:
    values = bands_of(scene()).astype(np.uint16) * np.array([[[40]], [[10]], [[1]]], np.uint16)
    write_raster(tmp_path / "a.tif", values)
    seen = read_image(tmp_path / "a.tif", same_scale(tmp_path))
    assert all(np.ptp(seen[:, :, band]) > 200 for band in range(3))
