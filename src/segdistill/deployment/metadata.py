"""Metadata of exported graphs."""

import json
from dataclasses import asdict
from pathlib import Path

from segdistill.model.segmenter import Segmenter
from segdistill.version import __version__


def metadata_of(segmenter: Segmenter) -> dict[str, str]:
    """Return the metadata of a model as strings, as ONNX requires.

    Lists are JSON. ``classes`` has the index, name, colour and hidden flag of each class.
    ``resolution`` is the shorter side in pixels to resize images to, with both sides multiples of
    ``size_multiple``.
    """
    backbone = segmenter.backbone
    name = Path(backbone.name)
    classes = [
        {key: value for key, value in asdict(each).items() if key != "clusters"}
        for each in segmenter.classes
    ]
    return {
        "segdistill": __version__,
        "classes": json.dumps(classes),
        "resolution": str(segmenter.settings.resolution),
        "size_multiple": str(backbone.size_multiple),
        "stride": str(backbone.stride),
        "input": "RGB, float32 in 0..1, (batch, 3, height, width)",
        # Without the folder, which is private to the machine that wrote the graph.
        "backbone": name.name if name.is_absolute() else backbone.name,
        "backbone_fingerprint": backbone.fingerprint,
        "backbone_licence": backbone.licence,
    }
