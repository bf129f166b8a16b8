"""Folders of images and tiny networks in which commands are killed, and checks of the results."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tests.cli.killable import Commands
from tests.decoding.rasters import bands_of, write_raster
from tests.depth.networks import write_network
from tests.helpers import striped_image, striped_labels, write_striped_folder
from transformers import ViTConfig, ViTModel

from segdistill.files import TEMPORARY_NAME

KILLED = -9
COUNT = 6
STEPS = 30
ROUNDING = 8
"""Tolerance of depth maps, in steps of 1/65535."""

SCORE_ROUNDING = 0.004
"""Tolerance of cosine similarities, which are stored in half precision."""

FIT = [
    *("fit", "photos", "--backbone", "vit", "--resolution", "64", "--training.batch-size", "4"),
    *("--objective.samples", "5", "--training.checkpoint-every", "10", "--out", "run", "--quiet"),
]
PROBED = [
    *(*FIT, "--classes", "3", "--training.steps", str(STEPS)),
    *("--labels", "labels", "--training.linear-probe", "true"),
]
ESTIMATED = [*FIT, "--training.steps", str(STEPS)]
STOPPED = [*FIT, "--classes", "3"]
DEPTH = ["depth", "photos", "--model", "network", "--batch", "2", "--preview", "--quiet"]
SEGMENT = ["segment", "run", "mixed", "--overlay", "--scores", "--out", "masks", "--quiet"]


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


OPENERS: dict[str, Callable[[Path], object]] = {
    ".npy": np.load,
    ".png": open_picture,
    ".jpg": open_picture,
    ".json": lambda path: json.loads(path.read_text()),
    ".yaml": lambda path: yaml.safe_load(path.read_text())["backbone"],
    ".safetensors": load_file,
    ".tif": open_raster,
    ".csv": table,
    ".html": lambda path: path.read_text().rstrip().removesuffix("</html>").index("<html"),
}


def write_template(root: Path) -> Path:
    """Write images, labels, a tiny backbone and a tiny depth network."""
    write_striped_folder(root / "photos", COUNT)
    for path in sorted((root / "photos").rglob("*.png")):
        target = root / "labels" / path.relative_to(root / "photos")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(striped_labels(int(path.stem.split("_")[1]))).save(target)
    shutil.copytree(root / "photos", root / "mixed")
    write_raster(root / "mixed" / "scene.tif", bands_of(striped_image(9, 160, 96)))
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(root / "vit")
    write_network(root / "network", "depth-anything")
    return root


@dataclass
class Worlds:
    """Create worlds, all in the same folder, since results contain absolute paths.

    Attributes:
        template: folder of which each world is a copy.
        folder: folder of the current world.
        commands: runs commands.
        known: results of :meth:`uninterrupted` by command line.
    """

    template: Path
    folder: Path
    commands: Commands
    known: dict[str, tuple[dict[str, Any], int]] = field(default_factory=dict)

    def new(self, *, with_run: bool = False) -> Path:
        """Create a world; it replaces the previous one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        if with_run:
            run = self.template.with_name("run_of_template")
            if not run.exists():
                self.commands.run(self.folder, *FIT, "--method", "kmeans", "--classes", "3")
                shutil.copytree(self.folder / "run", run)
            shutil.copytree(run, self.folder / "run", dirs_exist_ok=True)
        return self.folder

    def uninterrupted(self, arguments: list[str], folder: str) -> tuple[dict[str, Any], int]:
        """Return the results of a command that is not killed, and its number of disk changes."""
        key = " ".join(arguments)
        if key not in self.known:
            world = self.new(with_run=folder == "masks")
            ended = self.commands.run(world, *arguments)
            assert ended.status == 0, ended.error
            self.known[key] = contents(world / folder), len(ended.changes)
        return self.known[key]


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def contents(folder: Path) -> dict[str, Any]:
    """Return what a command wrote to a folder, without leftovers and durations."""
    found: dict[str, Any] = {}
    for path in files(folder):
        name = path.relative_to(folder).as_posix()
        if TEMPORARY_NAME.fullmatch(path.name):
            continue
        if name == "facts.json":
            found[name] = json.loads(path.read_text()) | {"seconds": None}
        elif name != "report.html" and not name.startswith("log/"):
            found[name] = path.read_bytes()
    return found


def whole_files(world: Path) -> dict[Path, int]:
    """Open every file with a final name; return their inodes, which change on rewriting."""
    found = {}
    for path in files(world):
        if path.name.startswith("."):
            continue
        if path.suffix in OPENERS and not {"vit", "network"} & set(path.parts):
            OPENERS[path.suffix](path)
        found[path] = path.stat().st_ino
    return found


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in files(folder) if TEMPORARY_NAME.fullmatch(path.name)]


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
    return first.mode.startswith("I;16") and np.abs(steps[0] - steps[1]).max() <= ROUNDING


def main_file(path: Path) -> Path:
    """Return the file that another one belongs to, such as the mask of an overlay."""
    if "photos_depth_preview" in path.parts:
        map_path = str(path.with_suffix(".png")).replace("photos_depth_preview", "photos_depth")
        return Path(map_path)
    name, *between = path.name.split(".")
    if len(between) < 2:
        return path
    return path.with_name(f"{name}.tif" if name == "scene" else f"{name}.png")


def check_resumes(
    worlds: Worlds,
    arguments: list[str],
    folder: str,
    *,
    kept: tuple[str, ...],
    again: tuple[str, ...] = ("--resume",),
    **moment: Any,
) -> Path:
    """Kill a command in a new world, resume it, and check that the results are the same.

    Args:
        worlds: creates the world.
        arguments: the command line.
        folder: folder of the results.
        kept: folders whose complete files must not be written again.
        again: further arguments of the command when it resumes.
        **moment: when it is killed, as for :meth:`Commands.run`.

    Returns:
        The world.
    """
    expected, _ = worlds.uninterrupted(arguments, folder)
    world = worlds.new(with_run=folder == "masks")
    ended = worlds.commands.run(world, *arguments, **moment)
    assert ended.status == KILLED, f"{moment}: {ended}"
    before = whole_files(world)
    ended = worlds.commands.run(world, *arguments, *again)
    assert ended.status == 0, f"{moment}: {ended.error}"
    after = whole_files(world)
    for path, number in before.items():
        described = path.name in {"classes.json", "images.csv", "depth.json"}
        if path.relative_to(world).parts[0] in kept and main_file(path) in before and not described:
            assert after[path] == number, f"{moment}: {path} was written again"
    result = contents(world / folder)
    assert result.keys() == expected.keys(), moment
    for name, content in expected.items():
        if name != "images.csv":  # distances of kept masks are unknown
            assert is_same(result[name], content), f"{moment}: {name} differs"
    return world
