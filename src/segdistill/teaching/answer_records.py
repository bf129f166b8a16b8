"""Reading answers record by record: what is about other images is skipped, errors say where."""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from segdistill.errors import UserError
from segdistill.teaching.answers import Answer, Region, Stroke, TaughtClass, checked_name
from segdistill.teaching.session import TaughtImage


class SkippedRecordError(Exception):
    """A record that is fine but says nothing about the images; the text says why."""


class Reading:
    """What has been read from a file of answers.

    Args:
        path: the file, for errors.

    Attributes:
        answers: the answers, in the order of the file.
        classes: classes in colours of their own, if the file has any.
        skipped: records that are about none of the images, and why.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.answers: list[Answer] = []
        self.classes: tuple[TaughtClass, ...] = ()
        self.skipped: list[str] = []

    @contextlib.contextmanager
    def record(self, where: str) -> Iterator[None]:
        """Read a record in the block.

        Args:
            where: which it is, such as ``line 3``.

        Raises:
            UserError: the record is malformed; the message names the file and the record.
        """
        try:
            yield
        except SkippedRecordError as reason:
            self.skipped.append(f"{where}: {reason}")
        except RecordError:
            raise
        except UserError as error:
            raise RecordError(f"{self.path}: {where}: {error}") from error


class RecordError(UserError):
    """A malformed record; the message names the file and the record."""


class KnownImages:
    """Finds images by the names that other tools gave them.

    Args:
        images: the images.

    Example:
        >>> known = KnownImages([TaughtImage("day/a.jpg", 4, 3, "")])
        >>> known.find("https://example.org/photos/a.jpg").name
        'day/a.jpg'
    """

    def __init__(self, images: Sequence[TaughtImage]) -> None:
        self._indices: list[tuple[Callable[[str], str], dict[str, list[TaughtImage]]]] = []
        for key in (_same, _plain_path, _base_name, _stored_stem):
            index: dict[str, list[TaughtImage]] = {}
            for image in images:
                index.setdefault(key(image.name), []).append(image)
            self._indices.append((key, index))

    def find(self, *names: str) -> TaughtImage:
        """Return the image of a name: the whole name, or if only one fits, its last part.

        Args:
            names: names that the image may have, the likeliest first.

        Raises:
            SkippedRecordError: there is none, or several fit.
        """
        for key, index in self._indices:
            for name in names:
                found = _nearest(name, index.get(key(name), []))
                if len(found) > 1:
                    raise SkippedRecordError(
                        f"{name} may be {found[0].name} or {found[1].name}; write the folder, too"
                    )
                if found:
                    return found[0]
        raise SkippedRecordError(f"{names[0]} is not among the images")


def check_shape(image: TaughtImage, width: float, height: float) -> None:
    """Check that a record's size of an image has the proportions of the image.

    Raises:
        SkippedRecordError: it has not; tools that ignore the orientation in a photo's metadata show
            it lying on its side.
    """
    wide, high = width * image.height, height * image.width
    if abs(wide - high) > max(image.width, image.height) * max(1.0, 0.01 * min(width, height)):
        raise SkippedRecordError(
            f"{image.name} is {image.width} x {image.height} pixels, but {width:g} x {height:g} in"
            " the file; perhaps its orientation was ignored there"
        )


def named_answer(
    image: TaughtImage, place: Region | Stroke, name: str, *, time: str = ""
) -> Answer:
    """Return the answer that a place in an image is a class.

    Raises:
        UserError: the class name is empty, too long or not printable, or a point lies outside.
    """
    stroke = place if isinstance(place, Stroke) else None
    if stroke is not None:
        check_points(image.name, image.width, image.height, stroke.points)
    return Answer(
        *(image.name, image.width, image.height, time),
        region=place if isinstance(place, Region) else None,
        stroke=stroke,
        name=checked_name(name, []),
        digest=image.digest,
    )


def check_points(name: str, width: int, height: int, points: Sequence[tuple[float, float]]) -> None:
    """Check that points lie in an image.

    Raises:
        UserError: one does not.
    """
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(
                f"({x:g}, {y:g}) lies outside {name}, which is {width} x {height} pixels; count"
                " pixels from 0 at the top left corner"
            )


def _same(name: str) -> str:
    return name


def _plain_path(name: str) -> str:
    return re.sub(r"^(\./|/)+", "", name.strip().replace("\\", "/"))


def _base_name(name: str) -> str:
    return _plain_path(name).rpartition("/")[2]


def _stored_stem(name: str) -> str:
    """Return a base name as upload forms store it, without its suffix: masks have another one."""
    stem = PurePosixPath(_base_name(name)).stem
    return re.sub(r"[^-\w.]", "", stem.replace(" ", "_"))


def _nearest(name: str, found: list[TaughtImage]) -> list[TaughtImage]:
    """Return the images whose folders fit a name best."""
    plain = _plain_path(name)
    within = [each for each in found if f"/{plain}".endswith(f"/{each.name}")]
    if within:
        return [max(within, key=lambda each: len(each.name))]
    return [each for each in found if each.name.endswith(f"/{plain}")] or found
