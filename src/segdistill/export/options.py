"""What can be chosen about an export."""

from dataclasses import dataclass
from typing import Literal

from segdistill.config.validation import refuse, typed

FormatName = Literal["coco", "yolo", "label-studio", "voc", "cvat", "geojson"]
RegionsName = Literal["connected", "class"]


@dataclass(frozen=True)
class ExportOptions:
    """How to export masks; which of these a format takes is said in ``formats.py``.

    Attributes:
        regions: what counts as one region: the pixels of a class that are ``connected`` (by their
            sides), or all pixels of a ``class`` in an image. By default the format decides.
        polygons: write polygons where the format also knows run-length encoding.
        min_area: leave out regions of fewer pixels.
        image_url_prefix: what comes before an image's name in a link to it.
        copy_images: copy images beside the labels, where they are linked otherwise.
        strict: stop at the first mask that cannot be exported.
        overwrite: replace files that are there already.
    """

    regions: RegionsName | None = None
    polygons: bool = False
    min_area: int = 1
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
        return options
