"""What a folder holds, and whether it is whole and what it should be."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from PIL import Image
from safetensors.torch import load_file

from segdistill.files import TEMPORARY_NAME

ROUNDING = 8
"""Tolerance of depth maps, in steps of 1/65535."""

SCORE_ROUNDING = 0.004
"""Tolerance of cosine similarities, which are stored in half precision."""

DESCRIBED = frozenset({"classes.json", "images.csv", "depth.json", "features.json"})
"""Files that describe a folder, and are written whenever it changes."""


def open_picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def open_raster(path: Path) -> None:
    with rasterio.open(path) as raster:
        raster.read()


def table(path: Path) -> list[float] | str:
    """Return the losses of a history; of images.csv its header."""
    lines = path.read_text().splitlines()
    if path.name == "images.csv":
        return lines[0]
    return [float(row["total"]) for row in csv.DictReader(lines)]


def open_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


OPENERS: dict[str, Callable[[Path], object]] = {
    ".npy": np.load,
    ".png": open_picture,
    ".jpg": open_picture,
    ".json": lambda path: json.loads(path.read_text()),
    ".yaml": lambda path: yaml.safe_load(path.read_text()).keys(),
    ".safetensors": load_file,
    ".tif": open_raster,
    ".csv": table,
    ".html": lambda path: path.read_text().rstrip().removesuffix("</html>").index("<html"),
    ".zip": open_archive,
}


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink()]


def contents(folder: Path) -> dict[str, Any]:
    """Return what a command wrote to a folder, without leftovers and durations."""
    found: dict[str, Any] = {}
    for path in files(folder):
        name = path.relative_to(folder).as_posix()
        if TEMPORARY_NAME.fullmatch(path.name):
            continue
        if name == "facts.json":
            found[name] = json.loads(path.read_text()) | {
                "seconds": None,
                "damaged_maps": None,
                "sha256": "",
            }
        elif name != "report.html" and not name.startswith("log/"):
            found[name] = path.read_bytes()
    return found


def whole_files(world: Path, *, given: Iterable[str] = ()) -> dict[Path, int]:
    """Open every file with a final name; return their inodes, which change on rewriting.

    Args:
        world: the folder.
        given: folders in it that are left out.
    """
    found = {}
    for path in files(world):
        if path.name.startswith(".") or path.relative_to(world).parts[0] in given:
            continue
        if path.suffix in OPENERS:
            try:
                OPENERS[path.suffix](path)
            except Exception as error:
                raise AssertionError(f"{path.relative_to(world)} is not whole: {error}") from error
        found[path] = path.stat().st_ino
    return found


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in files(folder) if path.name.startswith(".")]


def digests(world: Path, folders: Iterable[str]) -> dict[str, str]:
    """Return the digest of each file of some folders of a world."""
    return {
        str(path.relative_to(world)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in files(world / folder)
    }


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return how two results differ; nothing if they are the same."""
    if one.keys() != other.keys():
        return f"other files: {sorted(one.keys() ^ other.keys())}"
    # Distances of masks that were kept are unknown.
    differing = [
        name
        for name, content in one.items()
        if name != "images.csv" and not is_same(other[name], content)
    ]
    return f"{', '.join(differing)} differ" if differing else ""


def is_same(one: Any, other: Any) -> bool:
    """Return whether two files are equal, up to rounding of scores and depth in other batches."""
    if one == other or not isinstance(one, bytes):
        return bool(one == other)
    if one.startswith(b"\x93NUMPY"):
        scores = [np.load(io.BytesIO(each)).astype(np.float32) for each in (one, other)]
        return float(np.abs(scores[0] - scores[1]).max()) <= SCORE_ROUNDING
    if not one.startswith(b"\x89PNG"):
        return False
    with Image.open(io.BytesIO(one)) as first, Image.open(io.BytesIO(other)) as second:
        steps = [np.array(each, np.int64) for each in (first, second)]
    return bool(first.mode.startswith("I;16") and np.abs(steps[0] - steps[1]).max() <= ROUNDING)


def main_file(path: Path) -> Path:
    """Return the file that another one belongs to, such as the mask of an overlay."""
    if "photos_depth_preview" in path.parts:
        map_path = str(path.with_suffix(".png")).replace("photos_depth_preview", "photos_depth")
        return Path(map_path)
    name, *between = path.name.split(".")
    if len(between) < 2:
        return path
    return path.with_name(f"{name}.tif" if name == "scene" else f"{name}.png")
