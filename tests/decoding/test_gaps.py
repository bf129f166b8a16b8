"""Pixels that mean nothing: transparent, of a constant border, or ignored by a mask."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.corpus.images import (
    encoded,
    fisheye,
    grey_of,
    letterboxed,
    png,
    scene,
    write_png_16,
)
from tests.corpus.tiff import Photometric, write_tiff
from tests.decoding.rasters import bands_of, write_raster
from tests.helpers import striped_image

from segdistill.decoding.borders import border_of
from segdistill.decoding.decode import read_picture
from segdistill.decoding.geotiff import open_raster
from segdistill.decoding.ignore_masks import read_ignored
from segdistill.decoding.image_reading import NEUTRAL, ImageReading
from segdistill.errors import UnreadableImageError
from segdistill.features.views import views_of
from segdistill.images.finding import ImageFile, find_images
from segdistill.images.folder import check_images
from segdistill.images.reading_statistics import reading_of_files
from segdistill.images.resize import Viewing

SHAPE = (96, 128)


def hole() -> NDArray[np.bool_]:
    return np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) < 60


@pytest.mark.parametrize("kind", ["rgba.png", "la.png", "palette.png", "palette.gif", "a.webp"])
def test_transparent_pixels_have_no_value(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    alpha = np.where(hole(), 0, 255).astype(np.uint8)
    image = Image.fromarray(np.dstack([scene(), alpha]))
    if kind == "la.png":
        image = image.convert("LA")
    if kind.startswith("palette"):
        indices = np.where(hole(), 3, 1 + (scene()[:, :, 0] > 99)).astype(np.uint8)
        image = Image.fromarray(indices)
        image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
        image.save(path, transparency=3)
    else:
        image.save(path, lossless=True)
    picture = read_picture(path)
    assert picture.valid is not None
    np.testing.assert_array_equal(picture.valid, ~hole())
    assert (picture.pixels[hole()] == NEUTRAL).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_transparent_number_of_few_bits_has_no_value(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    row = int(f"{top:0{bits}b}{0:0{bits}b}" * 4, 2).to_bytes(bits)
    for declared in (0, top):
        path = tmp_path / f"{declared}.png"
        path.write_bytes(png(bits, 0, [row], 8, (b"tRNS", declared.to_bytes(2))))
        picture = read_picture(path)
        assert picture.valid is not None
        assert picture.valid.tolist() == [[declared == 0, declared > 0] * 4]


def test_half_transparent_pixels_are_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (9, 9), (0, 0, 0, 128)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.valid is None
    assert picture.pixels[4, 4].tolist() == [127, 127, 127]


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_bars_and_frames_have_no_value(tmp_path: Path, colour: int, suffix: str) -> None:
    image = scene() // 2 + 60
    bars = letterboxed(image, 16, colour)
    sides = np.ascontiguousarray(letterboxed(image.swapaxes(0, 1), 24, colour).swapaxes(0, 1))
    frame = np.full((136, 168, 3), colour, np.uint8)
    frame[20:-20, 20:-20] = image
    framed = 1 - image.shape[0] * image.shape[1] / (136 * 168)
    forms = {"bars": (bars, 1 / 3), "sides": (sides, 3 / 8), "frame": (frame, framed)}
    for name, (pixels, share) in forms.items():
        path = tmp_path / f"{name}{suffix}"
        Image.fromarray(pixels).save(path, quality=92)
        picture = read_picture(path)
        assert picture.valid is not None, name
        assert 1 - picture.valid.mean() == pytest.approx(share, abs=0.03), name


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_padding_to_a_square_has_no_value(tmp_path: Path, suffix: str) -> None:
    square = np.zeros((128, 128, 3), np.uint8)
    square[:96] = scene() // 2 + 60
    turned = np.ascontiguousarray(square.swapaxes(0, 1))
    tv_black = np.where(square == 0, np.uint8(16), square)
    for name, image, axis in (("low", square, 1), ("right", turned, 0), ("tv", tv_black, 1)):
        path = tmp_path / f"{name}{suffix}"
        Image.fromarray(image).save(path, quality=92)
        picture = read_picture(path)
        assert picture.valid is not None, name
        lines = np.atleast_1d(picture.valid.all(axis=axis))
        assert lines[:96].all(), name
        assert 1 - picture.valid.mean() == pytest.approx(1 / 4, abs=0.07), name


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_corners_of_a_fisheye_have_no_value(tmp_path: Path, suffix: str) -> None:
    large = np.asarray(Image.fromarray(scene()).resize((1200, 900)))
    image, inside = fisheye(large)
    Image.fromarray(image).save(tmp_path / f"a{suffix}", quality=92)
    picture = read_picture(tmp_path / f"a{suffix}")
    assert picture.valid is not None
    assert (picture.valid == inside).mean() > 0.98


def test_borders_of_deep_images_are_out_of_the_scale(tmp_path: Path) -> None:
    values = grey_of(scene()).astype(np.uint16) * 4 + 20000
    values[:16] = values[-16:] = 0
    Image.fromarray(values).save(tmp_path / "a.png")
    reading = reading_of_files(find_images(tmp_path))
    ((low, _),) = reading.ranges_for(1) or ((0, 0),)
    assert low > 20000
    picture = read_picture(tmp_path / "a.png", reading)
    assert picture.valid is not None
    assert not picture.valid[:16].any()
    assert picture.valid[16:-16].all()


def night_sky() -> NDArray[np.uint8]:
    """A hill under a black sky that touches three edges, and black lower corners."""
    image = scene()
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    skyline = 40 + 12 * np.sin(columns / 9) + 8 * np.sin(columns / 4)
    image[rows < skyline] = 0
    image[-12:, :9] = image[-12:, -9:] = 0
    return image


def studio() -> NDArray[np.uint8]:
    """A thing with an arm, in front of white."""
    image = np.full((*SHAPE, 3), 255, np.uint8)
    image[20:80, 50:80] = scene()[20:80, 50:80]
    image[30:40, 20:110] = scene()[30:40, 20:110]
    return image


def ball() -> NDArray[np.uint8]:
    """A round thing in front of white."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    inside = (rows - 50) ** 2 + (columns - 60) ** 2 < 30**2
    return np.where(inside[:, :, None], scene(), np.uint8(255))


