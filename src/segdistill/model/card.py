"""The model card of a model on the Hugging Face hub: what it is for, and what it came from.

Its sections are those of the hub's own template. It states only what the model, its settings and
its evaluation say; what nobody knows but the person who shares it, such as the licence of the
images, is asked for in so many words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segdistill.backbones import backbone_entries
from segdistill.model.files import SegmenterParts
from segdistill.version import __version__

MEASURES = {"accuracy": "accuracy", "mean_iou": "mIoU", "boundary_f": "boundary F-score"}
"""Scores of an evaluation, with their display names."""

LOCAL_BACKBONE = (
    "Its backbone was loaded from a local folder and is not in this repository: pass the folder"
    " that contains it."
)

METHODS = {
    "stego": "A small head on a frozen backbone was trained with the correspondences of its"
    " features (STEGO, Hamilton et al., ICLR 2022; with depth maps, DepthG, Sick et al., CVPR"
    " 2024),"
    " and its codes were clustered.",
    "kmeans": "The features of a frozen backbone were clustered by k-means, without training.",
    "taught": "A linear classifier on the features of a frozen backbone was fitted to a person's"
    " answers about regions.",
}
"""What was done, by the method of a model."""

OBJECTIVES = {
    "smooseg": "SmooSeg, Lan et al., NeurIPS 2023",
    "eagle": "EAGLE, Kim et al., CVPR 2024",
    "primaps": "PriMaPs-EM, Hahn et al., TMLR 2024",
    "hp": "HP, Seong et al., CVPR 2023",
    "cause": "CAUSE, Kim et al., 2023",
}
"""The sources of objectives other than STEGO's."""

LIMITS = """## Limits
- It segments kinds of objects, not instances: two cars that touch are one region.
- Rare, thin and small objects get absorbed by other classes; a class needs regions of a few cells
  of the backbone's grid.
- It segments any image into its classes, even images unlike those it learned from.
  `segdistill segment` flags such images as unusual in `images.csv`.
- It cannot tell apart what its training images do not show, or rarely show. Evaluate it on your
  own images before anything depends on it, especially where people could be harmed."""


@dataclass(frozen=True)
class CardFacts:
    """Facts for a model card that are not part of the model itself.

    Attributes:
        settings: the settings of the fit, as plain values.
        scores: scores of the clusters matched to label classes, by their names in
            :data:`MEASURES`; empty without an evaluation.
        images: number of images they were measured on.
        data: the name of the labelled images.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    data: str = "labelled images"


def model_card(parts: SegmenterParts, repo_id: str, facts: CardFacts) -> str:
    """Return the model card: Markdown with YAML front matter, as the hub expects."""
    head = yaml.safe_dump(_metadata(parts, repo_id, facts), sort_keys=False)
    sections = [
        f"# {repo_id.rpartition('/')[2]}",
        _what_it_is(parts),
        _how_to_use(parts, repo_id),
        _classes(parts),
        _scores(facts),
        LIMITS,
        _data(parts),
        _training(parts, facts),
        _licences(parts),
    ]
    return f"---\n{head}---\n" + "\n\n".join(sections) + "\n"


def _is_taught(parts: SegmenterParts) -> bool:
    return parts.settings.training.get("method") == "taught"


def _what_it_is(parts: SegmenterParts) -> str:
    found = (
        "classes taught by a person with a few answers"
        if _is_taught(parts)
        else "classes found in images without labels"
    )
    return (
        f"Segments images into {len(parts.settings.classes)} {found}, by segdistill"
        f" {__version__}.\n\n"
        "**Intended use:** images like those it learned from (see Data), to explore and sort them,"
        " to measure shares of area, and to draft annotations that a person corrects."
    )


def _backbone_source(parts: SegmenterParts) -> str:
    """Return the hub id of a model's backbone, ``embedded``, or an empty string if it is local."""
    name = parts.backbone.name.partition(":")[0]
    known = {entry.name: entry.source for entry in backbone_entries()}
    if name in known:
        return known[name]
    return name if name.count("/") == 1 and not Path(name).exists() else ""


