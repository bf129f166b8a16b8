"""Writes a small labelled RGB-D data set of rendered outdoor scenes, for demos and tests."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from segdistill.files import translate_os_errors
from segdistill.sample.scene import CLASSES, Scene, render_scene

DEPTH_STEPS_PER_METRE = 256
"""Depth files hold metres times this, rounded: 16 bits then reach past :data:`scene.FAR`."""

_SPLITS: tuple[Literal["train", "val"], ...] = ("train", "val")
_SMALLEST_SIDE = 32
_JPEG_QUALITY = 92
# Colours that a viewer shows the classes in; the stored values are the indices.
_PALETTE = [
    *((112, 164, 224), (134, 176, 82), (128, 128, 132)),
    *((38, 106, 46), (190, 104, 72), (236, 200, 40)),
]
_README = """\
Rendered outdoor scenes with exact labels and depth, made by segdistill from seed {seed}.
Nothing in them is a photograph.

imgs/    {width} x {height} colour pictures: {train} in train, {val} in val (JPEG).
labels/  the class of each pixel as an index into classes.txt (8-bit PNG with a palette).
         Pavements count as road, bushes as tree.
depth/   distance along the viewing axis in units of 1/256 m (16-bit PNG):
         metres = value / 256; sky is at 200 m.

Made with:
    segdistill sample DIR --train {train} --val {val} --width {width} --height {height} \
--seed {seed}
"""


def write_sample(
    root: Path,
    *,
    train: int = 48,
    val: int = 16,
    width: int = 320,
    height: int = 240,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render scenes and write them as a data set; the same arguments give identical files.

    The folder holds, for both splits, ``imgs/{train,val}/scene_0000.jpg``,
    ``labels/{train,val}/scene_0000.png`` (the pixel's value is its class, an index into
    ``classes.txt``) and ``depth/{train,val}/scene_0000.png`` (16-bit; the value is the depth along
    the viewing axis in 1/256 m, sky at 200 m), and ``README.txt``. A scene depends on the seed,
    its split and its number alone: a larger set begins with the smaller one. Nothing is left in
    ``root`` until all is written, so that a set that was broken off is never taken for whole.

    Args:
        root: folder to write; made if missing.
        train: number of training scenes, 0 or more.
        val: number of validation scenes, 0 or more; not both counts 0.
        width: of the pictures in pixels, at least 32.
        height: of the pictures in pixels, at least 32.
        seed: any integer from 0 up.
        progress: called after each scene with the scenes done and their total.

    Returns:
        ``root``.

    Raises:
        ValueError: a count, a side or the seed is out of range.
        FileExistsError: ``root`` exists and is not an empty folder.
        UserError: the folder cannot be written, or the disk is full.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     root = write_sample(Path(folder) / "set", train=1, val=0, width=32, height=32)
        ...     sorted(path.name for path in root.rglob("*.*"))
        ['README.txt', 'classes.txt', 'scene_0000.jpg', 'scene_0000.png', 'scene_0000.png']
    """
    numbers = {"train": train, "val": val, "width": width, "height": height, "seed": seed}
    _check(root, **numbers)
    done = 0
    with _whole_folder(root) as folder:
        for split in _SPLITS:
            for index, scene_seed in enumerate(scene_seeds(seed, split, numbers[split])):
                scene = render_scene(scene_seed, width, height)
                _write_scene(folder, split, f"scene_{index:04d}", scene)
                done += 1
                if progress is not None:
                    progress(done, train + val)
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
        (folder / "README.txt").write_text(_README.format(**numbers))
    return root


def scene_seeds(seed: int, split: Literal["train", "val"], count: int) -> Iterator[int]:
    """Yield seeds of the scenes of a split; those of the two splits never meet.

    >>> [value % 2 for value in scene_seeds(0, "train", 3)]
    [0, 0, 0]
    >>> [value % 2 for value in scene_seeds(0, "val", 3)]
    [1, 1, 1]
    """
    parity = _SPLITS.index(split)
    for index in range(count):
        sequence = np.random.SeedSequence(seed, spawn_key=(parity, index))
        # Even numbers train, odd numbers validate: disjoint however large the set.
        yield 2 * int(sequence.generate_state(1, np.uint64)[0]) + parity


def _check(root: Path, *, train: int, val: int, width: int, height: int, seed: int) -> None:
    """Refuse numbers out of range and a folder that holds something."""
    if train < 0 or val < 0 or train + val == 0:
        raise ValueError(f"train={train}, val={val}: give counts of 0 or more, not both 0")
    if width < _SMALLEST_SIDE or height < _SMALLEST_SIDE:
        raise ValueError(f"{width} x {height}: give sides of {_SMALLEST_SIDE} pixels or more")
    if seed < 0:
        raise ValueError(f"seed={seed}: give a seed of 0 or more")
    if root.exists() and not (root.is_dir() and next(root.iterdir(), None) is None):
        raise FileExistsError(
            f"{root}: exists and is not an empty folder; name a new folder or empty this one first"
        )


@contextlib.contextmanager
def _whole_folder(root: Path) -> Iterator[Path]:
    """Yield a folder to write in, and move what it holds to ``root`` if the block succeeds.

    A new ``root`` appears in one step; an empty one stays the same folder and is filled.
    """
    with translate_os_errors(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        home = root if root.exists() else root.parent
        with tempfile.TemporaryDirectory(prefix=f".{root.name[:40]}-", dir=home) as holder:
            folder = Path(holder) / "whole"
            folder.mkdir()
            yield folder
            if home == root:
                for entry in folder.iterdir():
                    entry.rename(root / entry.name)
            else:
                folder.rename(root)


def _write_scene(root: Path, split: str, name: str, scene: Scene) -> None:
    """Write the three files of a scene."""
    labels = Image.fromarray(scene.labels)
    labels.putpalette([value for colour in _PALETTE for value in colour])
    steps = np.round(scene.depth * DEPTH_STEPS_PER_METRE).astype(np.uint16)
    for kind, image, suffix in (
        ("imgs", Image.fromarray(scene.image), "jpg"),
        ("labels", labels, "png"),
        ("depth", Image.fromarray(steps), "png"),
    ):
        path = root / kind / split / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=_JPEG_QUALITY)
