"""Depth in files of every kind: the values that come back."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray
from PIL import Image

from segdistill.images.depth import DepthSettings, read_depth
from segdistill.images.depth_reading import (
    DepthFormat,
    UnreadableDepthError,
    read_depth_values,
)

METRES: NDArray[np.float32] = np.linspace(0.5, 80, 12, dtype=np.float32).reshape(3, 4)


def write_pfm(path: Path, values: NDArray[np.float32], *, order: str, kind: str = "Pf") -> Path:
    scale = "-1.0" if order == "<" else "1.0"
    header = f"{kind}\n{values.shape[1]} {values.shape[0]}\n{scale}\n"
    path.write_bytes(header.encode() + np.flipud(values).astype(f"{order}f4").tobytes())
    return path


def write_exr(path: Path, **channels: NDArray[np.generic]) -> Path:
    named = {name.replace("__", "."): array for name, array in channels.items()}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, named).write(str(path))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm_of_either_byte_order(order: str, tmp_path: Path) -> None:
    path = write_pfm(tmp_path / "a.pfm", METRES, order=order)
    np.testing.assert_array_equal(read_depth_values(path), METRES)


def test_a_pfm_of_colours_is_refused(tmp_path: Path) -> None:
    colours = np.repeat(METRES[:, :, None], 3, axis=2)
    path = write_pfm(tmp_path / "a.pfm", colours, order="<", kind="PF")
    with pytest.raises(UnreadableDepthError, match=r"a\.pfm: a PFM of three channels"):
        read_depth_values(path)


@pytest.mark.parametrize(
    "header", [b"Pf\r\n4 3\r\n-1.0\r\n", b"Pf 4 3 -1 ", b"Pf\n# a\n4\n3\n-1e0\r"]
)
@pytest.mark.parametrize("first", [b"", b"\r", b"\n"])
def test_a_pfm_header_has_any_line_ends(header: bytes, first: bytes, tmp_path: Path) -> None:
    """Bytes of the first number that look like line ends are not taken for them."""
    path = tmp_path / "a.pfm"
    pixels = np.flipud(METRES).astype("<f4").tobytes()
    path.write_bytes(header + first + pixels[len(first) :])
    expected = np.flipud(np.frombuffer(first + pixels[len(first) :], "<f4").reshape(3, 4))
    np.testing.assert_array_equal(read_depth_values(path), expected)


@pytest.mark.filterwarnings("error")
def test_not_a_number_of_any_kind_in_a_pfm(tmp_path: Path) -> None:
    signalling = np.frombuffer(b"\1\0\xa0\x7f" * 12, "<f4").reshape(3, 4)
    path = tmp_path / "a.pfm"
    path.write_bytes(b"Pf\n4 3\n-1\n" + signalling.tobytes())
    assert np.isnan(read_depth_values(path)).all()


@pytest.mark.parametrize("change", [-1, -4, 1, 4])
def test_a_pfm_must_have_the_size_that_its_header_says(change: int, tmp_path: Path) -> None:
    path = write_pfm(tmp_path / "a.pfm", METRES, order="<")
    content = path.read_bytes() + b"\0" * 4
    path.write_bytes(content[: len(content) - 4 + change])
    with pytest.raises(UnreadableDepthError, match=r"a\.pfm: .*4 x 3 pixels take 48 bytes"):
        read_depth_values(path)


@pytest.mark.parametrize("content", [b"", b"Pf\n4 3\n-1.0\n\0\0", b"Pf\n4 3\n", b"P5\n1 1\n"])
def test_a_damaged_pfm_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pfm").write_bytes(content)
    with pytest.raises(UnreadableDepthError, match=r"a\.pfm: cannot be read as depth"):
        read_depth_values(tmp_path / "a.pfm")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save: object, tmp_path: Path) -> None:
    assert callable(save)
    path = tmp_path / "a.npz"
    save(path, METRES)
    np.testing.assert_array_equal(read_depth_values(path), METRES)
    save(path, rgb=np.zeros((3, 4, 3)), Depth=METRES[None])
    np.testing.assert_array_equal(read_depth_values(path), METRES)
    save(path, near=METRES, far=2 * METRES)
    np.testing.assert_array_equal(read_depth_values(path, channel="far"), 2 * METRES)
    far = read_depth(path, DepthSettings(normalisation="metric", channel="far"))
    np.testing.assert_array_equal(far, 2 * METRES)
    for channel, message in ((None, "several arrays"), ("no", "no array 'no'")):
        with pytest.raises(UnreadableDepthError, match=rf"{message} \(near, far\); .*--depth.chan"):
            read_depth_values(path, channel=channel)


def test_a_damaged_npz_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, METRES)
    content = path.read_bytes()
    huge = content.replace(b"(3, 4), }       ", b"(99999, 99999), }")
    assert huge != content
    wrong = [b"", content[:-40], content[:60], huge]
    for each in wrong:
        path.write_bytes(each)
        with pytest.raises(UnreadableDepthError, match=r"a\.npz: "):
            read_depth_values(path)
    np.savez(path, np.array([{"a": 1}], object))
    with pytest.raises(UnreadableDepthError, match=r"a\.npz: "):
        read_depth_values(path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
def test_exr_of_one_channel(dtype: type, tmp_path: Path) -> None:
    values: NDArray[np.generic] = np.arange(12).reshape(3, 4).astype(dtype)
    np.testing.assert_array_equal(
        read_depth_values(write_exr(tmp_path / "a.exr", Y=values)), values
    )


def test_exr_of_several_channels(tmp_path: Path) -> None:
    other = np.zeros_like(METRES)
    colours: dict[str, NDArray[np.generic]] = {"R": METRES / 3, "G": other, "B": other}
    blender = write_exr(tmp_path / "a.exr", ViewLayer__Depth__Z=METRES, **colours)
    np.testing.assert_array_equal(read_depth_values(blender), METRES)
    grey = write_exr(tmp_path / "b.exr", R=METRES, G=METRES, B=METRES, A=other)
    np.testing.assert_array_equal(read_depth_values(grey), METRES)
    several = write_exr(tmp_path / "c.exr", **colours)
    np.testing.assert_array_equal(read_depth_values(several, channel="R"), METRES / 3)
    with pytest.raises(UnreadableDepthError, match=r"several channels \(.*; name the one"):
        read_depth_values(several)


@pytest.mark.parametrize("content", [b"", b"EXR", b"\x76\x2f\x31\x01\x02\0\0\0"])
def test_a_damaged_exr_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_bytes(content)
    with pytest.raises(UnreadableDepthError, match=r"a\.exr: cannot be read as depth"):
        read_depth_values(tmp_path / "a.exr")
    with pytest.raises(UnreadableDepthError, match="no such depth map"):
        read_depth_values(tmp_path / "b.exr")


def test_exr_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_exr(tmp_path / "a.exr", Y=METRES)
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    with pytest.raises(UnreadableDepthError, match=r"a\.exr: needs OpenEXR; run pip install"):
        read_depth_values(path)


def test_carla(tmp_path: Path) -> None:
    """Red counts 1, green 256 and blue 65536 steps; the largest number is a kilometre."""
    steps = np.round(METRES.astype(np.float64) / 1000 * (2**24 - 1)).astype(np.uint32)
    colours = np.stack([steps & 255, steps >> 8 & 255, steps >> 16], axis=2).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    read = read_depth_values(tmp_path / "a.png", "carla")
    np.testing.assert_allclose(read, METRES, atol=1e-4)
    with_alpha = np.dstack([colours, np.full((3, 4), 255, np.uint8)])
    Image.fromarray(with_alpha).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_depth_values(tmp_path / "b.png", "carla"), read)
    depth = read_depth(tmp_path / "a.png", DepthSettings(normalisation="metric", format="carla"))
    np.testing.assert_allclose(depth, METRES, atol=1e-4)


@pytest.mark.parametrize(
    ("packing", "order"), [("tartanair", (2, 1, 0, 3)), ("float32-rgba", (0, 1, 2, 3))]
)
def test_floats_in_four_bytes(packing: DepthFormat, order: tuple[int, ...], tmp_path: Path) -> None:
    """OpenCV, which writes TartanAir's files, has blue first."""
    stored = METRES.astype("<f4").view(np.uint8).reshape(3, 4, 4)
    colours = np.zeros_like(stored)
    for byte, channel in enumerate(order):
        colours[:, :, channel] = stored[:, :, byte]
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_depth_values(tmp_path / "a.png", packing), METRES)


