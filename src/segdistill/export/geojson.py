"""GeoJSON (RFC 7946) of georeferenced images: polygons in longitude and latitude, WGS 84."""

import contextlib
import json
import threading
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError, missing_extra
from segdistill.export.classes import hexadecimal
from segdistill.export.masks import is_upright, misfit
from segdistill.export.polygons import Ring, ring_area
from segdistill.export.shapes import Shape, find_shapes
from segdistill.export.writing import ReadMask, Target, TextItems, Writer, open_text
from segdistill.model.description import SegmentClass

WGS84 = "EPSG:4326"
DIGITS = 9
"""Decimal places of degrees: a tenth of a millimetre."""

LONGEST_EDGE = 256
"""Pixels between corners, so that straight edges stay near what they become on the globe."""

FARTHEST = 1e9
"""No map's coordinates are larger; PROJ can search for ever where they are."""

# Python's filters of warnings are one for all threads.
_OPENING = threading.Lock()

Position = tuple[float, float]


class Georeference(NamedTuple):
    """Where an image lies.

    Attributes:
        crs: its coordinate reference system, as rasterio has it.
        matrix: from (x, y, 1) in pixels to the system's coordinates, shape (2, 3).
        size: height and width of the image.
    """

    crs: Any
    matrix: NDArray[np.float64]
    size: tuple[int, int]


@contextlib.contextmanager
def open_geojson(target: Target) -> Iterator[Writer]:
    """Yield a writer of one feature collection.

    Raises:
        UserError: rasterio is not installed.
    """
    if find_spec("rasterio") is None:
        raise UserError(f"--format geojson: {missing_extra('rasterio', 'geo')}")
    with open_text(target.path) as file:
        file.write('{"type": "FeatureCollection", "features": [')
        yield _GeoJsonWriter(target, TextItems(file))
        file.write("\n]}\n")


def read_georeference(path: Path) -> Georeference:
    """Read where an image lies, from itself or from a file beside it that GDAL knows.

    Raises:
        UserError: it does not say, or its pixels are turned by their EXIF orientation.
    """
    import rasterio  # noqa: PLC0415 - an extra, and heavy
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError  # noqa: PLC0415

    if not is_upright(path):
        raise UserError(f"{path}: its EXIF orientation turns it, so that it has no place on a map")
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as image:
                crs, transform, size = image.crs, image.transform, image.shape
    except RasterioIOError as error:
        raise UserError(f"{path}: cannot be read as a map ({error})") from error
    if crs is None or transform.is_identity:
        raise UserError(
            f"{path}: has no georeference, so it cannot go into GeoJSON; leave this image out"
            " (segment only the GeoTIFFs) or use --format coco"
        )
    return Georeference(crs, np.array(transform[:6]).reshape(2, 3), size)


