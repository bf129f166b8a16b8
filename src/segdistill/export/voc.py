"""PASCAL VOC mask folders, and CVAT's 'Segmentation mask 1.1', a zip file of them."""

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.errors import UserError
from segdistill.export.classes import check_distinct, css_hex
from segdistill.export.masks import MaskFile
from segdistill.export.writing import LoadedMask, Target, Writer, link_or_copy_image
from segdistill.files import atomic_path, write_text_atomically
from segdistill.images.labels import VOID, Colour
from segdistill.model.description import SegmentClass

BACKGROUND: Colour = (0, 0, 0)
VOID_COLOUR: Colour = (224, 224, 192)
LABEL_MAP = "labelmap.txt"
MASKS = "SegmentationClass"
INSTANCES = "SegmentationObject"
IMAGES = "JPEGImages"
VOC_LIST = "ImageSets/Segmentation/trainval.txt"
CVAT_LIST = "ImageSets/Segmentation/default.txt"
MAX_CLASSES = VOID - 1
"""VOC reserves index 0 for the background and 255 for ignored pixels."""


def label_map(classes: Sequence[SegmentClass], *, with_void: bool = False) -> str:
    """Return a label map in the format of Datumaro and CVAT.

    Args:
        classes: classes in the order of their indices, which start at 1.
        with_void: include the colour of ignored pixels.

    Raises:
        UserError: there are too many classes, or a name or colour is invalid or not unique.

    Example:
        >>> print(label_map([SegmentClass(0, "road", (128, 64, 128))]), end="")
        # label:color_rgb:parts:actions
        background:0,0,0::
        road:128,64,128::
    """
    if len(classes) > MAX_CLASSES:
        raise UserError(f"{len(classes)} classes: this format supports at most {MAX_CLASSES}")
    check_distinct(classes, colours=True)
    for each in classes:
        _check_class(each)
    rows = [("background", BACKGROUND), *((each.name, each.colour) for each in classes)]
    if with_void:
        rows.append(("ignored", VOID_COLOUR))
    lines = [f"{name}:{','.join(map(str, colour))}::" for name, colour in rows]
    return "".join(f"{line}\n" for line in ["# label:color_rgb:parts:actions", *lines])


def instance_colours() -> NDArray[np.uint8]:
    """Return the VOC instance palette, shape (256, 3).

    The bits of an index, three at a time from the lowest, are the bits of red, green and blue from
    the highest.

    Example:
        >>> instance_colours()[[0, 1, 2, 8]].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [64, 0, 0]]
    """
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        channel, height = bit % 3, 7 - bit // 3
        colours[:, channel] |= ((numbers >> bit) & 1) << height
    return colours.astype(np.uint8)


@contextlib.contextmanager
def open_voc(target: Target) -> Iterator[Writer]:
    """Yield a writer of a folder; the list of images is written last.

    Raises:
        UserError: the format does not support the classes.
    """
    labels = label_map(target.classes, with_void=True)
    writer = _VocWriter(target)
    yield writer
    write_text_atomically(target.path / LABEL_MAP, labels)
    write_text_atomically(target.path / VOC_LIST, "".join(f"{name}\n" for name in writer.names))


@contextlib.contextmanager
def open_cvat(target: Target) -> Iterator[Writer]:
    """Yield a writer of a zip file; the labels of the CVAT task are written next to it.

    Raises:
        UserError: the format does not support the classes.
    """
    labels = label_map(target.classes)
    with atomic_path(target.path) as temporary:
        # PNGs are already compressed.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(LABEL_MAP), labels)
            writer = _CvatWriter(target, archive)
            yield writer
            names = "".join(f"{name}\n" for name in writer.names)
            archive.writestr(zipfile.ZipInfo(CVAT_LIST), names)
        write_text_atomically(task_labels_path(target), task_labels(target.classes))


def task_labels_path(target: Target) -> Path:
    """Return the path of the labels for a CVAT task."""
    return target.path.with_suffix(".labels.json")


def task_labels(classes: Sequence[SegmentClass]) -> str:
    """Return the labels as JSON, to paste into CVAT's raw constructor when creating a task."""
    rows = [{"name": each.name, "color": css_hex(each.colour)} for each in classes]
    return json.dumps([{**row, "attributes": []} for row in rows], indent=2) + "\n"


def _check_class(each: SegmentClass) -> None:
    if ":" in each.name or each.name.startswith("#") or not each.name.isprintable():
        raise UserError(
            f"class {each.index}: this format does not support the name {each.name!r}; choose one"
            " without ':' or a leading '#'"
        )
    if each.name.strip() != each.name or each.name in {"", "background", "ignored"}:
        raise UserError(
            f"class {each.index}: this format does not support the name {each.name!r}; choose"
            " another one"
        )
    if each.colour in {BACKGROUND, VOID_COLOUR}:
        raise UserError(
            f"class {each.index}: this format reserves the colour {css_hex(each.colour)};"
            " choose another one"
        )


class _VocWriter(Writer):
    def __init__(self, target: Target) -> None:
        self.target = target
        self.names: list[str] = []
        self.numbers = np.full(256, VOID, np.uint8)
        self.numbers[: len(target.classes)] = np.arange(len(target.classes)) + 1
        palette = np.zeros((256, 3), np.uint8)
        palette[1 : len(target.classes) + 1] = [each.colour for each in target.classes]
        palette[VOID] = VOID_COLOUR
        self.palette = palette

    def convert(self, mask: LoadedMask) -> tuple[MaskFile, bytes]:
        """Return the mask with VOC indices as a palette PNG."""
        picture = Image.fromarray(self.numbers[mask.pixels])
        picture.putpalette(self.palette.ravel().tolist())
        return mask.file, _png(picture)

    def add(self, converted: tuple[MaskFile, bytes]) -> None:
        """Write the mask, and link or copy the image."""
        file, content = converted
        with atomic_path(self.target.path / MASKS / f"{file.stem}.png") as temporary:
            temporary.write_bytes(content)
        if file.image is not None:
            path = self.target.path / IMAGES / f"{file.stem}{file.image.path.suffix}"
            link_or_copy_image(file.image, path, copy=self.target.options.copy_images)
        self.names.append(file.stem)


class _CvatWriter(Writer):
    def __init__(self, target: Target, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.names: list[str] = []
        count = len(target.classes)
        # RGB, since readers disagree on whether to use the palette of an indexed PNG.
        self.colours = np.zeros((256, 3), np.uint8)
        self.colours[:count] = [each.colour for each in target.classes]
        self.instances = np.zeros((256, 3), np.uint8)
        self.instances[:count] = instance_colours()[1 : count + 1]

    def convert(self, mask: LoadedMask) -> tuple[str, bytes, bytes]:
        """Return class and instance masks as RGB PNGs, with one instance per class."""
        classes = _png(Image.fromarray(self.colours[mask.pixels]))
        instances = _png(Image.fromarray(self.instances[mask.pixels]))
        return mask.file.stem, classes, instances

    def add(self, converted: tuple[str, bytes, bytes]) -> None:
        """Write both masks."""
        name, *pictures = converted
        for folder, content in zip((MASKS, INSTANCES), pictures, strict=True):
            self.archive.writestr(zipfile.ZipInfo(f"{folder}/{name}.png"), content)
        self.names.append(name)


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()
