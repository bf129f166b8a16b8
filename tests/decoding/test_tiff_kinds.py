"""TIFFs of every photometric interpretation and depth look as a viewer shows them."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from tests.corpus.images import grey_of, impossible_tiff, scene
from tests.corpus.tiff import SHORT, Photometric, colour_map, no_data_tag, write_tiff

from segdistill.decoding import geotiff
from segdistill.decoding.decode import decode_stored, read_image, read_picture
from segdistill.decoding.geotiff import is_raster, open_raster
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.notices import forget_notices
from segdistill.decoding.rasterio_files import quietly
from segdistill.decoding.tiff_header import read_tiff_header
from segdistill.errors import UnreadableImageError
from segdistill.images.depth_reading import read_depth_values
from segdistill.images.finding import find_images
from segdistill.images.folder import check_images
from segdistill.images.reading_statistics import reading_of_files

DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32)


@pytest.fixture(autouse=True)
def _all_notices() -> None:
    forget_notices()


def with_bits(image: NDArray[np.uint8], bits: int) -> NDArray[np.generic]:
    """Return an 8-bit image as numbers of so many bits, from 0 to the largest."""
    kind = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    numbers: NDArray[np.generic] = np.round(image / 255 * (2**bits - 1)).astype(kind)
    return numbers


def of_depth(image: NDArray[np.uint8], bits: int) -> NDArray[np.generic]:
    """Return an 8-bit image as it is, or with the same byte twice as 16 bits."""
    return image if bits == 8 else image.astype(np.uint16) * 257


def spread(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return values from 0 to 1, whatever their scale."""
    numbers = values.astype(np.float64)
    low, high = np.percentile(numbers, (0.5, 99.5))
    shares: NDArray[np.float64] = ((numbers - low) / (high - low)).clip(0, 1)
    return shares


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_grey_of_any_depth(tmp_path: Path, bits: int, white_is_zero: bool) -> None:
    grey = grey_of(scene())
    numbers = with_bits(grey, bits)
    stored = (2**bits - 1 - numbers.astype(np.int64)) if white_is_zero else numbers
    kind = Photometric.WHITE_IS_ZERO if white_is_zero else Photometric.BLACK_IS_ZERO
    path = write_tiff(tmp_path / "a.tif", stored.astype(numbers.dtype), kind, bits=bits)
    seen = read_image(path)
    assert seen.shape == (*grey.shape, 3)
    if bits <= 8:
        expected = np.round(numbers.astype(np.float64) / (2**bits - 1) * 255)
        assert np.abs(seen[:, :, 0] - expected).max() <= 1
    else:
        assert np.abs(spread(seen[:, :, 0]) - spread(grey)).max() <= 0.02


