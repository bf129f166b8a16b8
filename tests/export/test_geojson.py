"""GeoJSON of GeoTIFFs, read by geojson-pydantic and drawn again by rasterio."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.enums
import rasterio.features
import rasterio.warp
import shapely
from geojson_pydantic import FeatureCollection
from rasterio.transform import Affine
from shapely.geometry import shape
from tests.export.exporting import (
    CLASSES,
    PATTERN,
    Mask,
    export,
    random_mask,
    write_images,
    write_masks,
)

from segdistill.errors import UserError
from segdistill.export import geojson

NO_GEOREFERENCE = (
    "has no georeference, which GeoJSON needs; segment only the GeoTIFFs, or use --format coco"
)
NO_SYSTEM = (
    "has no coordinate reference system, which GeoJSON needs; add it, as with"
    " `gdal_edit.py -a_srs EPSG:NUMBER FILE`"
)
NO_WAY = "its coordinate reference system cannot be converted to longitude and latitude"
UTM = "EPSG:32632"
WGS84 = "EPSG:4326"
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000)
TURNED = Affine.translation(500_000, 5_300_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)


def write_tiff(path: Path, mask: Mask, crs: str | None, transform: Affine) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = mask.shape
    with rasterio.open(
        path, "w", "GTiff", width, height, 3, crs=crs, transform=transform, dtype="uint8"
    ) as image:
        image.write(np.full((3, height, width), 99, np.uint8))


def drawn_again(features: list[dict[str, Any]], mask: Mask, crs: str, transform: Affine) -> Mask:
    geometries = rasterio.warp.transform_geom(WGS84, crs, [each["geometry"] for each in features])
    # From 1, since what is not drawn becomes 0, and then 255.
    values = [each["properties"]["class"] + 1 for each in features]
    drawn: Mask = rasterio.features.rasterize(
        zip(geometries, values, strict=True), mask.shape, transform=transform, dtype="uint8"
    )
    times = rasterio.features.rasterize(
        geometries, mask.shape, transform=transform, merge_alg=rasterio.enums.MergeAlg.add
    )
    assert times.max() == 1
    return drawn - np.uint8(1)


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED])
@pytest.mark.parametrize("regions", ["connected", "class"])
def test_drawn_again_the_polygons_are_the_mask(
    tmp_path: Path, transform: Affine, regions: str
) -> None:
    masks = {"a.png": PATTERN, "more/b.png": random_mask(1, 60, 700)}
    for name, mask in masks.items():
        write_tiff((tmp_path / "tiles" / name).with_suffix(".tif"), mask, UTM, transform)
    folder = write_masks(tmp_path / "masks", masks)
    export("geojson", folder, tmp_path / "out.geojson", tmp_path / "tiles", regions=regions)
    content = json.loads((tmp_path / "out.geojson").read_text())
    assert content.keys() == {"type", "features"}
    collection: FeatureCollection[Any] = FeatureCollection.model_validate(content)
    assert len(collection.features) == len(content["features"])
    for name, mask in masks.items():
        source = str(Path(name).with_suffix(".tif"))
        features = [each for each in content["features"] if each["properties"]["source"] == source]
        assert (drawn_again(features, mask, UTM, transform) == mask).all()
        if regions == "connected":
            # Neighbours have the same vertices along their borders, also in degrees.
            assert shapely.coverage_is_valid([shape(each["geometry"]) for each in features])
        for each in features:
            properties = each["properties"]
            known = CLASSES[properties["class"]]
            assert properties["name"] == known.name
            assert properties["colour"].startswith("#")
            geometry = shape(each["geometry"])
            assert geometry.is_valid
            parts = getattr(geometry, "geoms", [geometry])
            for part in parts:
                # RFC 7946, 3.1.6: the right-hand rule.
                assert part.exterior.is_ccw
                assert not any(hole.is_ccw for hole in part.interiors)
                (x, y), *_ = part.exterior.coords
                assert 8.9 < x < 9.1
                assert 47.7 < y < 47.9


def test_degrees_and_the_180th_meridian(tmp_path: Path) -> None:
    mask = np.zeros((4, 4), np.uint8)
    # In Fiji, 1 km a pixel; the map's system starts west of the meridian and ends east of it.
    write_tiff(tmp_path / "t" / "a.tif", mask, "EPSG:32760", Affine(5e4, 0, 7e5, 0, -5e4, 8e6))
    write_tiff(tmp_path / "t" / "b.tif", mask, WGS84, Affine(0.01, 0, -3, 0, -0.01, 50))
    folder = write_masks(tmp_path / "masks", {"a.png": mask, "b.png": mask})
    export("geojson", folder, tmp_path / "out.json", tmp_path / "t")
    first, second = json.loads((tmp_path / "out.json").read_text())["features"]
    assert first["geometry"]["type"] == "MultiPolygon"
    for part in shape(first["geometry"]).geoms:
        west, _, east, _ = part.bounds
        assert east - west < 3
        assert part.exterior.is_ccw
    assert shape(second["geometry"]).bounds == (-3, 49.96, -2.96, 50)


def test_images_that_lie_nowhere_are_named(tmp_path: Path) -> None:
    mask = random_mask(0)
    names = [f"{letter}.png" for letter in "abcdef"]
    folder = write_masks(tmp_path / "masks", dict.fromkeys(names, mask))
    tiles = write_images(tmp_path / "tiles", {"a.png": mask})
    write_tiff(tiles / "b.tif", mask, UTM, NORTH_UP)
    write_tiff(tiles / "c.tif", mask, 'LOCAL_CS["here"]', NORTH_UP)
    write_tiff(tiles / "d.tif", mask, "EPSG:3857", Affine(1e300, 0, 0, 0, -1e300, 0))
    write_tiff(tiles / "e.tif", mask, WGS84, Affine(0.1, 0, 190, 0, -0.1, 50))
    write_tiff(tiles / "f.tif", mask, None, NORTH_UP)
    done = export("geojson", folder, tmp_path / "out.geojson", tiles)
    assert done.written == 1
    assert [each.reason for each in done.skipped] == [
        f"{tiles / 'a.jpg'}: {NO_GEOREFERENCE}",
        f"{tiles / 'c.tif'}: {NO_WAY}",
        f"{tiles / 'd.tif'}: invalid georeference",
        f"{tiles / 'e.tif'}: coordinates outside longitude -180 to 180 and latitude -90 to 90",
        f"{tiles / 'f.tif'}: {NO_SYSTEM}",
    ]
    with pytest.raises(UserError, match=r"a\.jpg: has no georeference"):
        export("geojson", folder, tmp_path / "new.geojson", tiles, strict=True)
    assert not (tmp_path / "new.geojson").exists()


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_masks(tmp_path / "masks", {"a.png": PATTERN})
    write_tiff(tmp_path / "tiles" / "a.tif", PATTERN, UTM, NORTH_UP)
    monkeypatch.setattr(geojson, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"needs rasterio; run pip install .*\[geo\]'"):
        export("geojson", folder, tmp_path / "out.geojson", tmp_path / "tiles")
