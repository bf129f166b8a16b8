"""Label Studio: tasks with brush predictions, and the labelling configuration."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from segdistill.export.format import ExportFormat, JsonListWriter, check_distinct, open_text
from segdistill.export.masks import MaskFile
from segdistill.export.regions import brush_bytes, find_regions, region_runs
from segdistill.files import write_text_atomically
from segdistill.images.palette import css_colour
from segdistill.model.description import SegmentClass
from segdistill.version import __version__

LOCAL_FILES = "/data/local-files/?d="
"""URL prefix under which Label Studio serves local files."""


class LabelStudio(ExportFormat):
    """One JSON file of tasks; the labelling configuration is written next to it."""

    supported_options = frozenset({"regions", "min_region", "min_area", "image_url_prefix"})
    suffixes = (".json",)
    needs_images = True

    @property
    def sidecar(self) -> Path:
        """The labelling configuration."""
        return self.path.with_suffix(".xml")

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Write the JSON around the tasks, and the configuration."""
        check_distinct(self.classes)
        with open_text(self.path) as file:
            file.write("[")
            self.tasks = JsonListWriter(file)
            yield
            file.write("\n]\n")
            write_text_atomically(self.sidecar, _configuration(self.classes))

    def convert(self, file: MaskFile, mask: NDArray[np.uint8]) -> str:
        """Return the task as JSON."""
        regions = find_regions(mask, connected=self.options.regions == "connected")
        runs_of_regions = region_runs(regions.numbers.ravel(), len(regions.classes))
        results = [
            {
                "id": f"region{number}",
                "type": "brushlabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": mask.shape[1],
                "original_height": mask.shape[0],
                "image_rotation": 0,
                "value": {
                    "format": "rle",
                    "rle": list(brush_bytes(runs, mask.size)),
                    "brushlabels": [self.classes[class_index].name],
                },
            }
            for number, (class_index, runs) in enumerate(
                zip(regions.classes, runs_of_regions, strict=True), start=1
            )
        ]
        prefix = self.options.image_url_prefix
        link = (LOCAL_FILES if prefix is None else prefix) + quote(file.image_name)
        prediction = {"model_version": f"segdistill {__version__}", "result": results}
        return json.dumps({"data": {"image": link}, "predictions": [prediction]})

    def add(self, converted: str) -> None:
        """Write the task."""
        self.tasks.add(converted)


def _configuration(classes: Sequence[SegmentClass]) -> str:
    """Return the labelling configuration as XML."""
    lines = [
        "<View>",
        '  <Image name="image" value="$image" zoom="true"/>',
        '  <BrushLabels name="label" toName="image">',
        *(
            f'    <Label value={quoteattr(each.name)} background="{css_colour(each.colour)}"/>'
            for each in classes
        ),
        "  </BrushLabels>",
        "</View>",
    ]
    return "".join(f"{line}\n" for line in lines)