def _metadata(parts: SegmenterParts, repo_id: str, facts: CardFacts) -> dict[str, Any]:
    source = _backbone_source(parts)
    metadata: dict[str, Any] = {
        "library_name": "segdistill",
        "pipeline_tag": "image-segmentation",
        "tags": ["segdistill", "semantic-segmentation", "unsupervised"],
    }
    if "/" in source:
        metadata["base_model"] = source
    if facts.scores:
        metadata["model-index"] = [
            {
                "name": repo_id.rpartition("/")[2],
                "results": [
                    {
                        "task": {"type": "image-segmentation"},
                        "dataset": {"name": facts.data, "type": "image-segmentation"},
                        "metrics": [
                            {"type": name, "name": MEASURES[name], "value": round(value, 4)}
                            for name, value in facts.scores.items()
                        ],
                    }
                ],
            }
        ]
    return metadata


def _how_to_use(parts: SegmenterParts, repo_id: str) -> str:
    is_local = not _backbone_source(parts)
    place = ', backbone="FOLDER"' if is_local else ""
    note = f"\n\n{LOCAL_BACKBONE}" if is_local else ""
    return f"""## How to use it
```python
from segdistill import Segmenter

segmenter = Segmenter.from_pretrained("{repo_id}"{place})
mask = segmenter.segment("photo.jpg")  # (height, width) class indices, the photo's own size
segmenter.save("runs/shared")  # a run folder for every command of segdistill
```

```sh
segdistill segment runs/shared photos --overlay
```{note}"""


def _classes(parts: SegmenterParts) -> str:
    rows = [
        f"| {each.index} | {_cell(each.name)} | `#{bytes(each.colour).hex()}` |"
        f" {'hidden in overlays and exports' if each.hidden else ''} |"
        for each in parts.settings.classes
    ]
    return "\n".join(["## Classes", "| index | name | colour | |", "|---|---|---|---|", *rows])


def _scores(facts: CardFacts) -> str:
    if not facts.scores:
        return (
            "## How good it is\nNot measured against labels. `segdistill evaluate --out` measures"
            " the scores, and `segdistill push --evaluation` adds them here."
        )
    data = _cell(facts.data)
    rows = [f"| {MEASURES[name]} | {value:.1%} |" for name, value in facts.scores.items()]
    return "\n".join(
        [
            "## How good it is",
            f"On {facts.images} images of {data}, classes matched to labels one to one:",
            "",
            "| measure | |",
            "|---|---|",
            *rows,
        ]
    )


def _data(parts: SegmenterParts) -> str:
    training = parts.settings.training
    lines = ["## Data"]
    if training.get("images"):
        lines.append(f"- Learned from {training['images']} images without labels.")
    if training.get("data_fingerprint"):
        lines.append(f"- Fingerprint of their content: `{training['data_fingerprint']}`.")
    lines.append(
        "- The images are not in this repository. Please add what only you know: what they show,"
        " where and how they were taken, and whether people can be seen in them."
    )
    return "\n".join(lines)


def _training(parts: SegmenterParts, facts: CardFacts) -> str:
    lines = [
        "## Training",
        _method(parts.settings.training),
        f"- Backbone: {_backbone_name(parts)}, frozen, fingerprint `{parts.backbone.fingerprint}`.",
        "- The backbone's weights are not in this repository.",
        f"- Images are resized to a shorter side of {parts.settings.resolution} pixels.",
    ]
    if facts.settings:
        settings = yaml.safe_dump(dict(facts.settings), sort_keys=False)
        lines += ["", "Settings (`segdistill fit --config` reads them):", ""]
        lines += [f"```yaml\n{settings}```"]
    return "\n".join(lines)


def _licences(parts: SegmenterParts) -> str:
    return f"""## Licences
- Weights of the backbone: {parts.backbone.licence}.
- segdistill: Apache 2.0.
- This head: chosen by whoever shares it. Please add `license: ...` to the first lines of this file,
  and check what the licence of the images allows."""


def _method(training: dict[str, Any]) -> str:
    objective = training.get("objective", "stego")  # none is recorded without a trained head
    if objective == "stego":
        return METHODS[training.get("method", "stego")]
    return (
        "A small head on a frozen backbone was trained with the objective"
        f" {OBJECTIVES.get(objective, objective)}, and its codes were clustered."
    )


def _backbone_name(parts: SegmenterParts) -> str:
    name = _backbone_source(parts) or Path(parts.backbone.name).name
    return parts.backbone.name if name == "embedded" else name


def _cell(text: str) -> str:
    """Return text that is safe in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
