"""Images as Pillow decodes them: upright, as stored numbers or as 8-bit RGB."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from segdistill.decoding.colour_profiles import lab_to_srgb
from segdistill.decoding.library_warnings import without_library_warnings
from segdistill.decoding.notices import tell_once
from segdistill.decoding.pictures import StoredImage, both, converted
from segdistill.decoding.tiff_header import (
    MASK_PICTURE,
    SAMPLE_FORMAT,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    TiffHeader,
)
from segdistill.errors import UserError

NO_DATA_TAG = 42113  # GDAL's, of GeoTIFF
SUBFILE_TAG = 254
REDUCED_COPY = 1

THUMBNAIL_SHARE = 0.5
"""A first picture whose sides are smaller than this share of another's is its thumbnail."""

MOST_PICTURES_SEARCHED = 32

ALPHA_MODES = frozenset(["RGBA", "LA", "PA", "RGBa", "La"])

GREY_MODES = frozenset(["L", "LA", "La"])
COLOUR_SPACE = slice(16, 20)
"""Place, in an ICC profile, of the name of the colours that it describes."""

GREY_SPACE = b"GRAY"

LOSSY_FORMATS = frozenset(["JPEG", "MPO", "AVIF", "HEIF"])
PREFIX_BYTES = 2**16

# Pillow reads only one byte of each number of 16-bit colours; which, depends on this name.
OTHER_BYTE = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B",
}
GREY_ALPHA_16 = "LA;16B"


