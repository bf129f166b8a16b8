"""Pictures of the Teach tab: images with masks, regions and what was drawn."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from segdistill.api.teacher import Teacher
from segdistill.app.outline import line_path, outline_path
from segdistill.app.pictures import MissingPicture
from segdistill.app.teaching_requests import revision_of_answers
from segdistill.decoding.decode import UnreadableImageError
from segdistill.decoding.pictures import Picture
from segdistill.files import Stamp, stamp_of
from segdistill.images.folder import ImageFile
from segdistill.images.palette import css_colour
from segdistill.images.resize import resize_image
from segdistill.inference.samples import reduced_size, without_class
from segdistill.refinement.upsampling import cleaned_mask
from segdistill.report.data_uri import image_uri, mask_uri
from segdistill.teaching.answers import Answer
from segdistill.teaching.cells import Cells
from segdistill.teaching.taught_model import DETAIL

LARGE_SIDE, SMALL_SIDE = 960, 400
KEPT_LARGE, KEPT_SMALL, KEPT_MASKS = 24, 96, 64

MARGIN = 0.35
"""Space around a region in a crop, as a share of the region's longer side."""

SMALLEST_CROP = 0.22
"""Sides of a crop at least, as a share of the image's."""


@dataclass(frozen=True)
class Mark:
    """A line over an image.

    Attributes:
        path: path of SVG, in pixels of the original image.
        colour: CSS colour.
    """

    path: str
    colour: str


@dataclass(frozen=True)
class ShownImage:
    """An image that can be drawn on.

    Attributes:
        name: name of the image.
        photo: URL of the image.
        mask: URL of the coloured mask; empty if nothing has been taught.
        width: width of the original image, in pixels.
        height: height of it.
        marks: what was drawn on it.
        outline: path of the region that is asked about; empty if none.
    """

    name: str
    photo: str
    mask: str
    width: int
    height: int
    marks: list[Mark] = field(default_factory=list)
    outline: str = ""


@dataclass(frozen=True)
class Crop:
    """A part of an image with a region or a stroke in it.

    Attributes:
        name: name of the image.
        photo: URL of the part.
        box: left, top, width and height in pixels of the original image.
        outline: path of the region in the same pixels; empty if none.
        mark: path of a stroke; empty if none.
    """

    name: str
    photo: str
    box: tuple[int, int, int, int]
    outline: str = ""
    mark: str = ""


