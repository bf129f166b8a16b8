"""YOLO segmentation labels in the Ultralytics format.

Each image has a text file of the same name with one line per polygon: the class, then the
alternating x and y coordinates of the vertices, normalised by image width and height. Images are in
``images`` and labels in ``labels``, each with a ``train`` and a ``val`` folder.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.export.format import ExportFormat, link_or_copy_image
from segdistill.export.masks import MaskFile
from segdistill.export.polygons import find_shapes, without_holes
from segdistill.files import write_text_atomically

LABELS, IMAGES = "labels", "images"
TRAIN, VAL = "train", "val"


class Yolo(ExportFormat):
    """A folder; ``data.yaml`` is written last."""

    supported_options = frozenset({"min_region", "min_area", "simplify", "split", "copy_images"})
    images_folder = IMAGES

    @property
    def sidecar(self) -> Path:
        """The description of the data set."""
        return self.path / "data.yaml"

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Check for labels of another export; write the description."""
        self.subsets = split_subsets([mask.stem for mask in self.masks], self.options.split)
        planned = set(map(self._label_file, self.masks))
        for path in sorted((self.path / LABELS).rglob("*.txt")):
            if path not in planned:
                raise UserError(
                    f"{path}: label file of another export; remove it or choose another --out"
                )
        yield
        used = {Path(stem).parts[0] for stem in self.subsets.values()}
        # Without `path`, paths are relative to the file, so the folder can be moved.
        data = {
            **{name: f"{IMAGES}/{name}" if name in used else None for name in (TRAIN, VAL)},
            "names": {class_index: each.name for class_index, each in enumerate(self.classes)},
        }
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        write_text_atomically(self.sidecar, text)

    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> tuple[MaskFile, str]:
        """Return the text of the label file."""
        height, width = mask.shape
        text = ""
        for shape in find_shapes(mask, connected=True, simplify=self.options.simplify):
            corners = (without_holes(shape.geometry) / (width, height)).tolist()
            text += " ".join([str(shape.class_index), *(f"{x:.9g} {y:.9g}" for x, y in corners)])
            text += "\n"
        return file, text

    def add(self, converted: tuple[MaskFile, str]) -> None:
        """Write the label file, and link or copy the image."""
        file, text = converted
        write_text_atomically(self._label_file(file), text)
        image = self.path / IMAGES / self.subsets[file.stem]
        link_or_copy_image(file, image, copy=self.options.copy_images)

    def skip(self, file: MaskFile) -> None:
        """Remove the label file of an earlier export."""
        self._label_file(file).unlink(missing_ok=True)

    def _label_file(self, file: MaskFile) -> Path:
        return self.path / LABELS / f"{self.subsets[file.stem]}.txt"


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