def blown_out() -> NDArray[np.uint8]:
    """A sea under a white sky."""
    image = scene()
    image[:40] = 255
    return image


@pytest.mark.parametrize(
    "image", [scene(), night_sky(), studio(), ball(), blown_out(), np.zeros((*SHAPE, 3), np.uint8)]
)
def test_what_is_no_border_is_left_alone(image: NDArray[np.uint8]) -> None:
    assert border_of(image) is None


def test_a_dark_frame_of_a_set_with_borders_has_one_too() -> None:
    dark = letterboxed(scene(), 16)
    dark[16:50, 30:90] = 0  # something dark reaches up to the bar
    alone = border_of(dark)
    assert alone is None or not alone[:16].any()
    found = border_of(dark, seen_share=1 / 3)
    assert found is not None
    assert found[:15].all()
    assert not found[17:-17].any()


def test_a_raster_with_a_collar(tmp_path: Path) -> None:
    image = np.zeros((700, 900, 3), np.uint8)
    image[60:-60, 60:-60] = striped_image(0, 580, 780)
    path = write_raster(tmp_path / "a.tif", bands_of(image))
    with open_raster(path) as raster:
        assert raster.has_gaps
        _, valid = raster.read_whole()
        _, part = raster.read(slice(50, 90), slice(300, 500))
    expected = np.zeros((700, 900), np.bool_)
    expected[60:-60, 60:-60] = True
    assert (valid == expected).mean() > 0.999
    np.testing.assert_array_equal(part, valid[50:90, 300:500])