@pytest.mark.parametrize("bits", [4, 8, 10, 12, 16, 32])
@pytest.mark.parametrize("planar", [False, True])
def test_colours_of_any_depth(tmp_path: Path, bits: int, planar: bool) -> None:
    image = scene()
    path = write_tiff(
        tmp_path / "a.tif", with_bits(image, bits), Photometric.RGB, bits=bits, planar=planar
    )
    if bits <= 8:
        expected = np.round(with_bits(image, bits).astype(np.float64) / (2**bits - 1) * 255)
        assert np.abs(read_image(path) - expected).max() <= 1
    elif bits <= 16:
        assert np.abs(read_image(path).astype(int) - image).max() <= 1
    else:
        assert np.abs(spread(read_image(path)) - spread(image)).max() <= 0.02


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "f2", "f4", "f8"])
def test_signed_and_floating_numbers(tmp_path: Path, kind: str) -> None:
    grey = grey_of(scene())
    numbers = ((grey.astype(np.float64) - 128) / (1 if kind == "i1" else 0.5)).astype(kind)
    seen = read_image(write_tiff(tmp_path / "a.tif", numbers))[:, :, 0]
    assert np.abs(spread(seen) - spread(grey)).max() <= 0.02
    colours = np.dstack([numbers] * 3)
    path = write_tiff(tmp_path / "b.tif", colours, Photometric.RGB)
    assert np.abs(spread(read_image(path)[:, :, 1]) - spread(grey)).max() <= 0.02


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_palettes(tmp_path: Path, bits: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    indices = (grey_of(scene()).astype(int) // 16 % min(2**bits, 256)).astype(np.uint16)
    stored = indices if bits == 16 else indices.astype(np.uint8)
    tags = colour_map(colours, bits)
    path = write_tiff(tmp_path / "a.tif", stored, Photometric.PALETTE, bits=bits, tags=tags)
    np.testing.assert_array_equal(read_image(path), colours[indices])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
def test_other_colour_spaces(tmp_path: Path, bits: int, planar: bool) -> None:
    image = Image.fromarray(scene())
    for photometric, mode in ((Photometric.CMYK, "CMYK"), (Photometric.YCBCR, "YCbCr")):
        stored = of_depth(np.asarray(image.convert(mode)), bits)
        path = write_tiff(tmp_path / f"{mode}.tif", stored, photometric, planar=planar)
        assert np.abs(read_image(path).astype(int) - np.asarray(image)).max() <= 4, mode
    if bits == 8 and planar:
        return  # of this kind neither library makes anything
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(image, to_lab)
    assert lab is not None
    # Its bytes are those of a file, where a and b are signed; in Pillow's memory they are 128 more.
    stored = np.frombuffer(lab.tobytes(), np.uint8).reshape(*np.asarray(image).shape)
    numbers = of_depth(stored, bits)
    path = write_tiff(tmp_path / "lab.tif", numbers, Photometric.CIELAB, planar=planar)
    assert np.abs(read_image(path).astype(int) - np.asarray(image)).mean() < 2


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits", "zstd"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_compressed_colours(tmp_path: Path, compression: str, interleave: str) -> None:
    values = (scene().astype(np.uint16) * 16).transpose(2, 0, 1)
    path = tmp_path / "a.tif"
    options = {"compress": compression, "interleave": interleave, "photometric": "rgb"}
    sizes = {"count": 3, "height": values.shape[1], "width": values.shape[2]}
    with (
        quietly(),
        rasterio.open(path, "w", "GTiff", dtype="uint16", **sizes, **options) as d,
    ):
        d.write(values)
    assert np.abs(read_image(path).astype(int) - scene()).max() <= 1


def test_webp_compression_is_read_through_rasterio(tmp_path: Path) -> None:
    values = scene().transpose(2, 0, 1)
    path = tmp_path / "a.tif"
    options = {"compress": "webp", "webp_lossless": True, "interleave": "pixel"}
    sizes = {"count": 3, "height": values.shape[1], "width": values.shape[2]}
    with (
        quietly(),
        rasterio.open(
            path, "w", "GTiff", dtype="uint8", photometric="rgb", **sizes, **options
        ) as d,
    ):
        d.write(values)
    np.testing.assert_array_equal(read_image(path), scene())


@pytest.mark.parametrize("photometric", [Photometric.BLACK_IS_ZERO, Photometric.WHITE_IS_ZERO])
@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "f4"])
def test_declared_no_data_has_no_value(tmp_path: Path, kind: str, photometric: Photometric) -> None:
    grey = grey_of(scene()) // 2
    stored = grey.astype(kind)
    stored[:30, :40] = 255
    hole = np.zeros(grey.shape, np.bool_)
    hole[:30, :40] = True
    path = write_tiff(tmp_path / "a.tif", stored, photometric, tags=no_data_tag(255))
    picture = read_picture(path)
    assert picture.valid is not None
    np.testing.assert_array_equal(picture.valid, ~hole)
    if kind != "u1":
        assert np.ptp(picture.pixels[~hole]) >= 126


