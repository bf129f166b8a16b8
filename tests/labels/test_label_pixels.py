"""Label files of every format hold the numbers that were stored."""

import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tests.corpus.images import png
from tests.decoding.rasters import write_raster

from segdistill.errors import UserError
from segdistill.labels.label_files import find_labels, read_labels
from segdistill.labels.label_map import LabelMap
from segdistill.labels.label_pixels import NO_VALUE, read_label_pixels

VALUES = np.array([[0, 3, 7, 2], [255, 1, 0, 5]], np.uint8)
MODES = ("L", "P", "RGB", "RGBA", "LA", "I", "I;16", "F")


def as_mode(mode: str) -> Image.Image:
    grey = Image.fromarray(VALUES)
    if mode == "P":
        palette = Image.fromarray(VALUES)
        palette.putpalette([7] * 768)
        return palette
    if mode == "I;16":
        return Image.fromarray(VALUES.astype(np.uint16))
    return grey.convert(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_numbers_of_any_kind_of_picture(tmp_path: Path, mode: str, suffix: str) -> None:
    if mode in {"F", "I"} and suffix == ".png":
        pytest.skip("a PNG holds neither floats nor 32 bits")
    as_mode(mode).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_labels(tmp_path / f"a{suffix}"), VALUES)


@pytest.mark.parametrize("bits", [1, 2, 4, 16])
def test_numbers_of_any_bit_depth(tmp_path: Path, bits: int) -> None:
    values = np.array([[0, 1, 1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 1, 0, 1, 1]]) * (
        2 ** min(bits, 7) - 1
    )
    pieces = ["".join(f"{value:0{bits}b}" for value in row) for row in values.tolist()]
    rows = [int(row, 2).to_bytes(len(row) // 8) for row in pieces]
    (tmp_path / "a.png").write_bytes(png(bits, 0, rows, 8))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), values)


def test_sixteen_bit_colours_are_not_cut_to_eight(tmp_path: Path) -> None:
    rows = [struct.pack(">6H", 1, 1, 1, 3, 3, 3), struct.pack(">6H", 200, 200, 200, 0, 0, 0)]
    (tmp_path / "a.png").write_bytes(png(16, 2, rows, 2))
    assert read_labels(tmp_path / "a.png").tolist() == [[1, 3], [200, 0]]
    rows = [struct.pack(">6H", *(257 * n for n in (1, 2, 3, 4, 5, 6)))]
    (tmp_path / "b.png").write_bytes(png(16, 2, rows, 2))
    assert read_label_pixels(tmp_path / "b.png").values.tolist() == [[0x010203, 0x040506]]


@pytest.mark.parametrize(("top", "plain"), [(7, False), (200, True), (1000, False), (65535, True)])
def test_portable_grey_maps_keep_their_numbers(tmp_path: Path, top: int, plain: bool) -> None:
    values = [0, 1, 5, 7, 6, 3]
    kind = ">H" if top > 255 else ">B"
    packed = b"".join(struct.pack(kind, value) for value in values)
    text = b" ".join(str(value).encode() for value in values)
    header = f"{'P2' if plain else 'P5'}\n3 2\n{top}\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + (text if plain else packed))
    assert read_labels(tmp_path / "a.pgm").ravel().tolist() == values


@pytest.mark.parametrize(
    "kind", ["bool", "int8", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_numbers_of_any_type(tmp_path: Path, kind: str, suffix: str) -> None:
    values = (VALUES % 8).astype(kind)
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", values)
    elif kind == "bool":
        Image.fromarray(values).save(tmp_path / "a.tif")
    else:
        write_raster(tmp_path / "a.tif", values[None])
    np.testing.assert_array_equal(read_labels(tmp_path / f"a{suffix}"), values.astype(int))


@pytest.mark.parametrize(
    "array",
    [
        VALUES[None],
        VALUES[:, :, None],
        np.dstack([VALUES] * 3),
        np.dstack([*[VALUES] * 3, np.full_like(VALUES, 9)]),
    ],
    ids=["1hw", "hw1", "hw3", "hw4"],
)
def test_arrays_may_have_a_channel_axis(tmp_path: Path, array: NDArray[np.uint8]) -> None:
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npy"), VALUES)


def test_what_has_no_value_is_not_labelled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0.0, np.nan], [-1, 2]]))
    assert read_labels(tmp_path / "a.npy").tolist() == [[0, 255], [255, 2]]
    alpha = np.array([[255, 0, 128, 255]] * 2, np.uint8)
    for channels in (1, 3):
        Image.fromarray(np.dstack([VALUES] * channels + [alpha])).save(tmp_path / "a.png")
        expected = np.where(alpha == 0, 255, VALUES)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), expected)
    for kind in ("int16", "float32", "int64"):
        write_raster(tmp_path / "a.tif", VALUES.astype(kind)[None], nodata=7)
        expected = np.where(VALUES == 7, 255, VALUES)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("mode", ["P", "L", "I;16"])
