"""YOLO segmentation labels in the Ultralytics format.

Each image has a text file of the same name with one line per polygon: the class, then the
alternating x and y coordinates of the vertices, normalised by image width and height. Images are in
``images`` and labels in ``labels``, each with a ``train`` and a ``val`` folder.
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
from segdistill.export.writing import LoadedMask, Target, Writer, link_or_copy_image
from segdistill.files import write_text_atomically

DATA_FILE = "data.yaml"
LABELS, IMAGES = "labels", "images"
TRAIN, VAL = "train", "val"


@contextlib.contextmanager
def open_yolo(target: Target) -> Iterator[Writer]:
    """Yield a writer of a folder; ``data.yaml`` is written last.

    Raises:
        UserError: the folder contains labels of another export.
    """
    labels = target.path / LABELS
    subsets = split_subsets([mask.stem for mask in target.masks], target.options.split)
    planned = {labels / f"{stem}.txt" for stem in subsets.values()}
    for path in sorted(labels.rglob("*.txt")):
        if path not in planned:
            raise UserError(
                f"{path}: label file of another export; remove it or choose another --out"
            )
    yield _YoloWriter(target, subsets)
    used = {Path(stem).parts[0] for stem in subsets.values()}
    # Without `path`, paths are relative to the file, so the folder can be moved.
    data = {
        **{name: f"{IMAGES}/{name}" if name in used else None for name in (TRAIN, VAL)},
        "names": {class_index: each.name for class_index, each in enumerate(target.classes)},
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    write_text_atomically(target.path / DATA_FILE, text)


def split_subsets(stems: Sequence[str], share: float) -> dict[str, str]:
    """Split masks into a training and a validation set.

    Existing ``train`` and ``val`` folders are kept. Otherwise the split depends on a hash of the
    name, so an image stays in its subset when others are added.

    Args:
        stems: relative POSIX paths of the masks without suffixes.
        share: share of the validation set, 0 <= share < 1; 0 for no validation set.

    Returns:
        The new path of each stem: ``train/...`` or ``val/...``.

    Example:
        >>> split_subsets(["train/a", "val/b"], 0.2)
        {'train/a': 'train/a', 'val/b': 'val/b'}
        >>> sorted(split_subsets(["a", "b", "c"], 0.4).values())
        ['train/b', 'train/c', 'val/a']
    """
    folders = [set(Path(stem).parent.parts) & {TRAIN, VAL} for stem in stems]
    if stems and all(len(each) == 1 for each in folders) and len(set().union(*folders)) == 2:
        found = {}
        for stem, (subset,) in zip(stems, folders, strict=True):
            rest = [part for part in Path(stem).parts if part != subset]
            found[stem] = "/".join([subset, *rest])
        return found
    ranks = {stem: _hash_fraction(stem) for stem in stems}
    chosen = {stem for stem in stems if ranks[stem] < share}
    if share and len(stems) > 1:
        # Neither subset may be empty.
        order = sorted(stems, key=ranks.__getitem__)
        chosen = (chosen or {order[0]}) - ({order[-1]} if len(chosen) == len(stems) else set())
    return {stem: f"{VAL if stem in chosen else TRAIN}/{stem}" for stem in stems}


def _hash_fraction(stem: str) -> float:
    """Return a pseudorandom number in [0, 1) that depends only on the name."""
    digest = hashlib.blake2b(stem.encode("utf-8", "surrogateescape"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def label_lines(mask: NDArray[np.uint8], *, min_area: int = 1, simplify: float = 0.0) -> list[str]:
    """Return the lines of a label file.

    Args:
        mask: exported class indices, 255 for none, shape (height, width).
        min_area: drop connected regions with fewer pixels.
        simplify: tolerance in pixels; see
            :func:`~segdistill.export.simplification.simplify_polygons`.

    Example:
        >>> label_lines(np.array([[255, 1]], np.uint8))
        ['1 0.5 0 1 0 1 1 0.5 1']
    """
    height, width = mask.shape
    lines = []
    for shape in find_shapes(mask, connected=True, min_area=min_area, simplify=simplify):
        corners = (without_holes(shape.parts[0]) / (width, height)).tolist()
        lines.append(" ".join([str(shape.class_index), *(f"{x:.9g} {y:.9g}" for x, y in corners)]))
    return lines


class _YoloWriter(Writer):
    def __init__(self, target: Target, subsets: Mapping[str, str]) -> None:
        self.target = target
        self.subsets = subsets

    def convert(self, mask: LoadedMask) -> tuple[MaskFile, str]:
        """Return the text of the label file."""
        options = self.target.options
        lines = label_lines(mask.pixels, min_area=options.min_area, simplify=options.simplify)
        return mask.file, "".join(f"{line}\n" for line in lines)

    def add(self, converted: tuple[MaskFile, str]) -> None:
        """Write the label file, and link or copy the image."""
        file, text = converted
        folder, stem = self.target.path, self.subsets[file.stem]
        write_text_atomically(folder / LABELS / f"{stem}.txt", text)
        if file.image is not None:
            path = folder / IMAGES / f"{stem}{file.image.path.suffix}"
            link_or_copy_image(file.image, path, copy=self.target.options.copy_images)

    def skip(self, file: MaskFile) -> None:
        """Remove the label file of an earlier export."""
        path = self.target.path / LABELS / f"{self.subsets[file.stem]}.txt"
        path.unlink(missing_ok=True)
