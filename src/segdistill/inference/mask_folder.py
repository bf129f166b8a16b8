"""The table of a folder of masks, ``images.csv``, and the summary of all masks."""

import csv
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from segdistill.engines.staging import TRANSFERS
from segdistill.engines.work import Item
from segdistill.errors import FullDiskError, UserError
from segdistill.images.folder import SkippedImage
from segdistill.inference.mask_classes import MaskClass, MaskPixels, write_classes
from segdistill.inference.options import RASTER_SUFFIX
from segdistill.inference.raster_masks import count_mask_pixels
from segdistill.labels.label_files import read_labels
from segdistill.layout import IMAGES_FILE
from segdistill.model.description import SegmentClass
from segdistill.prefetch import in_threads
from segdistill.storage import Folder, local_copy, read_text, write_text

logger = logging.getLogger("segdistill")

NAMED_IMAGES = 3
DIGITS = 5


@dataclass(frozen=True)
class ImageRow:
    """A row of the table.

    Attributes:
        name: relative path of the mask.
        pixels: number of pixels of each class.
        distance: mean cosine distance of the codes to the nearest prototypes, in 0..2; ``None`` for
            models without prototypes and for GeoTIFFs, which are processed in windows.
    """

    name: str
    pixels: tuple[int, ...]
    distance: float | None = None


def read_image_rows(text: str) -> dict[str, list[str]]:
    """Return the lines of ``images.csv`` by image; empty if the file is damaged."""
    try:
        lines = list(csv.reader(io.StringIO(text)))
    except csv.Error:
        return {}
    return {line[0]: line for line in lines[1:] if line and len(line) == len(lines[0])}


def image_table(
    rows: Iterable[ImageRow],
    classes: Sequence[SegmentClass],
    unusual_above: float | None,
    earlier: dict[str, list[str]] | None = None,
) -> str:
    """Return the text of ``images.csv``.

    Args:
        rows: rows of the images; one without a distance does not replace an earlier line.
        classes: classes ordered by index.
        unusual_above: distance above which an image is unusual; ``None`` if unknown.
        earlier: lines of images segmented earlier.

    Example:
        >>> classes = [SegmentClass(0, "sky", (0, 0, 9)), SegmentClass(1, "sea", (0, 9, 9))]
        >>> print(image_table([ImageRow("a.png", (3, 1), 0.25)], classes, 0.2).strip())
        image,unusual,distance,sky,sea
        a.png,yes,0.25,0.75,0.25
    """
    header = ["image", "unusual", "distance", *(each.name for each in classes)]
    lines = {name: line for name, line in (earlier or {}).items() if len(line) == len(header)}
    for row in rows:
        if row.distance is None and row.name in lines:
            continue
        total = max(sum(row.pixels), 1)
        known = row.distance is not None and unusual_above is not None
        unusual = "" if not known else "yes" if is_unusual(row, unusual_above) else "no"
        distance = "" if row.distance is None else f"{row.distance:.{DIGITS}g}"
        shares = [f"{count / total:.{DIGITS}g}" for count in row.pixels]
        lines[row.name] = [row.name, unusual, distance, *shares]
    return "".join(map(_csv_line, [header, *(lines[name] for name in sorted(lines))]))


def _csv_line(cells: Sequence[str]) -> str:
    # Written with both characters of a line's end, so that a cell with either of them is quoted.
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def is_unusual(row: ImageRow, unusual_above: float | None) -> bool:
    """Return whether an image is known to differ from most training images."""
    return row.distance is not None and unusual_above is not None and row.distance > unusual_above


@dataclass
class SegmentedFiles:
    """Result of segmenting files.

    Attributes:
        folder: path or URL of the output folder.
        written: number of masks written.
        kept: number of existing masks that were kept.
        skipped: images that could not be read.
        images: rows of the images that were segmented.
    """

    folder: Path | str
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)
    images: list[ImageRow] = field(default_factory=list)

    def add(self, other: "SegmentedFiles") -> None:
        """Add the result of other sources."""
        self.written += other.written
        self.kept += other.kept
        self.skipped += other.skipped
        self.images += other.images


def write_summary(
    out: Folder,
    classes: Sequence[MaskClass],
    rows: Sequence[ImageRow],
    unusual_above: float | None,
    *,
    keep: bool,
) -> None:
    """Write ``images.csv`` and ``classes.json``, and warn about unusual images.

    Args:
        out: folder of the masks.
        classes: classes ordered by index.
        rows: rows of all masks, without a distance for masks that were kept.
        unusual_above: distance above which an image is unusual; ``None`` if unknown.
        keep: keep the lines of images segmented earlier.

    Raises:
        UserError: the folder cannot be written.
    """
    earlier = read_image_rows(read_text(out, IMAGES_FILE) or "") if keep else {}
    write_text(out, IMAGES_FILE, image_table(rows, classes, unusual_above, earlier))
    pixels = np.zeros(len(classes), np.int64)
    for row in rows:
        pixels += row.pixels
    # Written last: it marks the folder as complete.
    write_classes(out, classes, pixels)
    warn_about_unusual_images(rows, unusual_above, f"{out.path or out.address}/{IMAGES_FILE}")


def rows_of_masks(
    kept: Iterable[Item], out: Folder, classes: int
) -> Iterator[tuple[Item, ImageRow | None]]:
    """Yield the row of each existing mask, or ``None`` if the mask cannot be read.

    Args:
        kept: images whose masks exist.
        out: folder of the masks.
        classes: number of classes.
    """

    def row(item: Item) -> tuple[Item, ImageRow | None]:
        try:
            with local_copy(out, item.output) as mask:
                counts = count_pixels(mask, classes)
        except FullDiskError:
            raise
        except UserError:
            return item, None
        return item, ImageRow(item.output, tuple(counts.tolist()))

    return in_threads(row, kept, threads=TRANSFERS, ahead=2 * TRANSFERS)


def count_pixels(path: Path, classes: int) -> MaskPixels:
    """Count the pixels of each class in a mask.

    Args:
        path: a mask, PNG or GeoTIFF.
        classes: number of classes.

    Returns:
        Array of shape (classes,).
    """
    if path.suffix == RASTER_SUFFIX:
        return count_mask_pixels(path, classes)
    return np.bincount(read_labels(path).ravel(), minlength=classes)[:classes].astype(np.int64)


def warn_about_unusual_images(
    rows: Sequence[ImageRow], unusual_above: float | None, where: str
) -> None:
    """Log a warning if images differ from most training images.

    Args:
        rows: rows of the images.
        unusual_above: distance above which an image is unusual; ``None`` if unknown.
        where: path or URL of ``images.csv``.
    """
    unusual = [row.name for row in rows if is_unusual(row, unusual_above)]
    if unusual:
        names = ", ".join(unusual[:NAMED_IMAGES])
        more = ", ..." if len(unusual) > NAMED_IMAGES else ""
        logger.warning(
            "%d of %d images differ from most training images, so their masks may be wrong: %s%s"
            " (see column 'unusual' in %s)",
            *(len(unusual), len(rows), names, more, where),
        )