def test_numbers_declared_transparent_are_not_labelled(tmp_path: Path, mode: str) -> None:
    expected = np.where(VALUES == 7, 255, VALUES)
    for declared in (7, b"\xff" * 7 + b"\0" + b"\x01" * 248) if mode == "P" else (7,):
        as_mode(mode).save(tmp_path / "a.png", transparency=declared)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_number_of_few_bits_declared_transparent_is_not_labelled(
    tmp_path: Path, bits: int
) -> None:
    top = 2**bits - 1
    pieces = f"{top:0{bits}b}{0:0{bits}b}" * 4
    row = int(pieces, 2).to_bytes(bits)
    for declared, expected in ((top, [255, 0] * 4), (0, [top, 255] * 4)):
        transparent = (b"tRNS", struct.pack(">H", declared))
        (tmp_path / "a.png").write_bytes(png(bits, 0, [row], 8, transparent))
        assert read_labels(tmp_path / "a.png").tolist() == [expected]


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_declared_transparent_are_not_labelled(tmp_path: Path, bits: int) -> None:
    kind = ">u1" if bits == 8 else ">u2"
    colours = np.array([[9, 2, 3, 4, 5, 6]]) * (1 if bits == 8 else 257)
    transparent = (b"tRNS", colours[0, 3:].astype(">u2").tobytes())
    rows = [row.astype(kind).tobytes() for row in colours]
    (tmp_path / "a.png").write_bytes(png(bits, 2, rows, 2, transparent))
    assert read_label_pixels(tmp_path / "a.png").values.tolist() == [[0x090203, NO_VALUE]]


def test_transparent_indices_have_no_colour(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([1, 2, 3, 4, 5, 6])
    picture.save(tmp_path / "a.png", transparency=0)
    seen, coloured = LabelMap(names=("a",), numbers=(), colours={0x010203: 0, 0x040506: 0}).seen(
        read_label_pixels(tmp_path / "a.png")
    )
    assert coloured
    assert seen.tolist() == [[NO_VALUE, 0x040506]]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_of_gdal_is_applied(tmp_path: Path, inside: bool, channels: int) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        write_raster(tmp_path / "a.tif", np.stack([VALUES] * channels))
        with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
            dataset.write_mask(VALUES != 7)
    expected = np.where(VALUES == 7, 255, VALUES)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), expected)


def test_no_data_of_a_palette_is_not_labelled(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", VALUES[None], photometric="palette", nodata=7)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {n: (n, n, 9, 255) for n in range(256)})
    np.testing.assert_array_equal(read_labels(path), np.where(VALUES == 7, 255, VALUES))


def test_arrays_with_opacity(tmp_path: Path) -> None:
    opacity = np.where(VALUES == 7, 0, 255).astype(np.uint8)
    np.save(tmp_path / "a.npy", np.dstack([VALUES, VALUES, VALUES, opacity]))
    expected = np.where(VALUES == 7, 255, VALUES)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npy"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [2, 3])
def test_deep_pictures_are_turned_too(tmp_path: Path, channels: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(VALUES).save(tmp_path / "reference.png", exif=exif)
    with Image.open(tmp_path / "reference.png") as opened:
        expected = np.array(ImageOps.exif_transpose(opened))
    planes = [VALUES] * 3 if channels == 3 else [VALUES, np.full(VALUES.shape, 65535)]
    rows = [row.astype(">u2").tobytes() for row in np.dstack(planes)]
    chunk = (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    content = png(16, {2: 4, 3: 2}[channels], rows, VALUES.shape[1], chunk)
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "wide.tif"])
def test_files_are_turned_as_viewers_turn_them(tmp_path: Path, name: str, orientation: int) -> None:
    image = Image.fromarray(VALUES)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "reference.png", exif=exif)
    with Image.open(tmp_path / "reference.png") as opened:
        expected = np.array(ImageOps.exif_transpose(opened))
    if name == "wide.tif":
        (tmp_path / name).write_bytes(wide_tiff(VALUES, orientation))
    elif name == "a.tif":
        image.save(tmp_path / name, tiffinfo={274: orientation})
    else:
        image.save(tmp_path / name, exif=exif)
    np.testing.assert_array_equal(read_labels(tmp_path / name), expected)


