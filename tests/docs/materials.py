"""What single pages need beside the reader's folder."""

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def add(page: str, here: Path) -> None:
    """Write what a page needs into the reader's folder."""
    if page in _MATERIALS:
        _MATERIALS[page](here)


def _geotiffs(here: Path) -> None:
    import rasterio  # noqa: PLC0415 - an extra
    from rasterio.transform import Affine  # noqa: PLC0415

    (here / "tiles").mkdir()
    photos = sorted((here / "photos").iterdir())
    targets = [here / "tiles" / f"{path.stem}.tif" for path in photos]
    pairs = [*zip(photos, targets, strict=True), (photos[0], here / "scene.tif")]
    for index, (source, target) in enumerate(pairs):
        pixels = np.asarray(Image.open(source)).transpose(2, 0, 1)
        place = Affine(1e-5, 0, 10 + index * 0.001, 0, -1e-5, 50)
        profile = {"driver": "GTiff", "dtype": "uint8", "crs": "EPSG:4326", "transform": place}
        bands, height, width = pixels.shape
        with rasterio.open(target, "w", count=bands, height=height, width=width, **profile) as file:
            file.write(pixels)


def _clip(here: Path) -> None:
    av: Any = import_module("av")  # an extra, whose types are not complete

    with av.open(here / "clip.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for path in sorted((here / "frames").iterdir()):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.open(path))))
        container.mux(stream.encode())


def _tiles_and_masks(here: Path) -> None:
    _geotiffs(here)
    shutil.copytree(here / "runs" / "photos", here / "runs" / "tiles")


def _nothing_yet(here: Path) -> None:
    for name in ("world", "runs", "masks"):
        shutil.rmtree(here / name, ignore_errors=True)


_MATERIALS: dict[str, Callable[[Path], None]] = {
    "docs/geotiff.md": _geotiffs,
    "docs/video.md": _clip,
    "docs/export.md": _tiles_and_masks,
    "docs/tutorial.md": _nothing_yet,
}
