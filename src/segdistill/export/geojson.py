"""GeoJSON (RFC 7946) of georeferenced images: polygons in WGS 84 longitude and latitude."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from segdistill.decoding.library_warnings import without_library_warnings
from segdistill.errors import UserError, missing_extra
from segdistill.export.format import ExportFormat, JsonListWriter, open_text
from segdistill.export.masks import MaskFile, check_size, is_upright
from segdistill.export.polygons import Shape, find_shapes
from segdistill.images.palette import css_colour

WGS84 = "EPSG:4326"
DIGITS = 9
"""Decimal places of degrees: about a tenth of a millimetre."""

MAX_EDGE_LENGTH = 256
"""Maximum edge length in pixels, so that reprojected edges stay close to their true course."""

MAX_COORDINATE = 1e9
"""Larger coordinates are invalid, and PROJ may never return on them."""

# Warning filters are shared by all threads.


class GeoJson(ExportFormat):
    """One feature collection."""

    supported_options = frozenset({"regions", "min_region", "min_area", "simplify"})
    suffixes = (".geojson", ".json")
    needs_images = True

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Write the JSON around the features."""
        if find_spec("rasterio") is None:
            raise UserError(f"--format geojson: {missing_extra('rasterio', 'geo')}")
        with open_text(self.path) as file:
            file.write('{"type": "FeatureCollection", "features": [')
            self.features = JsonListWriter(file)
            yield
            file.write("\n]}\n")

    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> list[str]:
        """Return the features as JSON."""
        if file.image is None:
            raise UserError(f"{file.path}: has no image")
        path = file.image.path
        crs, transform, size = _georeference(path)
        check_size(mask, path, size)
        connected = self.options.regions != "class"
        shapes = find_shapes(mask, connected=connected, simplify=self.options.simplify)
        try:
            geometries = _to_wgs84(shapes, crs, transform)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        features = []
        for shape, geometry in zip(shapes, geometries, strict=True):
            known = self.classes[shape.class_index]
            properties = {
                "class": known.index,
                "name": known.name,
                "colour": css_colour(known.colour),
                "source": file.image_name,
                "pixels": shape.area,
            }
            feature = {"type": "Feature", "properties": properties, "geometry": geometry}
            features.append(json.dumps(feature))
        return features

    def add(self, converted: list[str]) -> None:
        """Write the features."""
        for feature in converted:
            self.features.add(feature)


def _georeference(path: Path) -> tuple[Any, Any, tuple[int, int]]:
    """Return an image's CRS, transform and size, from it or from a sidecar file that GDAL reads."""
    import rasterio  # noqa: PLC0415 - an extra, and heavy
    from rasterio.errors import RasterioIOError  # noqa: PLC0415

    if not is_upright(path):
        raise UserError(f"{path}: is rotated by its EXIF orientation and cannot be georeferenced")
    try:
        with without_library_warnings, rasterio.open(path) as image:
            crs, transform, size = image.crs, image.transform, image.shape
    except RasterioIOError as error:
        raise UserError(f"{path}: cannot be read by rasterio ({error})") from error
    if crs is None and not transform.is_identity:
        raise UserError(
            f"{path}: has no coordinate reference system, which GeoJSON needs; add it, as with"
            " `gdal_edit.py -a_srs EPSG:NUMBER FILE`"
        )
    if crs is None or transform.is_identity:
        raise UserError(
            f"{path}: has no georeference, which GeoJSON needs; segment only the GeoTIFFs, or use"
            " --format coco"
        )
    return crs, transform, size


def _to_wgs84(shapes: Sequence[Shape], crs: Any, transform: Any) -> list[dict[str, Any]]:
    """Return regions as GeoJSON geometries, split at the 180th meridian.

    Exterior rings are anticlockwise and holes clockwise, as the RFC requires.
    """
    from rasterio.warp import transform_geom  # noqa: PLC0415 - an extra, and heavy

    matrix = np.array(transform[:6]).reshape(2, 3)
    # Neighbours have the same vertices along shared borders, so their edges are split alike.
    pixels = shapely.segmentize([each.geometry for each in shapes], MAX_EDGE_LENGTH)
    mapped = shapely.transform(pixels, lambda points: points @ matrix[:, :2].T + matrix[:, 2])
    if not (np.abs(shapely.get_coordinates(mapped)) < MAX_COORDINATE).all():
        raise UserError("invalid georeference")
    try:
        # All at once: setting up the transform takes far longer than applying it.
        reprojected = transform_geom(
            crs, WGS84, [shapely.geometry.mapping(each) for each in mapped]
        )
    except Exception as error:
        # rasterio has no public class for GDAL errors.
        raise UserError(
            "its coordinate reference system cannot be converted to longitude and latitude"
        ) from error
    geometries = shapely.transform(
        [shapely.geometry.shape(each) for each in reprojected], lambda points: points.round(DIGITS)
    )
    degrees = shapely.get_coordinates(geometries)
    if not (np.isfinite(degrees).all() and (np.abs(degrees) <= (180, 90)).all()):
        raise UserError("coordinates outside longitude -180 to 180 and latitude -90 to 90")
    return [shapely.geometry.mapping(each) for each in shapely.orient_polygons(geometries)]
