"""Publishing a run on the Hugging Face hub."""

from pathlib import Path
from typing import Any

from segdistill.api.common import Source
from segdistill.backbones.huggingface import read_json
from segdistill.errors import UserError
from segdistill.evaluation.output import SCORES_FILE
from segdistill.model.hub import CardFacts
from segdistill.model.segmenter import Segmenter
from segdistill.training.run_folder import SETTINGS_FILE, RunFolder

# Paths and devices of this machine, of no use to readers of the model card.
LOCAL_SETTINGS = ("cache", "device", "labels", "precision", "saliency")


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
    """Upload the model of a run folder to the Hugging Face hub, with a model card.

    Args:
        run: a run folder.
        repo_id: repository, such as ``someone/street-scenes``; created if it does not exist.
        evaluation: folder written by ``segdistill evaluate --out``, for the card.
        data: name of the evaluation images on the card.
        private: whether a new repository is private.
        overwrite: replace an existing model in the repository.
        backbone: new location of the run's backbone, if it has moved.

    Returns:
        The URL of the commit.

    Raises:
        UserError: invalid input, or the hub rejects the model.
    """
    facts = CardFacts(
        settings=shared_settings(run),
        evaluation={} if evaluation is None else _evaluation(Path(evaluation)),
        data=data,
    )
    segmenter = Segmenter.load(run, backbone=backbone, device="cpu", precision="32-true")
    return segmenter.push_to_hub(repo_id, private=private, overwrite=overwrite, facts=facts)


def shared_settings(run: Source) -> dict[str, Any]:
    """Return the settings of a run, without paths and devices of this machine.

    Args:
        run: a run folder; empty settings are returned if it has no ``settings.yaml``.
    """
    folder = Path(run)
    if not (folder / SETTINGS_FILE).is_file():
        return {}
    settings = RunFolder(folder).read_settings()
    kept = {name: value for name, value in settings.items() if name not in LOCAL_SETTINGS}
    if isinstance(kept.get("depth"), dict):
        kept["depth"] = kept["depth"] | {"folder": None}
    if Path(str(kept.get("backbone"))).is_absolute():
        kept["backbone"] = Path(str(kept["backbone"])).name
    return kept


def _evaluation(folder: Path) -> dict[str, Any]:
    path = folder / SCORES_FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {SCORES_FILE}; give the output of `evaluate --out`")
    return read_json(path)
