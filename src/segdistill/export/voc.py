"""PASCAL VOC's folders of masks, and CVAT's 'Segmentation mask 1.1', which is a zip of them."""

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
from segdistill.export.classes import check_distinct, hexadecimal
from segdistill.export.masks import MaskFile
from segdistill.export.writing import ReadMask, Target, Writer, place_image
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
MOST_CLASSES = VOID - 1
"""VOC's numbers 0 and 255 are for the background and for pixels that count for nothing."""


def label_map(classes: Sequence[SegmentClass], *, with_void: bool = False) -> str:
    """Return names and colours as datumaro and CVAT read them.

    Args:
        classes: in the order of their numbers, which begin at 1.
        with_void: also name the colour of pixels that count for nothing.

    Raises:
        UserError: a class cannot be held, or two are alike.

    Example:
        >>> print(label_map([SegmentClass(0, "road", (128, 64, 128))]), end="")
        # label:color_rgb:parts:actions
        background:0,0,0::
        road:128,64,128::
    """
    if len(classes) > MOST_CLASSES:
        raise UserError(f"{len(classes)} classes: this format holds at most {MOST_CLASSES}")
    check_distinct(classes, colours=True)
    for each in classes:
        _check_class(each)
    rows = [("background", BACKGROUND), *((each.name, each.colour) for each in classes)]
    if with_void:
        rows.append(("ignored", VOID_COLOUR))
    lines = [f"{name}:{','.join(map(str, colour))}::" for name, colour in rows]
    return "".join(f"{line}\n" for line in ["# label:color_rgb:parts:actions", *lines])


def instance_colours() -> NDArray[np.uint8]:
    """Return VOC's colours of instances, shape (256, 3).

    The bits of a number, three at a time from the lowest, become the bits of red, green and blue
    from the highest down.

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
    """Yield a writer of a folder; the list of its images is written last.

    Raises:
        UserError: the classes cannot be held.
    """
    labels = label_map(target.classes, with_void=True)
    writer = _VocWriter(target)
    yield writer
    write_text_atomically(target.path / LABEL_MAP, labels)
    write_text_atomically(target.path / VOC_LIST, "".join(f"{name}\n" for name in writer.names))


@contextlib.contextmanager
def open_cvat(target: Target) -> Iterator[Writer]:
    """Yield a writer of a zip file; the labels for CVAT's task are written beside it.

    Raises:
        UserError: the classes cannot be held.
    """
    labels = label_map(target.classes)
    with atomic_path(target.path) as temporary:
        # Pictures are compressed already.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(LABEL_MAP), labels)
            writer = _CvatWriter(target, archive)
            yield writer
            names = "".join(f"{name}\n" for name in writer.names)
            archive.writestr(zipfile.ZipInfo(CVAT_LIST), names)
        write_text_atomically(task_labels_path(target), task_labels(target.classes))


def task_labels_path(target: Target) -> Path:
    """Return where the labels for CVAT's task go."""
    return target.path.with_suffix(".labels.json")


def task_labels(classes: Sequence[SegmentClass]) -> str:
    """Return the labels to paste into CVAT's raw constructor when a task is made, as JSON."""
    rows = [{"name": each.name, "color": hexadecimal(each.colour)} for each in classes]
    return json.dumps([{**row, "attributes": []} for row in rows], indent=2) + "\n"


def _check_class(each: SegmentClass) -> None:
    if ":" in each.name or each.name.startswith("#") or not each.name.isprintable():
        raise UserError(
            f"class {each.index}: this format cannot hold the name {each.name!r}; give it one"
            " without ':' and a leading '#'"
        )
    if each.name.strip() != each.name or each.name in {"", "background", "ignored"}:
        raise UserError(
            f"class {each.index}: this format cannot hold the name {each.name!r}; give it another"
        )
    if each.colour in {BACKGROUND, VOID_COLOUR}:
        raise UserError(
            f"class {each.index}: this format keeps the colour {hexadecimal(each.colour)} for"
            " itself; give it another"
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

    def convert(self, mask: ReadMask) -> tuple[MaskFile, bytes]:
        """Return the mask in VOC's numbers, as palette PNG."""
        picture = Image.fromarray(self.numbers[mask.pixels])
        picture.putpalette(self.palette.ravel().tolist())
        return mask.file, _png(picture)

    def add(self, converted: tuple[MaskFile, bytes]) -> None:
        """Write the mask, and put the image into its folder."""
        file, content = converted
        with atomic_path(self.target.path / MASKS / f"{file.stem}.png") as temporary:
            temporary.write_bytes(content)
        if file.image is not None:
            path = self.target.path / IMAGES / f"{file.stem}{file.image.path.suffix}"
            place_image(file.image, path, copy=self.target.options.copy_images)
        self.names.append(file.stem)


class _CvatWriter(Writer):
    def __init__(self, target: Target, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.names: list[str] = []
        count = len(target.classes)
        # In true colours: of masks with a palette, readers disagree on whether it counts.
        self.colours = np.zeros((256, 3), np.uint8)
        self.colours[:count] = [each.colour for each in target.classes]
        self.instances = np.zeros((256, 3), np.uint8)
        self.instances[:count] = instance_colours()[1 : count + 1]

    def convert(self, mask: ReadMask) -> tuple[str, bytes, bytes]:
        """Return the mask in the colours of classes and of instances, one a class, as PNG."""
        classes = _png(Image.fromarray(self.colours[mask.pixels]))
        instances = _png(Image.fromarray(self.instances[mask.pixels]))
        return mask.file.stem, classes, instances

    def add(self, converted: tuple[str, bytes, bytes]) -> None:
        """Write both."""
        name, *pictures = converted
        for folder, content in zip((MASKS, INSTANCES), pictures, strict=True):
            self.archive.writestr(zipfile.ZipInfo(f"{folder}/{name}.png"), content)
        self.names.append(name)


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()