def wide_tiff(values: NDArray[np.uint8], orientation: int) -> bytes:
    """Return a TIFF of 64-bit integers with an orientation."""
    height, width = values.shape
    pixels = values.astype("<i8").tobytes()
    tags = [
        *((256, 4, width), (257, 4, height), (258, 3, 64), (259, 3, 1), (262, 3, 1)),
        *((273, 4, 8), (274, 3, orientation), (277, 3, 1), (278, 4, height)),
        *((279, 4, len(pixels)), (339, 3, 2)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


def test_numbers_of_a_picture_with_white_as_zero_are_those_stored(tmp_path: Path) -> None:
    for bits, rows in ((8, b"\0\3\7\2"), (1, b"\xa0")):
        tags = [
            *((256, 4, 4), (257, 4, 1), (258, 3, bits), (259, 3, 1), (262, 3, 0)),
            *((273, 4, 8), (277, 3, 1), (278, 4, 1), (279, 4, len(rows))),
        ]
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        content = b"II*\0" + struct.pack("<I", 12) + rows.ljust(4, b"\0")
        content += struct.pack("<H", len(tags)) + entries + bytes(4)
        (tmp_path / "a.tif").write_bytes(content)
        expected = [[0, 3, 7, 2]] if bits == 8 else [[1, 0, 1, 0]]
        assert read_labels(tmp_path / "a.tif").tolist() == expected


def test_values_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    cases = {
        "half": np.array([[0.5, 1.0]]),
        "infinite": np.array([[np.inf, 1.0]]),
        "huge": np.array([[2**64 - 1]], np.uint64),
        "complex": np.array([[1j]]),
        "text": np.array([["a"]]),
        "volume": np.zeros((2, 2, 2), np.uint8),
        "empty": np.zeros((0, 2), np.uint8),
    }
    for name, values in cases.items():
        np.save(tmp_path / f"{name}.npy", values)
        with pytest.raises(UserError, match=rf"{name}\.npy: ") as caught:
            read_labels(tmp_path / f"{name}.npy")
        assert len(str(caught.value).splitlines()) == 1
    np.save(tmp_path / "object.npy", np.array([[{}]]), allow_pickle=True)
    (tmp_path / "a.png").write_text("not found")
    with pytest.raises(UserError, match=r"labels \(not an image that can be decoded\)$"):
        read_labels(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"object\.npy: cannot be read as labels"):
        read_labels(tmp_path / "object.npy")
    np.save(tmp_path / "large.npy", np.array([[0, 65535]], np.uint16))
    with pytest.raises(UserError, match=r"contains the value 65535; .*label map"):
        read_labels(tmp_path / "large.npy")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"b\.png: no such label file"):
        read_labels(tmp_path / "b.png")
    for name, content in (("c.png", b"text"), ("d.npy", b"\x93NUMPY"), ("e.tif", b"II*\0oops")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}: "):
            read_labels(tmp_path / name)
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "f.png")
    with pytest.raises(UserError, match=r"f\.png: has colours \(#010203\) .*--label-map"):
        read_labels(tmp_path / "f.png")


def test_a_folder_without_label_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="no label files found; give a folder that contains label"):
        find_labels(tmp_path)