@contextlib.contextmanager
def opened_quietly(source: bytes | Path) -> Iterator[ImageFile.ImageFile]:
    """Open an image; in the block, Pillow issues no warnings of damaged or very large files.

    Args:
        source: content of the file, or its path.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else _BoundedFile(source)
    with without_library_warnings, file, Image.open(file) as image:
        _scale_transparent(image)
        yield image


def grey_factor(image: Image.Image) -> int:
    """Return by what Pillow multiplies the grey values of a PNG that is not loaded yet.

    Values of 1, 2 and 4 bits become those of 8 bits.
    """
    if image.format != "PNG":
        return 1
    if image.mode == "1":
        return 255
    for *_, arguments in getattr(image, "tile", ()):
        if bits := re.match(r"L;([24])$", str(arguments)):
            return 85 if bits[1] == "2" else 17
    return 1


def _scale_transparent(image: Image.Image) -> None:
    """Multiply the grey value that a PNG declares transparent as its pixels are."""
    declared = image.info.get("transparency")
    if isinstance(declared, int) and (factor := grey_factor(image)) > 1:
        # Some versions of Pillow do so by themselves for 1 bit.
        image.info["transparency"] = min(declared * factor, 255)


class _BoundedFile(io.BufferedReader):
    """A file whose reads take no more memory than it has bytes, whatever a damaged one claims."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes, or all that are left."""
        left = max(self._size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


def choose_picture(image: ImageFile.ImageFile, name: str) -> None:
    """Go to the first picture of a file, or if that is a thumbnail, to the largest.

    Reduced copies of a picture and masks are not counted as pictures.
    """
    count = getattr(image, "n_frames", 1)
    if count == 1:
        return
    chosen = 0
    if image.format == "TIFF":
        pictures = _tiff_pictures(image, min(count, MOST_PICTURES_SEARCHED))
        if not pictures:
            return
        largest, page, _ = max(pictures, key=lambda each: each[0])
        first, chosen, reduced = pictures[0]
        if reduced or first < THUMBNAIL_SHARE**2 * largest:
            chosen = page
        image.seek(chosen)
        count = sum(not copy for *_, copy in pictures) + max(0, count - MOST_PICTURES_SEARCHED)
        if count <= 1:
            return
    which = f"number {chosen + 1}, the largest, is used" if chosen else "the first is used"
    tell_once(name, f"contains {count} pictures; {which}", kind="pictures")


def _tiff_pictures(image: ImageFile.ImageFile, count: int) -> list[tuple[int, int, bool]]:
    """Return the pixels, the number and whether it is a reduced copy of each of the first pictures.

    Masks, which Pillow cannot open, are left out.
    """
    pictures = []
    for page in range(count):
        try:
            image.seek(page)
        except SyntaxError:
            continue
        subfile = int(_first(getattr(image, "tag_v2", {}).get(SUBFILE_TAG, 0)))
        if not subfile & MASK_PICTURE:
            pictures.append((image.width * image.height, page, bool(subfile & REDUCED_COPY)))
    return pictures


def stored_image(
    image: ImageFile.ImageFile, content: bytes, name: str, header: TiffHeader | None
) -> StoredImage:
    """Decode an open image to stored numbers, or to the colours that a viewer shows.

    Args:
        image: not loaded yet, at the picture that is wanted.
        content: of the file; 16-bit colours are decoded twice.
        name: path of the file, for messages.
        header: of a TIFF.
    """
    profile = image.info.get("icc_profile") or b""
    if drops_bytes(image):
        return _deep_colours(image, content, name, profile)
    no_data = getattr(image, "tag_v2", {}).get(NO_DATA_TAG)
    image.load()
    signed = header is not None and header.sample_format == SIGNED
    if signed or image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        values = _numbers(image)[:, :, None]
        missing = _declared_missing(values, no_data)
        if isinstance(transparent := image.info.get("transparency"), int):
            missing = values == transparent
        if header is not None and header.photometric == WHITE_IS_ZERO:
            values = np.subtract(2**header.bits - 1, values, dtype=values.dtype)
        return StoredImage(name, values, _valid_of(missing))
    with contextlib.suppress(Exception):  # as in upright(), without its copy
        ImageOps.exif_transpose(image, in_place=True)
    pixels, valid = shown_as_rgb(image, profile, name)
    if no_data is not None:
        numbers = np.asarray(image).reshape(*pixels.shape[:2], -1)
        if header is not None and header.photometric == WHITE_IS_ZERO:
            numbers = 255 - numbers  # inverted by Pillow
        valid = both(valid, _valid_of(_declared_missing(numbers, no_data)))
    return StoredImage(name, pixels, valid)


def _valid_of(missing: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Return which pixels have a value in any band, from where bands lack one (h, w, bands)."""
    return None if missing is None else np.logical_not(missing.all(axis=2))


def drops_bytes(image: ImageFile.ImageFile) -> bool:
    """Return whether Pillow would drop the lower byte of each number."""
    names = {args if isinstance(args, str) else _first(args) for *_, args in image.tile}
    return bool(names) and names <= {*OTHER_BYTE, GREY_ALPHA_16}


def _deep_colours(
    image: ImageFile.ImageFile, content: bytes, name: str, profile: bytes
) -> StoredImage:
    """Read colours of 16 bits: their upper bytes, then their lower ones."""
    page = image.tell() if hasattr(image, "n_frames") else 0
    with opened_quietly(content) as again:
        if page:
            again.seek(page)
        if any(args == GREY_ALPHA_16 for *_, args in image.tile):
            _set_raw_mode(again, lambda _: "RGBA")
            bytes_of = np.array(upright(again)).astype(np.uint16)
            numbers = bytes_of[:, :, ::2] << 8 | bytes_of[:, :, 1::2]
        else:
            _set_raw_mode(again, _other_byte)
            for each in (image, again):
                each.load()  # what fails here would be hidden by upright()
            upper, lower = (np.array(upright(each)) for each in (image, again))
            numbers = upper.astype(np.uint16) << 8 | lower
    tags = getattr(image, "tag_v2", {})
    colours = numbers[:, :, : 3 if numbers.shape[2] > 2 else 1]
    valid = None
    if numbers.shape[2] in {2, 4} and not numbers[:, :, -1].all():
        valid = numbers[:, :, -1] > 0
    elif isinstance(transparent := image.info.get("transparency"), tuple):
        seen = (colours != transparent).any(axis=2)
        valid = None if seen.all() else seen
    known = _valid_of(_declared_missing(colours, tags.get(NO_DATA_TAG)))
    return StoredImage(name, colours, both(valid, known), profile if colours.shape[2] == 3 else b"")


def _set_raw_mode(image: ImageFile.ImageFile, change: Callable[[Any], Any]) -> None:
    """Change how the decoder of an image that is not loaded yet unpacks its bytes."""
    tiles: list[Any] = [
        # Pillow joins adjacent strips by the fields of its named tuples, new in version 11.1.
        tile._replace(args=change(tile.args))
        if hasattr(tile, "_replace")
        else (*tile[:-1], change(tile[-1]))
        for tile in image.tile
    ]
    image.tile = tiles


def _other_byte(args: Any) -> Any:
    return OTHER_BYTE[args] if isinstance(args, str) else (OTHER_BYTE[args[0]], *args[1:])


def shown_as_rgb(
    image: Image.Image, profile: bytes, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Return an 8-bit image as RGB, and which pixels are not fully transparent."""
    valid = None
    flat = image
    if has_opacity(image):
        rgba = image.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"))
        if not alpha.all():
            valid = alpha > 0
        if profile[COLOUR_SPACE] == GREY_SPACE and image.mode in GREY_MODES:
            # The profile is of one channel, and what is laid over white has three.
            shades = converted(image.convert("LA").getchannel("L"), profile, name).convert("RGB")
            rgba = Image.merge("RGBA", (*shades.split(), rgba.getchannel("A")))
            profile = b""
        # Colours under full transparency are arbitrary; white is what a web page would show.
        under = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        under.alpha_composite(rgba)
        flat = under.convert("RGB")
    if flat.mode == "LAB":
        flat = lab_to_srgb(flat)
    elif profile:
        if flat.mode not in {"L", "RGB", "CMYK"}:
            flat = flat.convert("RGB")
        flat = converted(flat, profile, name)
    return np.array(flat if flat.mode == "RGB" else flat.convert("RGB")), valid


def has_opacity(image: Image.Image) -> bool:
    """Return whether an image has an alpha channel, or a colour that is transparent."""
    return image.mode in ALPHA_MODES or "transparency" in image.info


def is_lossy(form: str, content: bytes) -> bool:
    """Return whether a file's compression changes values, as JPEG does.

    Args:
        form: Pillow's name of the format.
        content: of the file, or its beginning.
    """
    if form in LOSSY_FORMATS:
        return True
    start = content[:PREFIX_BYTES]
    if form == "WEBP":
        return b"VP8 " in start
    if form != "JPEG2000":
        return False
    coding = start.find(b"\xff\x52")  # the coding style; its last fixed byte is the wavelet
    return coding < 0 or start[coding + 13 : coding + 14] == b"\0"


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; an image with damaged EXIF stays unchanged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - Pillow's EXIF reader fails in many ways, and pixels are fine
        return image


def image_in_memory(image: Image.Image | NDArray[Any]) -> StoredImage:
    """Return an image in memory as a file with the same content is read.

    Args:
        image: Pillow image of any mode, whose EXIF orientation is applied; or numbers of any type,
            shape (height, width), (height, width, 1) or (height, width, 3).

    Raises:
        UserError: an array has another shape, is empty, or holds something else than numbers.

    Example:
        >>> image_in_memory(np.full((2, 4), 51241, np.uint16)).values.shape
        (2, 4, 1)
    """
    name = "image"
    if isinstance(image, Image.Image):
        image = upright(image)
        if not (image.mode in {"I", "F"} or image.mode.startswith("I;16")):
            profile = image.info.get("icc_profile") or b""
            return StoredImage(name, *shown_as_rgb(image, profile, name))
        image = np.asarray(image)
    values = image[:, :, None] if image.ndim == 2 else image
    bands = values.shape[2] if values.ndim == 3 else 0
    if bands not in {1, 3} or 0 in values.shape or values.dtype.kind not in "uif":
        raise UserError(
            f"{image.dtype} array of shape {image.shape}: an image must contain numbers and have"
            " the shape (height, width) or (height, width, 3)"
        )
    return StoredImage(name, values)


def stored_values(image: Image.Image) -> NDArray[np.generic]:
    """Return the stored numbers of a grey image, upright, NaN where a GeoTIFF has no data."""
    values = _numbers(image)
    missing = _declared_missing(values, getattr(image, "tag_v2", {}).get(NO_DATA_TAG))
    return values if missing is None else np.where(missing, np.nan, values)


def _numbers(image: Image.Image) -> NDArray[np.generic]:
    """Return the stored numbers of a grey image, upright.

    Pillow reads unsigned 32-bit and signed 8-bit TIFFs with the other sign; that is undone.
    """
    values: NDArray[np.generic] = np.array(upright(image))
    sample_format = int(_first(getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, UNSIGNED)))
    if values.dtype == np.int32 and sample_format == UNSIGNED:
        return values.view(np.uint32)
    if values.dtype == np.uint8 and sample_format == SIGNED:
        return values.view(np.int8)
    return values


def _declared_missing(values: NDArray[Any], declared: object) -> NDArray[np.bool_] | None:
    """Return where values equal a TIFF's 'no data'; ``None`` if it declares none, or none do."""
    try:
        no_data = float(str("" if declared is None else declared).strip("\0 "))
    except ValueError:
        return None
    # Equal numbers differ at most by rounding to float32.
    missing = np.isclose(values, no_data, rtol=1e-7, atol=0, equal_nan=True)
    return missing if missing.any() else None


def _first(value: Any) -> Any:
    """Return the first of several values of a tag, or the only one."""
    return value[0] if isinstance(value, tuple) and value else value
