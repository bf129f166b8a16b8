"""What a graph has to say of itself, since who runs it has nothing else."""

import json
from dataclasses import asdict
from pathlib import Path

from segdistill.model.segmenter import Segmenter
from segdistill.version import __version__


def metadata_of(segmenter: Segmenter) -> dict[str, str]:
    """Return facts on a model as text by name, fit for the metadata of an ONNX file.

    Lists are JSON. ``classes`` holds index, name, colour and hidden flag of each class;
    ``resolution`` the shorter side, in pixels, to which images are to be brought, with both sides
    multiples of ``size_multiple``.
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
        # Where it lies on the machine that wrote the graph is nobody's business.
        "backbone": name.name if name.is_absolute() else backbone.name,
        "backbone_fingerprint": backbone.fingerprint,
        "backbone_licence": backbone.licence,
    }
