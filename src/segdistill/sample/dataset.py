"""A small labelled RGB-D data set of rendered outdoor scenes, for demos and tests."""

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
"""Units per metre in the 16-bit depth files, whose range exceeds :data:`scene.FAR`."""

_SPLITS: tuple[Literal["train", "val"], ...] = ("train", "val")
_SMALLEST_SIDE = 32
_JPEG_QUALITY = 92
# Display colours of the classes; pixel values are class indices.
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
    root: str | Path,
    *,
    train: int = 48,
    val: int = 16,
    width: int = 320,
    height: int = 240,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render scenes and write them as a data set; the same arguments give identical files.

    For both splits, the folder contains ``imgs/{train,val}/scene_0000.jpg``,
    ``labels/{train,val}/scene_0000.png`` (class indices into ``classes.txt``) and
    ``depth/{train,val}/scene_0000.png`` (16-bit depth along the viewing axis in units of 1/256 m;
    sky is at 200 m), as well as ``README.txt``. A scene depends only on the seed, its split and its
    number, so a larger data set starts with the scenes of a smaller one. Files are moved to
    ``root`` only when all are written, so an interrupted run is never mistaken for a complete data
    set.

    Args:
        root: folder to write; created if missing.
        train: number of training scenes, 0 or more.
        val: number of validation scenes, 0 or more; at least one of the two numbers is not 0.
        width: width of the images in pixels, at least 32.
        height: height of the images in pixels, at least 32.
        seed: random seed, 0 or more.
        progress: called after each scene with the number of scenes written and the total.

    Returns:
        ``root``.

    Raises:
        ValueError: a number of scenes, a side or the seed is out of range.
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
    root = Path(root)
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
    """Yield the seeds of the scenes of a split; the two splits share no seeds.

    >>> [value % 2 for value in scene_seeds(0, "train", 3)]
    [0, 0, 0]
    >>> [value % 2 for value in scene_seeds(0, "val", 3)]
    [1, 1, 1]
    """
    parity = _SPLITS.index(split)
    for index in range(count):
        sequence = np.random.SeedSequence(seed, spawn_key=(parity, index))
        # Even for training, odd for validation: disjoint at any size.
        yield 2 * int(sequence.generate_state(1, np.uint64)[0]) + parity


def _check(root: Path, *, train: int, val: int, width: int, height: int, seed: int) -> None:
    """Check that the numbers are in range and that the folder is missing or empty."""
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
    """Yield a temporary folder, and move its content to ``root`` if the block succeeds.

    A new ``root`` is created in a single step; an existing empty one is filled.
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
