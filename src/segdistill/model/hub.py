"""Models on the Hugging Face hub: downloading them, and sharing one with a model card.

A repository holds the model files of a run folder, safetensors and JSON, and a README.md. Nothing
is unpickled, and no code from a repository is run.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from segdistill.backbones import backbone_entries
from segdistill.backbones.huggingface import hub_reason
from segdistill.errors import UserError
from segdistill.files import write_text_atomically
from segdistill.layout import DESCRIPTION_FILE, WEIGHTS_FILE
from segdistill.model.files import (
    SegmenterParts,
    read_description,
    write_description,
    write_parts,
)
from segdistill.version import __version__

CARD_FILE = "README.md"
READ_FILES = ("*.json", "*.safetensors")
"""Files to download: the model, and its backbone if it is in the same repository."""

MEASURES = {"accuracy": "accuracy", "mean_iou": "mIoU", "boundary_f": "boundary F-score"}
"""Scores of an evaluation, with their display names."""

WHAT_IT_IS = (
    "Segments images into kinds of things that were found without labels, by segdistill"
    f" {__version__}."
)

LOCAL_BACKBONE = (
    "Its backbone lay in a local folder and is not in this repository: give the folder that holds"
    " it."
)


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


def model_folder(source: str | Path, *, revision: str | None = None) -> Path:
    """Return a folder that holds a model: the given folder, or a download from the hub.

    Args:
        source: a folder, or a hub id such as ``someone/street-scenes``.
        revision: branch, tag or commit of the repository.

    Raises:
        UserError: ``source`` is neither, or the download failed.
    """
    folder, hub_id = Path(source), str(source)
    if folder.is_dir():
        return folder
    _check_hub_id(hub_id, "no such folder, and no hub id such as someone/street-scenes")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    with _reworded(hub_id, "no such folder, and no model from the Hugging Face hub"):
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(READ_FILES)))


def push_model(
    parts: SegmenterParts,
    repo_id: str,
    *,
    private: bool = False,
    overwrite: bool = False,
    facts: CardFacts | None = None,
) -> str:
    """Push a model and its card to a repository; see :meth:`segdistill.Segmenter.push_to_hub`.

    Returns:
        The URL of the commit.
    """
    _check_hub_id(repo_id, "no hub id; give one such as someone/street-scenes")
    from huggingface_hub import HfApi  # noqa: PLC0415 - only sharing needs it

    hub = HfApi()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_parts(parts, folder)
        _remove_local_paths(folder)
        card = model_card(parts, repo_id, facts or CardFacts())
        write_text_atomically(folder / CARD_FILE, card)
        said = "the Hugging Face hub did not take the model"
        with _reworded(repo_id, said, fix="; `hf auth login` gives it your token"):
            hub.create_repo(repo_id, private=private, exist_ok=True)
            if overwrite or not hub.file_exists(repo_id, DESCRIPTION_FILE):
                commit = hub.upload_folder(
                    repo_id=repo_id,
                    folder_path=folder,
                    allow_patterns=[CARD_FILE, DESCRIPTION_FILE, WEIGHTS_FILE],
                    commit_message="Upload a model of segdistill",
                )
                return str(commit.commit_url)
    raise UserError(f"{repo_id}: holds a model already; choose another name, or add --overwrite")


def _check_hub_id(name: str, otherwise: str) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise UserError(f"{name}: {otherwise}")


@contextlib.contextmanager
def _reworded(repo_id: str, said: str, *, fix: str = "") -> Iterator[None]:
    """Reword the hub's errors and disable its progress bars in the meantime."""
    import huggingface_hub.utils  # noqa: PLC0415 - only the hub needs it

    library: Any = huggingface_hub.utils
    were_off = library.are_progress_bars_disabled()
    library.disable_progress_bars()
    try:
        yield
    except Exception as error:
        # The hub raises the errors of its HTTP library, which has changed twice.
        raise UserError(f"{repo_id}: {said}: {hub_reason(repo_id, error)}{fix}") from error
    finally:
        if not were_off:
            library.enable_progress_bars()


def _remove_local_paths(folder: Path) -> None:
    """Remove paths of this machine, which are of no use to others."""
    description = read_description(folder)
    name = Path(description.backbone.name)
    if name.is_absolute():
        description.backbone.name = name.name
        write_description(description, folder)


def model_card(parts: SegmenterParts, repo_id: str, facts: CardFacts) -> str:
    """Return the model card: Markdown with YAML front matter, as the hub expects."""
    head = yaml.safe_dump(_metadata(parts, repo_id, facts), sort_keys=False)
    sections = [
        f"# {repo_id.rpartition('/')[2]}",
        WHAT_IT_IS,
        _how_to_use(parts, repo_id),
        _classes(parts),
        _scores(facts),
        _origin(parts, facts),
    ]
    return f"---\n{head}---\n" + "\n\n".join(section for section in sections if section) + "\n"


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
        return "## How good it is\nNot measured against labels."
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


def _origin(parts: SegmenterParts, facts: CardFacts) -> str:
    training, backbone = parts.settings.training, parts.backbone
    name = _backbone_source(parts) or Path(backbone.name).name
    source = (
        f"- Backbone: {name if name != 'embedded' else backbone.name}, frozen, licence of its"
        f" weights: {backbone.licence}, fingerprint `{backbone.fingerprint}`. This repository does"
        " not hold them."
    )
    lines = [
        "## Training",
        source,
        f"- Images are seen at a shorter side of {parts.settings.resolution} pixels.",
    ]
    if "images" in training:
        lines.append(f"- Learned from {training['images']} images without labels.")
    if "data_fingerprint" in training:
        lines.append(f"- Fingerprint of their content: `{training['data_fingerprint']}`.")
    if facts.settings:
        settings = yaml.safe_dump(dict(facts.settings), sort_keys=False)
        lines += ["", "Settings:", "", f"```yaml\n{settings}```"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Return text that is safe in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
