"""Any image file becomes upright 8-bit RGB."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from segdistill.decoding.decode import (
    UnreadableImageError,
    content_hash,
    decode_image,
    image_in_memory,
    read_image,
    to_tensor,
)
from segdistill.decoding.image_reading import AS_EACH_FILE_SAYS
from segdistill.errors import UserError


def rgb_of(image: Image.Image) -> NDArray[np.uint8]:
    return image_in_memory(image).shown(AS_EACH_FILE_SAYS).displayed


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 4), np.uint8), np.zeros(4), np.zeros((0, 4, 3)), np.zeros((4, 4), complex)],
)
def test_arrays_that_are_no_image_are_named(array: NDArray[np.generic]) -> None:
    with pytest.raises(UserError, match=r"array of shape .*: an image must contain numbers"):
        image_in_memory(array)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = Image.new(mode, (5, 3))
    rgb = rgb_of(image)
    assert rgb.shape == (3, 5, 3)
    assert rgb.dtype == np.uint8


def test_16_bits_are_scaled_by_the_bits_in_use() -> None:
    for bits in (10, 12, 16):
        values = np.array([[0, 2**bits - 1]], np.uint16)
        assert rgb_of(Image.fromarray(values))[0, :, 0].tolist() == [0, 255]
    dim = np.array([[0, 255]], np.uint16)
    assert rgb_of(Image.fromarray(dim))[0, :, 0].tolist() == [0, 255]


def test_floats_in_0_to_1_keep_their_scale() -> None:
    values = np.array([[0.0, 0.5]], np.float32)
    assert rgb_of(Image.fromarray(values))[0, :, 0].tolist() == [0, 128]
    heights = np.array([[-10.0, 30.0, np.nan]], np.float32)
    assert rgb_of(Image.fromarray(heights))[0, :2, 0].tolist() == [0, 255]


def test_transparency_is_laid_over_white() -> None:
    hidden = Image.new("RGBA", (1, 1), (200, 0, 0, 0))
    assert rgb_of(hidden).ravel().tolist() == [255, 255, 255]


def test_cmyk_jpeg() -> None:
    content = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    red, green, blue = decode_image(content, name="x")[0, 0]
    assert red > 200
    assert green < 60
    assert blue < 60


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.new("RGB", (6, 4)), "PNG", exif=exif)
    sideways = orientation >= 5
    assert decode_image(content, name="x").shape == ((6, 4, 3) if sideways else (4, 6, 3))


def test_damage_is_named() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    content = encoded(Image.fromarray(noise), "JPEG")
    for damaged in (b"", b"no image at all", content[: len(content) // 2], content[:20]):
        with pytest.raises(UnreadableImageError, match=r"beach\.jpg"):
            decode_image(damaged, name="beach.jpg")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="No such file"):
        read_image(tmp_path / "none.jpg")


def test_hash_tells_content_apart() -> None:
    assert content_hash(b"a") != content_hash(b"b")


def test_tensor_is_in_0_to_1() -> None:
    tensor = to_tensor(np.full((2, 4, 3), 255, np.uint8))
    assert tensor.shape == (1, 3, 2, 4)
    assert tensor.max() == 1
