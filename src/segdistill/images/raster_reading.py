"""How GeoTIFFs are read (bands and scaling): settings that are stored with a run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from segdistill.errors import UserError
from segdistill.images.scaling import Projection, Ranges

ALL_BANDS = "all"
VERSION = 1
"""Increase this whenever the same settings give different pixels."""


@dataclass(frozen=True)
class RasterReading:
    """How GeoTIFFs become 8-bit red, green and blue.

    Attributes:
        bands: numbers, from 1, of one band (grey) or three (red, green and blue). By default,
            unless there is a projection, the bands that the file marks as red, green and blue.
        ranges: for each band read, the values that map to 0 and 255, in files of more than 8 bits.
            By default the 2nd and 98th percentile of each file.
        projection: projection of all bands onto three.

    Example:
        >>> RasterReading.chosen("4,3,2").bands
        (4, 3, 2)
    """

    bands: tuple[int, ...] = ()
    ranges: Ranges = ()
    projection: Projection | None = None

    @classmethod
    def chosen(cls, bands: str | None) -> "RasterReading":
        """Return the reading for a value of ``--bands``; ``all`` sets no bands here.

        Raises:
            UserError: the value is not one number, three numbers or ``all``.
        """
        if bands is None or bands.strip() == ALL_BANDS:
            return cls()
        parts = [part.strip() for part in bands.split(",")]
        if len(parts) not in {1, 3} or not all(part.isdecimal() and int(part) for part in parts):
            raise UserError(
                f"--bands {bands}: must be three band numbers from 1, such as 4,3,2, or one for"
                f" grey, or {ALL_BANDS}"
            )
        return cls(tuple(map(int, parts)))

    @property
    def key(self) -> str:
        """A fingerprint: readings that may give different pixels have different keys."""
        text = json.dumps([VERSION, self.as_plain()])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def as_plain(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "RasterReading":
        """Create a reading from plain values.

        Raises:
            KeyError: a value is missing.
            TypeError: a value has the wrong type.
            ValueError: a value is invalid.

        Example:
            >>> reading = RasterReading((4, 3, 2), ((0.0, 99.5),) * 3)
            >>> RasterReading.from_plain(reading.as_plain()) == reading
            True
        """
        projection = values["projection"]
        return cls(
            tuple(map(int, values["bands"])),
            tuple((float(low), float(high)) for low, high in values["ranges"]),
            None
            if projection is None
            else Projection(
                tuple(tuple(map(float, row)) for row in projection["weights"]),
                tuple(map(float, projection["offsets"])),
            ),
        )
