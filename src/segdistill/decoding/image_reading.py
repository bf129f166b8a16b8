"""How stored numbers become 8-bit colours: settings that are chosen once and stored with a run."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from segdistill.decoding.scaling import Projection, Ranges
from segdistill.errors import UserError

ALL_BANDS = "all"
MOST_BANDS = 65_535
"""Largest number of bands of a TIFF."""

VERSION = 3
"""Increase this whenever the same settings give different pixels."""

NEUTRAL = (124, 116, 104)
"""Colour of pixels that mean nothing: ImageNet's mean, which is 0 for most backbones."""

BLACK = (0, 0, 0)


@dataclass(frozen=True)
class ImageReading:
    """How images become 8-bit red, green and blue.

    Images of 8 bits are used as they are; the value ranges are for those of more bits, in whatever
    file: one range for all images, so that the same number is the same grey in all of them.

    Attributes:
        bands: numbers, from 1, of one band (grey) or three (red, green and blue) of GeoTIFFs. By
            default, unless there is a projection, the bands that the file marks as red, green and
            blue.
        ranges: the values of each band that map to 0 and 255: one entry for images of one band,
            one for those of three (or of as many as are projected), as far as there are such
            images. Without one, each image has a range of its own.
        projection: projection of all bands of GeoTIFFs onto three.
        border: largest share of an image that is a constant border (a frame, the corners of a
            fisheye lens) in the training images; 0 if none has one.
        older: read images as versions before value ranges of runs did; for runs of those.

    Example:
        >>> ImageReading.chosen("4,3,2").bands
        (4, 3, 2)
    """

    bands: tuple[int, ...] = ()
    ranges: tuple[Ranges, ...] = ()
    projection: Projection | None = None
    border: float = 0.0
    older: bool = False

    def __post_init__(self) -> None:
        """Check every number, since readings come from files, too.

        Raises:
            ValueError: a number is out of range.
        """
        if not all(0 < each <= MOST_BANDS for each in self.bands):
            raise ValueError("bands: not numbers from 1")
        for low, high in chain.from_iterable(self.ranges):
            if not -math.inf < low <= high < math.inf:
                raise ValueError(f"value range {low:g},{high:g}: not two numbers in order")
        if not 0 <= self.border <= 1:
            raise ValueError(f"border {self.border:g}: not from 0 to 1")

    @classmethod
    def chosen(cls, bands: str | None, value_range: str | None = None) -> "ImageReading":
        """Return the reading for values of ``--bands`` and ``--value-range``.

        Args:
            bands: three band numbers, one, or ``all``, which sets no bands here.
            value_range: the values that become black and white, such as ``-1024,3071``.

        Raises:
            UserError: a value is malformed.

        Example:
            >>> ImageReading.chosen(None, "-1024,3071").ranges[0]
            ((-1024.0, 3071.0),)
        """
        ranges = () if value_range is None else _both_ranges(value_range)
        if bands is None or bands.strip() == ALL_BANDS:
            return cls(ranges=ranges)
        parts = [part.strip() for part in bands.split(",")]
        if len(parts) not in {1, 3} or not all(
            part.isdecimal() and 0 < int(part) <= MOST_BANDS for part in parts
        ):
            raise UserError(
                f"--bands {bands}: must be three band numbers from 1, such as 4,3,2, or one for"
                f" grey, or {ALL_BANDS}"
            )
        return cls(tuple(map(int, parts)), ranges)

    @classmethod
    def of_older_run(cls, raster: Mapping[str, Any] | None) -> "ImageReading":
        """Return the reading of a run that kept one for GeoTIFFs only, or none.

        Raises:
            KeyError: a value is missing.
            TypeError: a value has the wrong type.
            ValueError: a value is invalid.
        """
        if raster is None:
            return cls(older=True)
        ranges = tuple((float(low), float(high)) for low, high in raster["ranges"])
        plain = {**raster, "ranges": (ranges,) if ranges else (), "older": True}
        return cls.from_plain(plain)

    def with_options(self, bands: str | None, value_range: str | None) -> "ImageReading":
        """Return this reading of a run with the options of a command that uses the run.

        Raises:
            UserError: an option is malformed, or the run has a value range of its own.
        """
        chosen = ImageReading.chosen(bands, value_range)
        if value_range is not None and self.ranges:
            low, high = self.ranges[0][0]
            raise UserError(
                f"--value-range {value_range}: the run has its own range ({low:g},{high:g}), with"
                " which its classes were learned; omit the option, or fit again with it"
            )
        if chosen.bands and chosen.bands != self.bands:
            return replace(chosen, border=self.border, older=self.older)
        return replace(self, ranges=self.ranges or chosen.ranges)

    def ranges_for(self, bands: int) -> Ranges | None:
        """Return the value ranges for images of so many bands, if there are any."""
        return next((each for each in self.ranges if len(each) == bands), None)

    @property
    def fill(self) -> tuple[int, int, int]:
        """Colour that pixels without a value get before the backbone sees them."""
        return BLACK if self.older else NEUTRAL

    @property
    def key(self) -> str:
        """A fingerprint: readings that may give different pixels have different keys."""
        text = json.dumps([VERSION, self.as_plain()])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def as_plain(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "ImageReading":
        """Create a reading from plain values.

        Raises:
            KeyError: a value is missing.
            TypeError: a value has the wrong type.
            ValueError: a value is invalid.

        Example:
            >>> reading = ImageReading((4, 3, 2), (((0.0, 99.5),) * 3,), border=0.2)
            >>> ImageReading.from_plain(reading.as_plain()) == reading
            True
        """
        projection = values["projection"]
        return cls(
            tuple(map(int, values["bands"])),
            tuple(
                tuple((float(low), float(high)) for low, high in ranges)
                for ranges in values["ranges"]
            ),
            None
            if projection is None
            else Projection(
                tuple(tuple(map(float, row)) for row in projection["weights"]),
                tuple(map(float, projection["offsets"])),
            ),
            float(values.get("border", 0.0)),
            bool(values.get("older", False)),
        )


AS_EACH_FILE_SAYS = ImageReading()
"""The reading of an image on its own, without a run."""


def _both_ranges(text: str) -> tuple[Ranges, ...]:
    """Return a value range for grey and for colours."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not -float("inf") < low < high < float("inf"):
        raise UserError(
            f"--value-range {text}: must be two numbers, the values that become black and white,"
            " such as -1024,3071"
        )
    return ((low, high),), ((low, high),) * 3
