"""Sharing a run on the Hugging Face hub."""

from pathlib import Path
from typing import Any

from segdistill.api.common import Source
from segdistill.backbones.huggingface import read_json
from segdistill.errors import UserError
from segdistill.evaluation.output import SCORES_FILE
from segdistill.model.model_card import CardFacts
from segdistill.model.segmenter import Segmenter
from segdistill.training.run_folder import SETTINGS_FILE, RunFolder

# What a reader of the card could do nothing with: places and devices of this machine.
OWN_SETTINGS = ("cache", "device", "labels", "precision", "saliency")


def push(
    run: Source,
    repo_id: str,
    *,
    evaluation: Source | None = None,
    data: str = "labelled images",
    private: bool = False,
    overwrite: bool = False,
    backbone: str | None = None,
) -> str:
    """Share the model of a run folder on the Hugging Face hub, with a card.

    Args:
        run: a run folder.
        repo_id: such as ``someone/street-scenes``; made if it is not there.
        evaluation: folder that ``segdistill evaluate --out`` wrote, for the card.
        data: what to call the images of the evaluation on the card.
        private: whether a new repository is seen by its owner alone.
        overwrite: replace a model that the repository holds.
        backbone: where the backbone lies now, if it has moved.

    Returns:
        The address of the commit.

    Raises:
        UserError: something given cannot be used, or the hub does not take the model.
    """
    facts = CardFacts(
        settings=shared_settings(run),
        evaluation={} if evaluation is None else _evaluation(Path(evaluation)),
        data=data,
    )
    segmenter = Segmenter.load(run, backbone=backbone, device="cpu", precision="32-true")
    return segmenter.push_to_hub(repo_id, private=private, overwrite=overwrite, facts=facts)


def shared_settings(run: Source) -> dict[str, Any]:
    """Return the settings of a run without places and devices of this machine.

    Args:
        run: a run folder; one without ``settings.yaml`` has none.
    """
    folder = Path(run)
    if not (folder / SETTINGS_FILE).is_file():
        return {}
    settings = RunFolder(folder).read_settings()
    kept = {name: value for name, value in settings.items() if name not in OWN_SETTINGS}
    if isinstance(kept.get("depth"), dict):
        kept["depth"] = kept["depth"] | {"folder": None}
    if Path(str(kept.get("backbone"))).is_absolute():
        kept["backbone"] = Path(str(kept["backbone"])).name
    return kept


def _evaluation(folder: Path) -> dict[str, Any]:
    path = folder / SCORES_FILE
    if not path.is_file():
        raise UserError(f"{folder}: holds no {SCORES_FILE}; give what `evaluate --out` wrote")
    return read_json(path)
