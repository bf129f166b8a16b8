"""Options of an export."""

from dataclasses import dataclass
from typing import Annotated, Literal

from segdistill.config.settings import Count, ShareBelowOne
from segdistill.config.validation import Range

FormatName = Literal["coco", "yolo", "label-studio", "voc", "cvat", "geojson", "colours"]
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
        simplify: tolerance in pixels for simplifying polygons; 0 follows the pixels' edges
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
    min_region: ShareBelowOne = 0.0005
    min_area: Count = 1
    simplify: Annotated[float, Range("from 0 to 100", lambda value: 0 <= value <= 100)] = 1.0
    split: ShareBelowOne = 0.2
    image_url_prefix: str | None = None
    copy_images: bool = False
    strict: bool = False
    overwrite: bool = False
