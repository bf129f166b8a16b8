"""GeoJSON (RFC 7946) of georeferenced images: polygons in WGS 84 longitude and latitude."""

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
from segdistill.export.classes import css_hex
from segdistill.export.masks import is_upright, size_mismatch
from segdistill.export.polygons import Ring, ring_area
from segdistill.export.shapes import Shape, find_shapes
from segdistill.export.writing import JsonListWriter, LoadedMask, Target, Writer, open_text
from segdistill.model.description import SegmentClass

WGS84 = "EPSG:4326"
DIGITS = 9
"""Decimal class_indices of degrees: about a tenth of a millimetre."""

MAX_EDGE_LENGTH = 256
"""Maximum edge length in pixels, so that reprojected edges stay close to their true course."""

MAX_COORDINATE = 1e9
"""Larger coordinates are invalid, and PROJ may never return on them."""

# Warning filters are shared by all threads.
_OPENING = threading.Lock()

Position = tuple[float, float]


class Georeference(NamedTuple):
    """The georeference of an image.

    Attributes:
        crs: rasterio's coordinate reference system.
        matrix: affine transform from (x, y, 1) in pixels to CRS coordinates, shape (2, 3).
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
        yield _GeoJsonWriter(target, JsonListWriter(file))
        file.write("\n]}\n")


def read_georeference(path: Path) -> Georeference:
    """Read the georeference of an image, from the file or from a sidecar file that GDAL supports.

    Raises:
        UserError: the image has no georeference, or has an EXIF rotation.
    """
    import rasterio  # noqa: PLC0415 - an extra, and heavy
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError  # noqa: PLC0415

    if not is_upright(path):
        raise UserError(f"{path}: is rotated by its EXIF orientation and cannot be georeferenced")
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as image:
                crs, transform, size = image.crs, image.transform, image.shape
    except RasterioIOError as error:
        raise UserError(f"{path}: cannot be read by rasterio ({error})") from error
    if crs is None or transform.is_identity:
        raise UserError(
            f"{path}: has no georeference, which GeoJSON needs; segment only the GeoTIFFs, or use"
            " --format coco"
        )
    return Georeference(crs, np.array(transform[:6]).reshape(2, 3), size)


def densify(ring: Ring, spacing: int = MAX_EDGE_LENGTH) -> NDArray[np.number]:
    """Return a ring with vertices added to long edges.

    Horizontal and vertical edges are split at grid lines, slanted edges into equal parts, so that
    regions that share an edge also share its new vertices.

    Args:
        ring: vertices, shape (vertices, 2).
        spacing: grid spacing in pixels.

    Example:
        >>> densify(np.array([[1, 0], [5, 0], [5, 1], [1, 1]]), spacing=2).tolist()
        [[1, 0], [2, 0], [4, 0], [5, 0], [5, 1], [4, 1], [2, 1], [1, 1]]
    """
    ends = np.roll(ring, -1, axis=0)
    pieces = []
    for here, there in zip(ring, ends, strict=True):
        pieces.append(here[None])
        if (here != there).all():
            # The same vertices in both directions, so that neighbours stay aligned.
            parts = -(-int(np.abs(there - here).max()) // spacing)
            ways = np.arange(1, parts)[:, None] / parts
            pieces.append(here + ways * (there - here))
            continue
        axis = int(here[1] != there[1])
        low, high = sorted((int(here[axis]), int(there[axis])))
        lines = np.arange((low // spacing + 1) * spacing, high, spacing)
        between = np.repeat(here[None], len(lines), axis=0)
        between[:, axis] = lines if here[axis] < there[axis] else lines[::-1]
        pieces.append(between)
    return np.concatenate(pieces)


def to_wgs84(shapes: Sequence[Shape], georeference: Georeference) -> list[dict[str, Any]]:
    """Return regions as GeoJSON geometries.

    Exterior rings are anticlockwise and holes clockwise, as the RFC requires. Geometries are split
    at the 180th meridian.

    Args:
        shapes: regions of an image.
        georeference: georeference of the image.

    Raises:
        UserError: the coordinates cannot be converted to longitude and latitude.
    """
    from rasterio.warp import transform_geom  # noqa: PLC0415 - an extra, and heavy

    geometries = [
        _geometry([_to_crs(part, georeference.matrix) for part in each.parts]) for each in shapes
    ]
    try:
        # All at once: setting up the transform takes far longer than applying it.
        reprojected = transform_geom(georeference.crs, WGS84, geometries)
    except Exception as error:
        # rasterio has no public class for GDAL errors.
        raise UserError(
            "its coordinate reference system cannot be converted to longitude and latitude"
        ) from error
    return [_oriented(each) for each in reprojected]


def feature(
    each: SegmentClass, shape: Shape, geometry: dict[str, Any], source: str
) -> dict[str, Any]:
    """Return a region as a GeoJSON feature.

    Args:
        each: class of the region.
        shape: the region in pixels.
        geometry: the region in longitude and latitude.
        source: name of the image.
    """
    properties = {
        "class": each.index,
        "name": each.name,
        "colour": css_hex(each.colour),
        "source": source,
        "pixels": shape.area,
    }
    return {"type": "Feature", "properties": properties, "geometry": geometry}


class _GeoJsonWriter(Writer):
    def __init__(self, target: Target, features: JsonListWriter) -> None:
        self.classes = target.classes
        self.options = target.options
        self.features = features

    def convert(self, mask: LoadedMask) -> list[str]:
        """Return the features as JSON."""
        image = mask.file.image
        if image is None:
            raise UserError(f"{mask.file.path}: has no image")
        georeference = read_georeference(image.path)
        if mask.pixels.shape != georeference.size:
            raise size_mismatch(mask.pixels, image.path, georeference.size)
        connected = self.options.regions != "class"
        area = self.options.min_area
        shapes = find_shapes(
            mask.pixels, connected=connected, min_area=area, simplify=self.options.simplify
        )
        try:
            geometries = to_wgs84(shapes, georeference)
        except UserError as error:
            raise UserError(f"{image.path}: {error}") from error
        source = mask.file.image_name
        return [
            json.dumps(feature(self.classes[shape.class_index], shape, geometry, source))
            for shape, geometry in zip(shapes, geometries, strict=True)
        ]

    def add(self, converted: list[str]) -> None:
        """Write the features."""
        for row in converted:
            self.features.add(row)


def _to_crs(part: Sequence[Ring], matrix: NDArray[np.float64]) -> list[list[Position]]:
    """Return the closed rings of a polygon in CRS coordinates."""
    rings = []
    for ring in part:
        corners = densify(ring)
        points = np.column_stack([corners, np.ones(len(corners))])  # (corners, 2) -> (corners, 3)
        transformed = points @ matrix.T  # (corners, 3) x (3, 2)
        if not (np.abs(transformed) < MAX_COORDINATE).all():
            raise UserError("invalid georeference")
        rings.append([(x, y) for x, y in np.concatenate([transformed, transformed[:1]]).tolist()])
    return rings


def _geometry(polygons: list[list[list[Position]]]) -> dict[str, Any]:
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _oriented(geometry: dict[str, Any]) -> dict[str, Any]:
    """Return a geometry with rounded coordinates and correctly oriented rings."""
    found = geometry["coordinates"]
    polygons = found if geometry["type"] == "MultiPolygon" else [found]
    return _geometry([_oriented_polygon(polygon) for polygon in polygons])


def _oriented_polygon(polygon: Sequence[Sequence[Position]]) -> list[list[Position]]:
    rings = []
    for number, positions in enumerate(polygon):
        ring = np.round(np.array(positions, np.float64), DIGITS)
        if not (np.isfinite(ring).all() and (np.abs(ring) <= (180, 90)).all()):
            raise UserError("coordinates outside longitude -180 to 180 and latitude -90 to 90")
        anticlockwise = ring_area(ring) > 0
        rings.append((ring if anticlockwise == (number == 0) else ring[::-1]).tolist())
    return rings