def test_packed_depth_needs_to_be_named_and_has_its_channels(tmp_path: Path) -> None:
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    Image.fromarray(colours).save(tmp_path / "a.png")
    with pytest.raises(UnreadableDepthError, match=r"a colour image .*--depth\.format carla"):
        read_depth_values(tmp_path / "a.png")
    with pytest.raises(UnreadableDepthError, match="needs 4 channels of 8 bits, but this is RGB"):
        read_depth_values(tmp_path / "a.png", "tartanair")
    Image.fromarray(colours[:, :, 0]).save(tmp_path / "b.png")
    with pytest.raises(UnreadableDepthError, match="needs 3 channels of 8 bits, but this is L"):
        read_depth_values(tmp_path / "b.png", "carla")


DEEP: NDArray[np.uint16] = (np.arange(12).reshape(3, 4) * 5000 + 7).astype(np.uint16)


def write_png(path: Path, values: NDArray[np.uint16]) -> Path:
    """Write a PNG of 16 bits, which Pillow cannot for more than one channel."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks.items()
        )
    )
    return path


@pytest.mark.parametrize("shades", [1, 3])
@pytest.mark.parametrize("opacity", [False, True])
def test_16_bits_in_several_channels_are_kept(shades: int, opacity: bool, tmp_path: Path) -> None:
    channels = [DEEP] * shades
    expected = DEEP.astype(np.float64)
    if opacity:
        alpha = np.full_like(DEEP, 65535)
        alpha[1, 2] = 0
        expected[1, 2] = np.nan
        channels.append(alpha)
    path = write_png(tmp_path / "a.png", np.dstack(channels))
    np.testing.assert_array_equal(read_depth_values(path), expected)


def test_grey_of_8_bits_in_other_kinds_of_pictures(tmp_path: Path) -> None:
    grey = Image.fromarray((np.arange(12).reshape(3, 4) * 20).astype(np.uint8))
    expected = np.array(grey).astype(np.float64)
    grey.quantize(256).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_depth_values(tmp_path / "a.png"), expected)
    with_alpha = grey.convert("LA")
    with_alpha.putpixel((2, 1), (0, 0))
    with_alpha.save(tmp_path / "b.png")
    expected[1, 2] = np.nan
    np.testing.assert_array_equal(read_depth_values(tmp_path / "b.png"), expected)
    coloured = Image.fromarray(np.eye(3, dtype=np.uint8))
    coloured.putpalette([0, 0, 0, 255, 0, 0])
    coloured.save(tmp_path / "c.png")
    with pytest.raises(UnreadableDepthError, match=r"a colour image \(P\)"):
        read_depth_values(tmp_path / "c.png")


@pytest.mark.parametrize(
    ("bands", "options"),
    [
        (1, {"dtype": "float64"}),
        (1, {"dtype": "float32", "compress": "lerc"}),
        (3, {"dtype": "float32"}),
        (3, {"dtype": "uint16", "photometric": "RGB"}),
        (1, {"dtype": "float64", "nodata": -9999}),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_tiffs_of_other_kinds(
    bands: int, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rasterio = pytest.importorskip("rasterio")
    expected = DEEP.astype(np.float64)
    written = expected.copy()
    if "nodata" in options:
        written[0, 1], expected[0, 1] = -9999, np.nan
    path = tmp_path / "a.tif"
    shape = {"height": 3, "width": 4, "count": bands}
    with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
        file.write(np.stack([written.astype(options["dtype"])] * bands))
    np.testing.assert_array_equal(read_depth_values(path), expected)
    if options["dtype"] != "uint16":  # read by Pillow
        monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
        with pytest.raises(UnreadableDepthError, match="TIFF of this kind needs rasterio; run pip"):
            read_depth_values(path)


def test_several_values_are_invalid(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 100, 300, 65535]], np.uint16))
    depth = read_depth(tmp_path / "a.npy", DepthSettings(invalid=(0, 65535)))
    np.testing.assert_array_equal(depth, [[np.nan, 0, 1, np.nan]])


@pytest.mark.parametrize("scale", ["0", "1e999", "-0.0"])
def test_a_pfm_whose_scale_has_no_sign_or_size_is_refused(scale: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pfm"
    path.write_bytes(f"Pf\n4 3\n{scale}\n".encode() + METRES.tobytes())
    with pytest.raises(UnreadableDepthError, match="so that the byte order is not known"):
        read_depth_values(path)
