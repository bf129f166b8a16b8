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
from segdistill.export.format import ExportFormat, check_distinct, link_or_copy_image
from segdistill.export.masks import MaskFile
from segdistill.files import atomic_path, write_text_atomically
from segdistill.images.palette import VOID, Colour, css_colour, voc_colours
from segdistill.labels.class_names import is_one_line
from segdistill.model.description import SegmentClass

BACKGROUND: Colour = (0, 0, 0)
VOID_COLOUR: Colour = (224, 224, 192)
LABEL_MAP = "labelmap.txt"
MASKS = "SegmentationClass"
INSTANCES = "SegmentationObject"
IMAGES = "JPEGImages"
LISTS = "ImageSets/Segmentation"
MAX_CLASSES = VOID - 1
"""VOC reserves index 0 for the background and 255 for ignored pixels."""


class Voc(ExportFormat):
    """A folder of palette PNGs; the list of images is written last."""

    supported_options = frozenset({"copy_images"})
    images_folder = IMAGES

    @property
    def sidecar(self) -> Path:
        """The label map."""
        return self.path / LABEL_MAP

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Check the classes; write the label map and the list of images."""
        labels = label_map(self.classes, with_void=True)
        self.palette = _palette([BACKGROUND, *(each.colour for each in self.classes)])
        self.palette[VOID] = VOID_COLOUR
        self.names: list[str] = []
        yield
        write_text_atomically(self.sidecar, labels)
        write_text_atomically(self.path / LISTS / "trainval.txt", _lines(self.names))

    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> tuple[MaskFile, bytes]:
        """Return the mask with VOC indices as a palette PNG."""
        _check_one_line(file)
        picture = Image.fromarray(np.where(mask == VOID, mask, mask + np.uint8(1)))
        picture.putpalette(self.palette.ravel().tolist())
        return file, _png(picture)

    def add(self, converted: tuple[MaskFile, bytes]) -> None:
        """Write the mask, and link or copy the image."""
        file, content = converted
        with atomic_path(self.path / MASKS / f"{file.stem}.png") as temporary:
            temporary.write_bytes(content)
        link_or_copy_image(file, self.path / IMAGES / file.stem, copy=self.options.copy_images)
        self.names.append(file.stem)


class Cvat(ExportFormat):
    """A zip file of RGB PNGs; the labels of the CVAT task are written next to it."""

    supported_options = frozenset()
    suffixes = (".zip",)

    @property
    def sidecar(self) -> Path:
        """The labels as JSON, to paste into CVAT's raw constructor when creating a task."""
        return self.path.with_suffix(".labels.json")

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Check the classes; write the label map, the list of images and the labels."""
        label_text = label_map(self.classes)
        # RGB, since readers disagree on whether to use the palette of an indexed PNG.
        self.colours = {
            MASKS: _palette([each.colour for each in self.classes]),
            # One instance per class.
            INSTANCES: _palette(voc_colours(len(self.classes) + 1)[1:]),
        }
        self.names: list[str] = []
        with atomic_path(self.path) as temporary:
            # PNGs are already compressed.
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as self.archive:
                self._write(LABEL_MAP, label_text)
                yield
                self._write(f"{LISTS}/default.txt", _lines(self.names))
            labels = [
                {"name": each.name, "color": css_colour(each.colour), "attributes": []}
                for each in self.classes
            ]
            write_text_atomically(self.sidecar, json.dumps(labels, indent=2) + "\n")

    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> tuple[str, dict[str, bytes]]:
        """Return class and instance masks as RGB PNGs."""
        _check_one_line(file)
        return file.stem, {
            folder: _png(Image.fromarray(colours[mask])) for folder, colours in self.colours.items()
        }

    def add(self, converted: tuple[str, dict[str, bytes]]) -> None:
        """Write both masks."""
        name, pictures = converted
        for folder, content in pictures.items():
            self._write(f"{folder}/{name}.png", content)
        self.names.append(name)

    def _write(self, name: str, content: str | bytes) -> None:
        # A ZipInfo has a fixed date, so equal exports are equal files.
        self.archive.writestr(zipfile.ZipInfo(name), content)


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
    return _lines(["# label:color_rgb:parts:actions", *lines])


def _check_class(each: SegmentClass) -> None:
    unsupported = f"class {each.index}: this format does not support the name {each.name!r}; choose"
    if ":" in each.name or each.name.startswith("#") or not each.name.isprintable():
        raise UserError(f"{unsupported} one without ':' or a leading '#'")
    if each.name.strip() != each.name or each.name in {"", "background", "ignored"}:
        raise UserError(f"{unsupported} another one")
    if each.colour in {BACKGROUND, VOID_COLOUR}:
        raise UserError(
            f"class {each.index}: this format reserves the colour {css_colour(each.colour)};"
            " choose another one"
        )


def _palette(colours: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """Return colours, and black for all other indices, shape (256, 3)."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colours)] = colours
    return palette


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def _check_one_line(file: MaskFile) -> None:
    """Check that a name fits into the list of images, which has one a line.

    Raises:
        UserError: the name contains a line break or another control character.
    """
    if not is_one_line(file.stem):
        raise UserError(
            f"{file.path}: the name contains a line break or another control character; rename the"
            " image and segment it again"
        )


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