class TeachingPictures:
    """Makes the pictures of a teacher's images, and keeps the latest.

    Args:
        teacher: gives images and masks; it must not be used by another thread at the same time.
    """

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._large = lru_cache(KEPT_LARGE)(self._reduced)
        self._small = lru_cache(KEPT_SMALL)(self._reduced)
        self._uris = lru_cache(KEPT_SMALL)(self._uri)
        self._masks = lru_cache(KEPT_MASKS)(self._mask)

    def asked(self, image: int, region: Cells) -> ShownImage | MissingPicture:
        """Return an image at large size, with a region outlined and without a mask.

        Args:
            image: index of the image.
            region: cells of the region.
        """
        outline = self._outline(image, self.inside(image, region))
        return self._shown(image, LARGE_SIDE, lambda: "", outline)

    def taught(self, image: int) -> ShownImage | MissingPicture:
        """Return an image at small size with its current mask."""
        session = self._teacher.session
        if not session.is_taught:
            return self._shown(image, SMALL_SIDE, lambda: "")
        revision = revision_of_answers(session.answers)
        return self._shown(image, SMALL_SIDE, lambda: self._masks(image, revision))

    def _shown(
        self, image: int, side: int, mask: Callable[[], str], outline: str = ""
    ) -> ShownImage | MissingPicture:
        known = self._teacher.session.images[image]
        try:
            photo, overlay = self._uris(*self._key(image), side), mask()
        except UnreadableImageError as error:
            return MissingPicture(image, known.name, str(error))
        return ShownImage(
            known.name,
            photo,
            overlay,
            known.width,
            known.height,
            self._marks(known.name),
            outline,
        )

    def crop(self, image: int, region: NDArray[np.bool_]) -> Crop | None:
        """Return the part of an image around a region; ``None`` if the image cannot be read.

        Args:
            image: index of the image.
            region: which cells of a grid that covers the image are in the region.
        """
        known = self._teacher.session.images[image]
        rows, columns = np.nonzero(region)
        down, right = known.height / region.shape[0], known.width / region.shape[1]
        box = _window(
            (columns.min() * right, rows.min() * down),
            ((columns.max() + 1) * right, (rows.max() + 1) * down),
            (known.width, known.height),
        )
        photo = self._part(image, box)
        return Crop(known.name, photo, box, outline=self._outline(image, region)) if photo else None

    def crop_of(self, answer: Answer) -> Crop | None:
        """Return the part of the image that an answer is about; ``None`` if it cannot be shown."""
        names = [each.name for each in self._teacher.session.images]
        if answer.image not in names:
            return None
        image = names.index(answer.image)
        if answer.region is not None:
            return self.crop(image, answer.region.inside)
        if answer.stroke is None:  # pragma: no cover - an answer has either
            raise AssertionError
        known = self._teacher.session.images[image]
        points = _in_image(answer, (known.width, known.height))
        (left, top), (right, bottom) = np.min(points, axis=0), np.max(points, axis=0)
        box = _window((left, top), (right, bottom), (known.width, known.height))
        photo = self._part(image, box)
        return Crop(known.name, photo, box, mark=line_path(points)) if photo else None

    def read_ahead(self, image: int) -> None:
        """Read an image that will be shown at large size; this may be done in another thread."""
        with suppress(UnreadableImageError):  # told when it is shown
            self._large(*self._key(image), LARGE_SIDE)

    def inside(self, image: int, cells: Cells) -> NDArray[np.bool_]:
        """Return which cells of an image's grid are given, shape (height, width)."""
        pool = self._teacher.session.pool
        found = np.zeros(pool.grids[image], np.bool_)
        found.flat[cells - pool.starts[image]] = True
        return found

    def _outline(self, image: int, region: NDArray[np.bool_]) -> str:
        known = self._teacher.session.images[image]
        return outline_path(region, (known.height, known.width))

    def _marks(self, name: str) -> list[Mark]:
        session = self._teacher.session
        known = next(each for each in session.images if each.name == name)
        colours = {each.name: css_colour(each.colour) for each in session.answers.classes}
        return [
            Mark(line_path(_in_image(answer, (known.width, known.height))), colours[answer.name])
            for answer in session.answers.answers
            if answer.image == name and answer.stroke is not None and answer.verdict == "class"
        ]

    def _part(self, image: int, box: tuple[int, int, int, int]) -> str:
        """Return the URL of a part of an image; empty if it cannot be read."""
        known = self._teacher.session.images[image]
        try:
            photo = self._large(*self._key(image), LARGE_SIDE).displayed
        except UnreadableImageError:
            return ""
        left, top, width, height = np.array(box) * (photo.shape[1] / known.width)
        rows = slice(int(top), max(int(top) + 1, round(top + height)))
        columns = slice(int(left), max(int(left) + 1, round(left + width)))
        return image_uri(photo[rows, columns])

    def _key(self, image: int) -> tuple[ImageFile, Stamp]:
        file = self._teacher.files[image]
        return file, stamp_of(file.path)

    def _reduced(self, file: ImageFile, _stamp: Stamp, side: int) -> Picture:
        picture = self._teacher.segmenter.read_picture(file.path, file.ignore)
        shown = picture.displayed
        size = reduced_size(shown.shape[0], shown.shape[1], side)
        return Picture(resize_image(shown, size), picture.valid)

    def _uri(self, file: ImageFile, stamp: Stamp, side: int) -> str:
        kept = self._large if side == LARGE_SIDE else self._small
        return image_uri(kept(file, stamp, side).displayed)

    def _mask(self, image: int, _revision: str) -> str:
        picture = self._small(*self._key(image), SMALL_SIDE)
        mask = cleaned_mask(self._teacher.scores(image), picture.displayed, detail=DETAIL)
        return mask_uri(without_class(mask, picture.valid), self._teacher.session.classes)


def _in_image(answer: Answer, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Return the points of a stroke in an image that may have another size than when drawn."""
    points = () if answer.stroke is None else answer.stroke.points
    return [(x * size[0] / answer.width, y * size[1] / answer.height) for x, y in points]


def _window(
    low: tuple[float, float], high: tuple[float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a box with some space around a place in an image."""
    space = MARGIN * max(high[0] - low[0], high[1] - low[1])
    starts, sides = [], []
    for axis in range(2):
        side = max(high[axis] - low[axis] + 2 * space, SMALLEST_CROP * min(size))
        side = max(1, round(min(side, size[axis])))
        start = round((low[axis] + high[axis] - side) / 2)
        starts.append(min(max(start, 0), size[axis] - side))
        sides.append(side)
    return starts[0], starts[1], sides[0], sides[1]
