"""Label Studio: tasks with brush predictions, and the labelling configuration."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from segdistill.export.classes import check_distinct, css_hex
from segdistill.export.regions import find_regions, iterate_regions
from segdistill.export.run_lengths import brush_bytes
from segdistill.export.writing import JsonListWriter, LoadedMask, Target, Writer, open_text
from segdistill.files import write_text_atomically
from segdistill.model.description import SegmentClass
from segdistill.version import __version__

LOCAL_FILES = "/data/local-files/?d="
"""URL prefix under which Label Studio serves local files."""

FROM_NAME, TO_NAME, DATA_NAME = "label", "image", "image"


def configuration_path(target: Target) -> Path:
    """Return the path of the labelling configuration."""
    return target.path.with_suffix(".xml")


def configuration(classes: Sequence[SegmentClass]) -> str:
    """Return the labelling configuration as XML.

    Example:
        >>> print(configuration([SegmentClass(0, "a < b", (255, 0, 0))]), end="")
        <View>
          <Image name="image" value="$image" zoom="true"/>
          <BrushLabels name="label" toName="image">
            <Label value="a &lt; b" background="#ff0000"/>
          </BrushLabels>
        </View>
    """
    labels = [
        f'    <Label value={quoteattr(each.name)} background="{css_hex(each.colour)}"/>'
        for each in classes
    ]
    lines = [
        "<View>",
        f'  <Image name="{TO_NAME}" value="${DATA_NAME}" zoom="true"/>',
        f'  <BrushLabels name="{FROM_NAME}" toName="{TO_NAME}">',
        *labels,
        "  </BrushLabels>",
        "</View>",
    ]
    return "".join(f"{line}\n" for line in lines)


@contextlib.contextmanager
def open_label_studio(target: Target) -> Iterator[Writer]:
    """Yield a writer of one JSON file; the configuration is written next to it.

    Raises:
        UserError: two classes have the same name.
    """
    check_distinct(target.classes)
    with open_text(target.path) as file:
        file.write("[")
        yield _LabelStudioWriter(target, JsonListWriter(file))
        file.write("\n]\n")
        write_text_atomically(configuration_path(target), configuration(target.classes))


class _LabelStudioWriter(Writer):
    def __init__(self, target: Target, tasks: JsonListWriter) -> None:
        self.classes = target.classes
        self.options = target.options
        self.tasks = tasks

    def convert(self, mask: LoadedMask) -> str:
        """Return the task as JSON."""
        connected = self.options.regions == "connected"
        regions = find_regions(mask.pixels, connected=connected, min_area=self.options.min_area)
        height, width = mask.pixels.shape
        results = []
        for each in iterate_regions(regions):
            rle = brush_bytes(each.pixels, each.top, each.left, (height, width))
            name = self.classes[each.class_index].name
            results.append(_result(each.number, list(rle), name, (height, width)))
        prefix = self.options.image_url_prefix
        link = (LOCAL_FILES if prefix is None else prefix) + quote(mask.file.image_name)
        prediction = {"model_version": f"segdistill {__version__}", "result": results}
        return json.dumps({"data": {DATA_NAME: link}, "predictions": [prediction]})

    def add(self, converted: str) -> None:
        """Write the task."""
        self.tasks.add(converted)


def _result(number: int, rle: list[int], name: str, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": f"region{number}",
        "type": "brushlabels",
        "from_name": FROM_NAME,
        "to_name": TO_NAME,
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": [name]},
    }
