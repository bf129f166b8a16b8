"""YOLO's segmentation labels, as Ultralytics reads them.

Each image has a text file of its name, with a line for each polygon: the class, then x and y of the
corners in turn as shares of the image's width and height. Labels are looked for in ``labels`` where
images lie in ``images``.
"""

import contextlib
from collections.abc import Iterator

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


@contextlib.contextmanager
def open_yolo(target: Target) -> Iterator[Writer]:
    """Yield a writer of a folder; ``data.yaml`` is written last.

    Raises:
        UserError: labels of another export would stay there.
    """
    labels = target.path / LABELS
    planned = {labels / f"{mask.stem}.txt" for mask in target.masks}
    for path in sorted(labels.rglob("*.txt")):
        if path not in planned:
            raise UserError(
                f"{path}: of another export, and not among these masks; remove it or choose another"
                " --out"
            )
    yield _YoloWriter(target)
    # Without `path`, all is looked for beside the file itself, so that the folder can move.
    data = {
        "train": IMAGES,
        "val": IMAGES,
        "names": {place: each.name for place, each in enumerate(target.classes)},
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    write_text_atomically(target.path / DATA_FILE, text)


def label_lines(mask: NDArray[np.uint8], *, min_area: int = 1) -> list[str]:
    """Return the lines of a label file.

    Args:
        mask: places of classes, 255 for none, shape (height, width).
        min_area: leave out connected regions of fewer pixels.

    Example:
        >>> label_lines(np.array([[255, 1]], np.uint8))
        ['1 0.5 0 1 0 1 1 0.5 1']
    """
    height, width = mask.shape
    columns = [f"{x / width:.9g}" for x in range(width + 1)]
    rows = [f"{y / height:.9g}" for y in range(height + 1)]
    lines = []
    for shape in find_shapes(mask, connected=True, min_area=min_area):
        corners = without_holes(shape.parts[0]).tolist()
        lines.append(" ".join([str(shape.place), *(f"{columns[x]} {rows[y]}" for x, y in corners)]))
    return lines


class _YoloWriter(Writer):
    def __init__(self, target: Target) -> None:
        self.target = target

    def convert(self, mask: ReadMask) -> tuple[MaskFile, str]:
        """Return the label file's text."""
        lines = label_lines(mask.pixels, min_area=self.target.options.min_area)
        return mask.file, "".join(f"{line}\n" for line in lines)

    def add(self, converted: tuple[MaskFile, str]) -> None:
        """Write the label file, and put the image where it is looked for."""
        file, text = converted
        folder = self.target.path
        write_text_atomically(folder / LABELS / f"{file.stem}.txt", text)
        if file.image is not None:
            path = folder / IMAGES / f"{file.stem}{file.image.path.suffix}"
            place_image(file.image, path, copy=self.target.options.copy_images)

    def skip(self, file: MaskFile) -> None:
        """Remove what an earlier export wrote for this mask."""
        (self.target.path / LABELS / f"{file.stem}.txt").unlink(missing_ok=True)
