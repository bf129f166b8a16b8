"""Bands of rasterio datasets: what they show, and which are read."""

from pathlib import Path
from typing import Any

from segdistill.decoding.image_reading import ImageReading
from segdistill.errors import UnreadableImageError


class TooManyBandsError(UnreadableImageError):
    """A file has more than three bands, and none is marked as red, green or blue."""


def colours_of(dataset: Any) -> list[str]:
    """Return what each band of a rasterio dataset is, such as ``red``, ``alpha`` or ``palette``."""
    return [each.name for each in dataset.colorinterp]


def opaque_bands(dataset: Any) -> tuple[int, ...]:
    """Return the numbers of a rasterio dataset's bands, without alpha channels."""
    return tuple(n for n, name in enumerate(colours_of(dataset), 1) if name != "alpha")


def chosen_bands(path: Path, dataset: Any, reading: ImageReading) -> tuple[int, ...]:
    """Return the numbers of the bands to read: as asked for, or as the file marks its colours.

    Args:
        path: path of the file, for messages.
        dataset: rasterio dataset.
        reading: bands that are asked for, or a projection of all.

    Raises:
        TooManyBandsError: there are more than three, and none is marked as red, green or blue.
        UnreadableImageError: the file does not have the bands that ``reading`` asks for.
    """
    if reading.bands:
        if max(reading.bands) > dataset.count:
            raise UnreadableImageError(
                f"{path}: has {dataset.count} bands, so there is no band {max(reading.bands)};"
                " choose others with --bands"
            )
        return reading.bands
    colours, bands = colours_of(dataset), opaque_bands(dataset)
    if reading.projection is not None:
        if reading.projection.bands != len(bands):
            raise UnreadableImageError(
                f"{path}: has {len(bands)} bands, but the run was trained on"
                f" {reading.projection.bands}; choose three with --bands"
            )
        return bands
    if {"red", "green", "blue"} <= set(colours):
        return tuple(colours.index(name) + 1 for name in ("red", "green", "blue"))
    if len(bands) in {1, 3}:
        return bands
    kind = TooManyBandsError if len(bands) > 3 else UnreadableImageError
    raise kind(
        f"{path}: has {len(bands)} bands, none of them marked as red, green or blue;"
        " choose three, as in --bands 4,3,2"
    )