@pytest.mark.parametrize("inside", [True, False], ids=["in the file", "next to it"])
@pytest.mark.parametrize("bands", [1, 3])
def test_a_mask_of_gdal_says_what_has_a_value(tmp_path: Path, bands: int, inside: bool) -> None:
    image = scene() if bands == 3 else grey_of(scene())[:, :, None]
    counts = np.ones(image.shape[:2], np.bool_)
    counts[:30, :40] = False
    path, (height, width, _) = tmp_path / "a.tif", image.shape
    kind = {"count": bands, "height": height, "width": width, "dtype": "uint8"}
    with (
        quietly(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(path, "w", "GTiff", **kind) as dataset,
    ):
        dataset.write(image.transpose(2, 0, 1))
        dataset.write_mask(counts)
    assert path.with_name("a.tif.msk").exists() != inside
    picture = read_picture(path)
    assert picture.valid is not None
    np.testing.assert_array_equal(picture.valid, counts)
    np.testing.assert_array_equal(
        picture.pixels[counts], np.broadcast_to(image, scene().shape)[counts]
    )
    if bands == 1:
        assert (np.isnan(read_depth_values(path)) == ~counts).all()


def test_what_is_not_finite_is_out_of_the_scale(tmp_path: Path) -> None:
    grey = grey_of(scene())
    values = grey.astype(np.float32) / 255 * 30 + 280
    values[:30, :20], values[:30, 20:40], values[:30, 40:60] = np.nan, np.inf, -np.inf
    path = write_tiff(tmp_path / "a.tif", values)
    for reading in (None, reading_of_files(find_images(tmp_path))):
        picture = read_picture(path, reading)
        assert picture.valid is not None
        assert (~picture.valid).sum() == 30 * 60
        assert np.abs(spread(picture.pixels[40:, :, 0]) - spread(grey[40:])).max() <= 0.02


def test_several_pictures_and_thumbnails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image, small = scene(), scene()[::4, ::4]
    other = 255 - image
    write_tiff(tmp_path / "pages.tif", [image, other], Photometric.RGB)
    write_tiff(tmp_path / "small.tif", [small, image], Photometric.RGB)
    write_tiff(tmp_path / "reduced.tif", [other, image], Photometric.RGB, subfile=[1, 0])
    for name in ("pages", "small"):
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.tif"), image)
    assert "pages.tif: contains 2 pictures; the first is used" in caplog.text
    assert "small.tif: contains 2 pictures; number 2, the largest, is used" in caplog.text
    pictures = [Image.fromarray(each) for each in (image, other)]
    pictures[0].save(tmp_path / "a.mpo", save_all=True, append_images=pictures[1:], quality=95)
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
    for name in ("a.mpo", "a.gif", "a.webp"):
        forget_notices()
        caplog.clear()
        assert np.abs(read_image(tmp_path / name).astype(int) - image).mean() < 12, name
        assert f"{name}: contains 2 pictures; the first is used" in caplog.text
        caplog.clear()
        read_image(tmp_path / name)
        assert not caplog.text
    found = {file.path.name for file in find_images(tmp_path)}
    assert {"a.mpo", "a.gif"} <= found


def test_reduced_copies_of_a_picture_are_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = scene()
    pages = [image, image[::2, ::2], image[::4, ::4]]
    path = write_tiff(tmp_path / "pyramid.tif", pages, Photometric.RGB, subfile=[0, 1, 1])
    np.testing.assert_array_equal(read_image(path), image)
    assert not caplog.text


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_tiff_under_another_suffix_is_told(tmp_path: Path, suffix: str) -> None:
    path = write_tiff(tmp_path / f"a{suffix}", of_depth(scene(), 16), Photometric.RGB, planar=True)
    with pytest.raises(UnreadableImageError, match=r"a\.\w+: a TIFF; rename it so that its name"):
        read_image(path)


def test_a_file_that_claims_too_much_is_skipped_in_a_moment(tmp_path: Path) -> None:
    impossible_tiff(tmp_path / "bomb.tif")
    Image.fromarray(scene()).save(tmp_path / "fine.png")
    start = time.monotonic()
    with pytest.raises(UnreadableImageError, match=r"bomb\.tif: .*claims 2147483647 x"):
        read_image(tmp_path / "bomb.tif")
    files = find_images(tmp_path)
    checked, skipped = check_images(files, reading=reading_of_files(files))
    assert [each.file.path.name for each in checked] == ["fine.png"]
    assert [each.file.path.name for each in skipped] == ["bomb.tif"]
    assert time.monotonic() - start < 5


def test_without_rasterio_other_kinds_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    monkeypatch.setattr(geotiff, "find_spec", lambda _name: None)
    planes = scene().astype(np.uint16) * 16
    path = write_tiff(tmp_path / "a.tif", planes, Photometric.RGB, planar=True)
    assert not is_raster(path)
    with pytest.raises(UnreadableImageError, match=r"a\.tif: a TIFF that needs rasterio; run pip"):
        read_image(path)
    write_tiff(path, planes, Photometric.RGB)
    assert np.abs(read_image(path).astype(int) - scene()).max() <= 1


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(
    "layout",
    [
        {"blockysize": 8},
        {"tiled": True, "blockxsize": 32, "blockysize": 16},
        {"blockysize": 8, "ENDIANNESS": "BIG"},
        {"tiled": True, "blockxsize": 32, "blockysize": 16, "ENDIANNESS": "BIG"},
        {"blockysize": 8, "compress": "lzw"},
    ],
    ids=lambda layout: "_".join(map(str, layout)),
)
def test_16_bit_colours_in_strips_and_tiles(
    tmp_path: Path, layout: dict[str, object], alpha: bool
) -> None:
    numbers = of_depth(scene(), 16) + np.arange(3).astype(np.uint16)  # lower bytes differ, too
    bands = np.dstack([numbers, np.full(numbers.shape[:2], 65535, np.uint16)]) if alpha else numbers
    path, (height, width, count) = tmp_path / "a.tif", bands.shape
    kind = {"count": count, "height": height, "width": width, "dtype": "uint16"}
    kind |= {"photometric": "RGB", "interleave": "pixel"} | layout
    kind |= {"alpha": "YES"} if alpha else {}
    with quietly(), rasterio.open(path, "w", driver="GTiff", **kind) as dataset:
        dataset.write(bands.transpose(2, 0, 1))
    assert not is_raster(path)
    found = decode_stored(path.read_bytes(), name=path.name)
    np.testing.assert_array_equal(found.values, numbers)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["planar", "doubles"])
