"""``images.csv``: how unusual each image is, and the share of each class in its mask."""

import csv
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.files import write_text_atomically
from segdistill.model.description import SegmentClass

logger = logging.getLogger("segdistill")

IMAGES_FILE = "images.csv"
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
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines[name] for name in sorted(lines))
    return buffer.getvalue()


def is_unusual(row: ImageRow, unusual_above: float | None) -> bool:
    """Return whether an image is known to differ from the training images."""
    return row.distance is not None and unusual_above is not None and row.distance > unusual_above


def write_image_table(
    folder: Path,
    rows: Sequence[ImageRow],
    classes: Sequence[SegmentClass],
    unusual_above: float | None,
    *,
    keep: bool,
) -> None:
    """Write ``images.csv``.

    Args:
        folder: folder of the masks.
        rows: rows of the images, without a distance for masks that were kept.
        classes: classes ordered by index.
        unusual_above: distance above which an image is unusual; ``None`` if unknown.
        keep: keep the lines of images segmented earlier.

    Raises:
        UserError: the folder cannot be written.
    """
    path = folder / IMAGES_FILE
    earlier: dict[str, list[str]] = {}
    if keep and path.is_file():
        earlier = read_image_rows(path.read_text(encoding="utf-8", errors="replace"))
    write_text_atomically(path, image_table(rows, classes, unusual_above, earlier))


def warn_about_unusual_images(
    rows: Sequence[ImageRow], unusual_above: float | None, where: str
) -> None:
    """Log a warning if images differ from the training images.

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
            "%d of %d images differ from the training images, so their masks may be wrong: %s%s"
            " (see column 'unusual' in %s)",
            *(len(unusual), len(rows), names, more, where),
        )