def test_ignore_masks(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    marked = np.zeros(SHAPE, np.uint8)
    marked[:, :32] = 7
    Image.fromarray(marked).resize((64, 48), 0).save(tmp_path / "mask.png")
    file = ImageFile(tmp_path / "a.png", Path("a.png"), tmp_path / "mask.png")
    picture = read_picture(file.path, None, file.ignore)
    assert picture.valid is not None
    np.testing.assert_array_equal(picture.valid, marked == 0)
    plain, masked = (check_images([each])[0][0] for each in (ImageFile(file.path, file.name), file))
    assert plain.digest != masked.digest
    assert plain.coverage is None
    (view,) = views_of([masked], Viewing(96, 32))
    cells = view.valid_cells((3, 4))
    assert cells is not None
    assert cells.tolist() == [[False, True, True, True]] * 3
    (wrong := Image.new("L", (50, 10))).save(tmp_path / "wrong.png")
    assert wrong.size == (50, 10)
    with pytest.raises(UnreadableImageError, match=r"wrong\.png: 50 x 10 pixels, but .*a\.png has"):
        read_picture(file.path, None, tmp_path / "wrong.png")
    (tmp_path / "bad.png").write_bytes(b"no mask")
    _, skipped = check_images([file, ImageFile(file.path, file.name, tmp_path / "bad.png")])
    assert "cannot be read as an ignore mask" in skipped[0].reason


MARKED = np.zeros((48, 64), np.bool_)
MARKED[:, :20] = True


def colours(ground: tuple[int, ...], mark: tuple[int, ...]) -> Image.Image:
    """Return an image of one colour where it is marked, and another elsewhere."""
    return Image.fromarray(np.where(MARKED[:, :, None], mark, ground).astype(np.uint8))


def white_ground_palette() -> Image.Image:
    """Return a palette image whose index 0 is white, marked, and index 1 black."""
    image = Image.fromarray((~MARKED).astype(np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    return image


def numbers(mark: float, kind: str) -> Image.Image:
    return Image.fromarray(np.where(MARKED, mark, 0).astype(kind))


MASKS = {
    "palette.png": white_ground_palette(),
    "palette.gif": white_ground_palette(),
    "bits.png": Image.fromarray(MARKED),
    "one.png": numbers(1, "u1"),
    "one16.png": numbers(1, "u2"),
    "half.tif": numbers(0.5, "f4"),
    "minus.tif": numbers(-1, "f4"),
    "blue.png": colours((0, 0, 0), (0, 0, 1)),
    "red.jpg": colours((0, 0, 0), (255, 0, 0)),
    "lossy.webp": colours((0, 0, 0), (255, 255, 255)),
    "lossy.avif": colours((0, 0, 0), (255, 255, 255)),
    "red_on_transparent_white.png": colours((255, 255, 255, 0), (255, 0, 0, 255)),
    "white_on_black.png": colours((0, 0, 0, 255), (255, 255, 255, 255)),
    "black_on_transparent.png": colours((255, 255, 255, 0), (0, 0, 0, 255)),
}


@pytest.mark.parametrize("name", MASKS)
def test_ignore_masks_mark_what_is_not_black(tmp_path: Path, name: str) -> None:
    MASKS[name].save(tmp_path / name)
    np.testing.assert_array_equal(read_ignored(tmp_path / name, *MARKED.shape, "a.png"), MARKED)


def test_ignore_masks_of_deep_files(tmp_path: Path) -> None:
    marks = MARKED.astype(np.uint16)
    grey_alpha = np.dstack([marks * 9, np.full_like(marks, 65535)])
    paths = [
        write_png_16(tmp_path / "colours.png", np.dstack([marks] * 3)),
        write_png_16(tmp_path / "alpha.png", grey_alpha),
        write_tiff(tmp_path / "doubles.tif", np.where(MARKED, 0.001, 0.0)),
        write_tiff(tmp_path / "planar.tif", np.dstack([marks] * 3), Photometric.RGB, planar=True),
    ]
    for path in paths:
        np.testing.assert_array_equal(read_ignored(path, *MARKED.shape, "a.png"), MARKED)


def test_an_image_without_any_value_is_skipped(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    Image.new("RGBA", (40, 40)).save(tmp_path / "b.png")
    checked, skipped = check_images(find_images(tmp_path))
    assert [each.file.name.name for each in checked] == ["a.png"]
    assert "no pixel has a value" in skipped[0].reason


def test_keys_tell_what_changes_the_pixels(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "plain.png")
    Image.fromarray(letterboxed(scene())).save(tmp_path / "bars.png")
    Image.fromarray(grey_of(scene()).astype(np.uint16) * 9).save(tmp_path / "deep.png")
    files = find_images(tmp_path)
    one, other = (ImageReading(ranges=(((0.0, high),),)) for high in (999.0, 2000.0))
    digests = [[image.digest for image in check_images(files, reading=r)[0]] for r in (one, other)]
    same = {
        file.name.name: first == second for file, first, second in zip(files, *digests, strict=True)
    }
    assert same["plain.png"]
    assert not same["deep.png"]


def test_a_photo_above_pillows_size_gives_no_raw_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Python's warnings are errors in these tests.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SHAPE[0] * SHAPE[1] - 1)
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(scene()), "JPEG"))
    with caplog.at_level(logging.WARNING):
        assert read_picture(tmp_path / "a.jpg").pixels.shape == (*SHAPE, 3)
    assert not caplog.records
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SHAPE[0] * SHAPE[1] // 2 - 1)
    with pytest.raises(UnreadableImageError, match="split it into tiles"):
        read_picture(tmp_path / "a.jpg")


def test_coverage_of_crops_is_that_of_their_part(tmp_path: Path) -> None:
    image = np.dstack([scene(), np.full(SHAPE, 255, np.uint8)])
    image[:48, :64, 3] = 0
    Image.fromarray(image).save(tmp_path / "a.png")
    (checked,), _ = check_images(find_images(tmp_path))
    views = views_of([checked], Viewing(96, 32), crops="five")
    shares = []
    for view in views:
        cells = view.valid_cells((view.size[0] // 32, view.size[1] // 32))
        assert cells is not None
        shares.append(float(torch.from_numpy(cells.copy()).float().mean()))
    assert shares[:4] == [0, 1, 1, 1]
    assert 0.5 < shares[4] < 0.9
