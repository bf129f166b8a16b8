"""GeoTIFFs for tests, made with rasterio."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

CRS = "EPSG:32633"
TRANSFORM = rasterio.Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 5_400_000.0)


def write_raster(path: Path, values: NDArray[Any], **kind: Any) -> Path:
    """Write bands of shape (bands, height, width), in a place on the Earth unless it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {} if {"gcps", "transform"} & kind.keys() else {"transform": TRANSFORM, "crs": CRS}
    colours = kind.pop("colours", None)
    bands, height, width = values.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", **profile, **place, **kind) as dataset:
        if colours is not None:
            dataset.colorinterp = colours
        dataset.write(values)
    return path


def bands_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (height, width, 3) as bands (3, height, width)."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))