def test_orientations_of_files_that_pillow_does_not_read(
    tmp_path: Path, orientation: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = of_depth(scene(), 16) if kind == "planar" else grey_of(scene()) / 255
    photometric = Photometric.RGB if kind == "planar" else Photometric.BLACK_IS_ZERO
    tags = {274: (SHORT, [orientation])}
    planar = kind == "planar"
    path = write_tiff(tmp_path / "a.tif", stored, photometric, planar=planar, tags=tags)
    shown = scene() if planar else np.dstack([grey_of(scene())] * 3)
    plain = Image.fromarray(shown)
    plain.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(plain))
    assert is_raster(path)
    reading = ImageReading(ranges=(((0.0, 65535.0),) * 3 if planar else ((0.0, 1.0),),))
    assert np.abs(read_image(path, reading).astype(int) - expected).max() <= 1
    header = read_tiff_header(path)
    assert header is not None
    assert header.upright_size == expected.shape[:2]
    with open_raster(path, reading) as raster:
        monkeypatch.setattr(geotiff, "MOST_VALUES", 1000)  # several windows
        part, _ = raster.read(slice(3, 40), slice(5, 60))
    assert np.abs(part.astype(int) - expected[3:40, 5:60]).max() <= 1


def test_a_georeferenced_file_lies_as_its_place_says(tmp_path: Path) -> None:
    tags = {274: (SHORT, [6])}
    path = write_tiff(tmp_path / "a.tif", scene(), Photometric.RGB, planar=True, tags=tags)
    path.with_suffix(".tfw").write_text("1\n0\n0\n-1\n100\n200\n")
    np.testing.assert_array_equal(read_image(path), scene())
