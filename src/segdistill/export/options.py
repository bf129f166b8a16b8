"""What can be chosen about an export."""

from dataclasses import dataclass
from typing import Literal

from segdistill.config.validation import refuse, typed

MIN_REGION = 0.0005
LARGEST_TOLERANCE = 100

FormatName = Literal["coco", "yolo", "label-studio", "voc", "cvat", "geojson"]
RegionsName = Literal["connected", "class"]


@dataclass(frozen=True)
class ExportOptions:
    """How to export masks; which of these a format takes is said in ``formats.py``.

    Attributes:
        regions: what counts as one region: the pixels of a class that are ``connected`` (by their
            sides), or all pixels of a ``class`` in an image. By default the format decides.
        polygons: write polygons where the format also knows run-length encoding.
        min_region: share of the image that a connected region needs, from 0 to below 1; smaller
            ones join the neighbour with the longest common border, or are left out if there is
            none. 0 keeps all.
        min_area: leave out regions of fewer pixels.
        simplify: tolerance of polygons, in pixels: corners that change less are left out, and
            neighbours keep their common borders. 0 follows the edges of pixels.
        split: share of the images to validate on, from 0 to below 1 (YOLO), by their names. Images
            that lie in folders called ``train`` and ``val`` stay there.
        image_url_prefix: what comes before an image's name in a link to it.
        copy_images: copy images beside the labels, where they are linked otherwise.
        strict: stop at the first mask that cannot be exported.
        overwrite: replace existing files.
    """

    regions: RegionsName | None = None
    polygons: bool = False
    min_region: float = MIN_REGION
    min_area: int = 1
    simplify: float = 1.0
    split: float = 0.2
    image_url_prefix: str | None = None
    copy_images: bool = False
    strict: bool = False
    overwrite: bool = False

    def validated(self) -> "ExportOptions":
        """Return the options, with every value of its type and in its range.

        Raises:
            UserError: a value is not; the message names the option and what it may be.
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