def densified(ring: Ring, longest: int = LONGEST_EDGE) -> NDArray[np.number]:
    """Return a ring with corners added wherever a long edge crosses a line of a grid.

    A slanted edge is divided into equal parts.

    Regions that share an edge so share its corners.

    Args:
        ring: shape (corners, 2).
        longest: distance of the grid's lines, in pixels.

    Example:
        >>> densified(np.array([[1, 0], [5, 0], [5, 1], [1, 1]]), longest=2).tolist()
        [[1, 0], [2, 0], [4, 0], [5, 0], [5, 1], [4, 1], [2, 1], [1, 1]]
    """
    ends = np.roll(ring, -1, axis=0)
    pieces = []
    for here, there in zip(ring, ends, strict=True):
        pieces.append(here[None])
        if (here != there).all():
            # Neighbours divide a common edge alike, whichever way they run.
            parts = -(-int(np.abs(there - here).max()) // longest)
            ways = np.arange(1, parts)[:, None] / parts
            pieces.append(here + ways * (there - here))
            continue
        axis = int(here[1] != there[1])
        low, high = sorted((int(here[axis]), int(there[axis])))
        lines = np.arange((low // longest + 1) * longest, high, longest)
        between = np.repeat(here[None], len(lines), axis=0)
        between[:, axis] = lines if here[axis] < there[axis] else lines[::-1]
        pieces.append(between)
    return np.concatenate(pieces)


def on_the_globe(shapes: Sequence[Shape], place: Georeference) -> list[dict[str, Any]]:
    """Return regions as GeoJSON geometries.

    Rings around run anticlockwise, those of holes clockwise, as the RFC asks for; what crosses the
    180th meridian is cut there.

    Args:
        shapes: regions of an image.
        place: where it lies.

    Raises:
        UserError: the coordinates cannot be brought to longitude and latitude.
    """
    from rasterio.warp import transform_geom  # noqa: PLC0415 - an extra, and heavy

    geometries = [
        _geometry([_placed(part, place.matrix) for part in each.parts]) for each in shapes
    ]
    try:
        # All at once: to prepare takes far longer than each of them.
        turned = transform_geom(place.crs, WGS84, geometries)
    except Exception as error:
        # Those of GDAL have no class that rasterio makes public.
        raise UserError(
            "its coordinate reference system cannot be brought to longitude and latitude"
        ) from error
    return [_oriented(each) for each in turned]


def feature(
    each: SegmentClass, shape: Shape, geometry: dict[str, Any], source: str
) -> dict[str, Any]:
    """Return a region with what is known of it.

    Args:
        each: its class.
        shape: in pixels.
        geometry: on the globe.
        source: name of the image.
    """
    properties = {
        "class": each.index,
        "name": each.name,
        "colour": hexadecimal(each.colour),
        "source": source,
        "pixels": shape.area,
    }
    return {"type": "Feature", "properties": properties, "geometry": geometry}


class _GeoJsonWriter(Writer):
    def __init__(self, target: Target, features: TextItems) -> None:
        self.classes = target.classes
        self.options = target.options
        self.features = features

    def convert(self, mask: ReadMask) -> list[str]:
        """Return the features, as JSON."""
        image = mask.file.image
        if image is None:
            raise UserError(f"{mask.file.path}: has no image")
        place = read_georeference(image.path)
        if mask.pixels.shape != place.size:
            raise misfit(mask.pixels, image.path, place.size)
        connected = self.options.regions != "class"
        area = self.options.min_area
        shapes = find_shapes(
            mask.pixels, connected=connected, min_area=area, simplify=self.options.simplify
        )
        try:
            geometries = on_the_globe(shapes, place)
        except UserError as error:
            raise UserError(f"{image.path}: {error}") from error
        source = mask.file.image_name
        return [
            json.dumps(feature(self.classes[shape.place], shape, geometry, source))
            for shape, geometry in zip(shapes, geometries, strict=True)
        ]

    def add(self, converted: list[str]) -> None:
        """Write the features."""
        for row in converted:
            self.features.add(row)


def _placed(part: Sequence[Ring], matrix: NDArray[np.float64]) -> list[list[Position]]:
    """Return a polygon's rings in the coordinates of a map, closed."""
    rings = []
    for ring in part:
        corners = densified(ring)
        points = np.column_stack([corners, np.ones(len(corners))])  # (corners, 2) -> (corners, 3)
        placed = points @ matrix.T  # (corners, 3) x (3, 2)
        if not (np.abs(placed) < FARTHEST).all():
            raise UserError("its georeference makes no sense")
        rings.append([(x, y) for x, y in np.concatenate([placed, placed[:1]]).tolist()])
    return rings


def _geometry(polygons: list[list[list[Position]]]) -> dict[str, Any]:
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _oriented(geometry: dict[str, Any]) -> dict[str, Any]:
    """Return a geometry rounded, its rings running as they should."""
    found = geometry["coordinates"]
    polygons = found if geometry["type"] == "MultiPolygon" else [found]
    return _geometry([_oriented_polygon(polygon) for polygon in polygons])


def _oriented_polygon(polygon: Sequence[Sequence[Position]]) -> list[list[Position]]:
    rings = []
    for number, positions in enumerate(polygon):
        ring = np.round(np.array(positions, np.float64), DIGITS)
        if not (np.isfinite(ring).all() and (np.abs(ring) <= (180, 90)).all()):
            raise UserError("does not lie within longitudes -180 to 180 and latitudes -90 to 90")
        anticlockwise = ring_area(ring) > 0
        rings.append((ring if anticlockwise == (number == 0) else ring[::-1]).tolist())
    return rings
