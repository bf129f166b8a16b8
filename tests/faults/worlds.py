"""Folders of images and tiny networks in which commands meet faults, and what commands do there."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import ViTConfig, ViTModel

from tests.decoding.rasters import bands_of, write_raster
from tests.depth.networks import write_network
from tests.faults.commands import Commands, Ended
from tests.faults.contents import contents
from tests.helpers import striped_image, striped_labels, write_striped_folder

COUNT = 5
STEPS = 12

GIVEN = ("photos", "labels", "mixed", "vit", "network")
"""Folders of the user, which no command may change."""

FIT = [
    *("fit", "photos", "--backbone", "vit", "--resolution", "64", "--training.batch-size", "4"),
    *("--objective.samples", "5", "--training.checkpoint-every", "4", "--out", "run", "--quiet"),
]
PROBED = [
    *(*FIT, "--classes", "3", "--training.steps", str(STEPS)),
    *("--labels", "labels", "--training.linear-probe", "true"),
]
ESTIMATED = [*FIT, "--training.steps", str(STEPS)]
STOPPED = [*FIT, "--classes", "3"]
DEPTH = ["depth", "photos", "--model", "network", "--batch", "2", "--preview", "--quiet"]
SEGMENT = ["segment", "run", "mixed", "--overlay", "--scores", "--out", "masks", "--quiet"]
MASKS = ["segment", "run", "photos", "--out", "masks", "--quiet"]
FEATURES = ["features", "photos", "--run", "run", "--out", "maps", "--quiet"]
EXPORT = ["export", "run", "masks", "--images", "photos", "--out", "exported", "--quiet"]


@dataclass(frozen=True)
class Operation:
    """A command, and how it continues after a fault.

    Attributes:
        name: its name in reports.
        arguments: the command line.
        folder: the folder that it writes.
        needs: folders that earlier commands wrote: ``run``, or ``run`` and ``masks``.
        again: further arguments when it continues.
        kept: folders whose complete files must not be written again.
    """

    name: str
    arguments: list[str]
    folder: str
    needs: tuple[str, ...] = ()
    again: tuple[str, ...] = ("--resume",)
    kept: tuple[str, ...] = ()

    @property
    def edits(self) -> bool:
        """Whether it changes the classes of a run, which is one change of one file."""
        return self.folder == "run" and bool(self.needs)


def _edit(name: str, *arguments: str) -> Operation:
    return Operation(name, [*arguments, "--quiet"], "run", ("run",), ())


def _export(kind: str, *options: str, out: str = "exported") -> Operation:
    arguments = [*EXPORT[:-2], out, "--format", kind, *options, "--quiet"]
    return Operation(f"export {kind}", arguments, "exported", ("run", "masks"), ("--overwrite",))


FITS = (
    Operation("fit", PROBED, "run", kept=("cache",)),
    Operation("fit, classes estimated", ESTIMATED, "run", kept=("cache",)),
)
OUTPUTS = (
    Operation("segment", SEGMENT, "masks", ("run",), kept=("masks",)),
    Operation("features", FEATURES, "maps", ("run",), kept=("maps",)),
    Operation(
        "depth", DEPTH, "photos_depth", (), (), kept=("photos_depth", "photos_depth_preview")
    ),
)
EXPORTS = (
    _export("coco", out="exported/photos.json"),
    _export("yolo"),
    _export("voc", "--copy-images"),
    _export("cvat", out="exported/photos.zip"),
)
EDITS = (
    _edit("name", "name", "run", "0=sky", "2=meadow"),
    _edit("recluster", "recluster", "run", "--classes", "5"),
    _edit("merge", "classes", "run", "--merge", "0", "1"),
    _edit("hide", "classes", "run", "--hide", "1"),
)
OPERATIONS = (*FITS, *OUTPUTS, *EXPORTS, *EDITS)


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


@dataclass(frozen=True)
class Uninterrupted:
    """What a command gives that meets no fault.

    Attributes:
        results: what it wrote; see :func:`contents`.
        ended: how it ended.
        written: bytes by which it filled the disk.
    """

    results: dict[str, Any]
    ended: Ended
    written: int


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
    known: dict[str, Uninterrupted] = field(default_factory=dict)

    def new(self, needs: tuple[str, ...] = ()) -> Path:
        """Create a world; it replaces the previous one.

        Args:
            needs: folders that earlier commands wrote, as for :class:`Operation`.
        """
        self.remove()
        shutil.copytree(self.template, self.folder, symlinks=True)
        for number, name in enumerate(needs):
            kept = self.template.with_name(f"{self.template.name}_{name}")
            if not kept.exists():
                self.new(needs[:number])
                ended = self.commands.run(self.folder, *(PROBED if name == "run" else MASKS))
                assert ended.status == 0, ended.error
                shutil.copytree(self.folder / name, kept, symlinks=True)
                shutil.rmtree(self.folder / "cache", ignore_errors=True)
            if not (self.folder / name).exists():
                shutil.copytree(kept, self.folder / name, symlinks=True)
        return self.folder

    def remove(self) -> None:
        """Remove the current world."""
        if self.folder.is_mount():
            subprocess.run(["umount", self.folder], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def uninterrupted(self, operation: Operation) -> Uninterrupted:
        """Return what a command gives that meets no fault."""
        key = " ".join(operation.arguments)
        if key not in self.known:
            world = self.new(operation.needs)
            before = disk_use(world)
            ended = self.commands.run(world, *operation.arguments)
            assert ended.status == 0, ended.error
            results = contents(world / operation.folder)
            self.known[key] = Uninterrupted(results, ended, disk_use(world) - before)
        return self.known[key]

    def again(self, operation: Operation, **options: Any) -> Ended:
        """Let a command continue in the current world."""
        again = operation.again
        return self.commands.run(self.folder, *operation.arguments, *again, **options)

    def with_seed(self, operation: Operation, seed: int) -> Operation:
        """Return a fit with another seed."""
        return replace(operation, arguments=[*operation.arguments, "--seed", str(seed)])


def classes_of(run: Path) -> list[tuple[str, list[int], bool]]:
    """Return name, clusters and visibility of each class of a run."""
    classes = json.loads((run / "segmenter.json").read_text())["classes"]
    return [
        (each["name"], each.get("members") or [], each.get("hidden", False)) for each in classes
    ]


def disk_use(folder: Path) -> int:
    """Return the bytes that files take on a disk, in whole pages."""
    found = 0
    for root, folders, names in os.walk(folder):
        paths = [Path(root) / name for name in (*folders, *names)]
        found += sum(-(-path.lstat().st_size // 4096) * 4096 for path in paths)
    return found
