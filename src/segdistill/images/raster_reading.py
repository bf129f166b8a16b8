"""Which bands of a GeoTIFF are seen, and how: settings that are kept with a run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from segdistill.errors import UserError

ALL_BANDS = "all"
VERSION = 1
"""To be raised whenever the same settings come to mean other pixels."""


@dataclass(frozen=True)
class Projection:
    """From many bands to three colours.

    Attributes:
        weights: of the bands, scaled to 0..1, in red, green and blue: 3 rows, one weight a band.
        offsets: added to red, green and blue, which are then meant to lie in 0..1.
    """

    weights: tuple[tuple[float, ...], ...]
    offsets: tuple[float, ...]

    @property
    def bands(self) -> int:
        """Number of bands that are projected."""
        return len(self.weights[0])


@dataclass(frozen=True)
class RasterReading:
    """How GeoTIFFs become 8-bit red, green and blue.

    Attributes:
        bands: numbers, from 1, of the band to be seen in grey or of the three to be seen as red,
            green and blue. Without them and without a projection, those that the file itself calls
            so.
        ranges: of each band that is read, the values that become 0 and 255, for files of more than
            8 bits. Without them the 2nd and 98th percentile of each file.
        projection: of all bands onto three.

    Example:
        >>> RasterReading.chosen("4,3,2").bands
        (4, 3, 2)
    """

    bands: tuple[int, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    projection: Projection | None = field(default=None)

    @classmethod
    def chosen(cls, bands: str | None) -> "RasterReading":
        """Return the reading for what was given as ``--bands``; ``all`` chooses none here.

        Raises:
            UserError: it is not one number, nor three, nor ``all``.
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
        """A fingerprint: of two readings that differ, images may, too."""
        text = json.dumps([VERSION, self.as_plain()])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def as_plain(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "RasterReading":
        """Return the reading of plain values.

        Raises:
            KeyError: one is missing.
            TypeError: one is of another type.
            ValueError: the same.

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
