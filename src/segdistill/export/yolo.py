"""YOLO's segmentation labels, as Ultralytics reads them.

Each image has a text file of its name, with a line for each polygon: the class, then x and y of the
corners in turn as shares of the image's width and height. Labels are looked for in ``labels`` where
images lie in ``images``; each has a folder for training and one for validation.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.export.masks import MaskFile
from segdistill.export.polygons import without_holes
from segdistill.export.shapes import find_shapes
from segdistill.export.writing import ReadMask, Target, Writer, place_image
from segdistill.files import write_text_atomically

DATA_FILE = "data.yaml"
LABELS, IMAGES = "labels", "images"
TRAIN, VAL = "train", "val"


@contextlib.contextmanager
def open_yolo(target: Target) -> Iterator[Writer]:
    """Yield a writer of a folder; ``data.yaml`` is written last.

    Raises:
        UserError: labels of another export would stay there.
    """
    labels = target.path / LABELS
    subsets = subsets_of([mask.stem for mask in target.masks], target.options.split)
    planned = {labels / f"{stem}.txt" for stem in subsets.values()}
    for path in sorted(labels.rglob("*.txt")):
        if path not in planned:
            raise UserError(
                f"{path}: of another export, and not among these masks; remove it or choose another"
                " --out"
            )
    yield _YoloWriter(target, subsets)
    used = {Path(stem).parts[0] for stem in subsets.values()}
    # Without `path`, all is looked for beside the file itself, so that the folder can move.
    data = {
        **{name: f"{IMAGES}/{name}" if name in used else None for name in (TRAIN, VAL)},
        "names": {place: each.name for place, each in enumerate(target.classes)},
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    write_text_atomically(target.path / DATA_FILE, text)


def subsets_of(stems: Sequence[str], share: float) -> dict[str, str]:
    """Share masks out to training and validation.

    Masks that lie in folders called ``train`` and ``val`` stay there. Otherwise the name decides,
    by a hash, so that an image keeps its subset whatever others join.

    Args:
        stems: relative paths of the masks without their endings, in POSIX form.
        share: of the validation set, from 0 to below 1; 0 makes none.

    Returns:
        For each stem where it goes: ``train/...`` or ``val/...``.

    Example:
        >>> subsets_of(["train/a", "val/b"], 0.2)
        {'train/a': 'train/a', 'val/b': 'val/b'}
        >>> sorted(subsets_of(["a", "b", "c"], 0.4).values())
        ['train/b', 'train/c', 'val/a']
    """
    folders = [set(Path(stem).parent.parts) & {TRAIN, VAL} for stem in stems]
    if stems and all(len(each) == 1 for each in folders) and len(set().union(*folders)) == 2:
        found = {}
        for stem, (subset,) in zip(stems, folders, strict=True):
            rest = [part for part in Path(stem).parts if part != subset]
            found[stem] = "/".join([subset, *rest])
        return found
    ranks = {stem: _rank(stem) for stem in stems}
    chosen = {stem for stem in stems if ranks[stem] < share}
    if share and len(stems) > 1:
        # However few images there are, both subsets hold some.
        order = sorted(stems, key=ranks.__getitem__)
        chosen = (chosen or {order[0]}) - ({order[-1]} if len(chosen) == len(stems) else set())
    return {stem: f"{VAL if stem in chosen else TRAIN}/{stem}" for stem in stems}


def _rank(stem: str) -> float:
    """Return a number from 0 to below 1 that looks random but depends on the name alone."""
    digest = hashlib.blake2b(stem.encode("utf-8", "surrogateescape"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def label_lines(mask: NDArray[np.uint8], *, min_area: int = 1, simplify: float = 0.0) -> list[str]:
    """Return the lines of a label file.

    Args:
        mask: places of classes, 255 for none, shape (height, width).
        min_area: leave out connected regions of fewer pixels.
        simplify: tolerance in pixels; see :func:`~segdistill.export.simplification.simplified`.

    Example:
        >>> label_lines(np.array([[255, 1]], np.uint8))
        ['1 0.5 0 1 0 1 1 0.5 1']
    """
    height, width = mask.shape
    lines = []
    for shape in find_shapes(mask, connected=True, min_area=min_area, simplify=simplify):
        corners = (without_holes(shape.parts[0]) / (width, height)).tolist()
        lines.append(" ".join([str(shape.place), *(f"{x:.9g} {y:.9g}" for x, y in corners)]))
    return lines


class _YoloWriter(Writer):
    def __init__(self, target: Target, subsets: Mapping[str, str]) -> None:
        self.target = target
        self.subsets = subsets

    def convert(self, mask: ReadMask) -> tuple[MaskFile, str]:
        """Return the label file's text."""
        options = self.target.options
        lines = label_lines(mask.pixels, min_area=options.min_area, simplify=options.simplify)
        return mask.file, "".join(f"{line}\n" for line in lines)

    def add(self, converted: tuple[MaskFile, str]) -> None:
        """Write the label file, and put the image where it is looked for."""
        file, text = converted
        folder, stem = self.target.path, self.subsets[file.stem]
        write_text_atomically(folder / LABELS / f"{stem}.txt", text)
        if file.image is not None:
            path = folder / IMAGES / f"{stem}{file.image.path.suffix}"
            place_image(file.image, path, copy=self.target.options.copy_images)

    def skip(self, file: MaskFile) -> None:
        """Remove what an earlier export wrote for this mask."""
        path = self.target.path / LABELS / f"{self.subsets[file.stem]}.txt"
        path.unlink(missing_ok=True)
