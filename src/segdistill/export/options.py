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

    The descriptions are those of the command line.

    Attributes:
        regions: what counts as one region: connected pixels of a class, or a whole class (default:
            connected; for label-studio: class).
        polygons: write polygons instead of run lengths (coco).
        min_region: smallest region, as a share of the image's area: smaller ones join a neighbour;
            0 keeps all (coco, yolo, label-studio, geojson).
        min_area: leave out connected regions of fewer pixels.
        simplify: tolerance in pixels by which polygons lose corners; 0 follows the pixels' edges
            (coco with --polygons, yolo, geojson).
        split: share of the images in the validation set, chosen by name; images in folders named
            train and val stay there; 0 makes no validation set (yolo).
        image_url_prefix: prefix of image names in links (label-studio; default:
            /data/local-files/?d=).
        copy_images: copy images instead of linking to them (yolo, voc).
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
