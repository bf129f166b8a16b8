"""Options of an export."""

from dataclasses import dataclass
from typing import Literal

from segdistill.config.validation import refuse, typed

LARGEST_TOLERANCE = 100

FormatName = Literal["coco", "yolo", "label-studio", "voc", "cvat", "geojson"]
RegionsName = Literal["connected", "class"]


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export; each format supports some of them.

    Attributes:
        regions: ``connected`` for one region per 4-connected component, ``class`` for one per class
            and image. The default depends on the format.
        polygons: write polygons instead of run-length encodings.
        min_region: minimum size of a connected region as a share of the image, 0 <= share < 1.
            Smaller regions are merged into the neighbour with the longest shared border, or dropped
            if there is none. 0 keeps all.
        min_area: drop regions with fewer pixels.
        simplify: polygon tolerance in pixels; neighbours keep their shared borders. 0 follows the
            pixel edges.
        split: share of the validation set (YOLO), 0 <= share < 1, chosen by a hash of the name.
            Existing ``train`` and ``val`` folders are kept.
        image_url_prefix: prefix of the image URLs.
        copy_images: copy the images instead of linking them.
        strict: stop at the first mask that cannot be exported.
        overwrite: replace existing files.
    """

    regions: RegionsName | None = None
    polygons: bool = False
    min_region: float = 0.0005
    min_area: int = 1
    simplify: float = 1.0
    split: float = 0.2
    image_url_prefix: str | None = None
    copy_images: bool = False
    strict: bool = False
    overwrite: bool = False

    def validated(self) -> "ExportOptions":
        """Return the options with checked types and ranges.

        Raises:
            UserError: a value is invalid; the message names the option and the allowed values.
        """
        options = typed(self)
        if options.min_area < 1:
            refuse("min-area", str(options.min_area), "at least 1")
        for name in ("min_region", "split"):
            value = getattr(options, name)
            if not 0 <= value < 1:
                refuse(name.replace("_", "-"), f"{value:g}", "from 0 to below 1")
        if not 0 <= options.simplify <= LARGEST_TOLERANCE:
            refuse("simplify", f"{options.simplify:g}", f"from 0 to {LARGEST_TOLERANCE}")
        return options
