"""Publishing a run on the Hugging Face hub."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from segdistill.api.common import Source
from segdistill.evaluation.record import read_record
from segdistill.layout import SETTINGS_FILE
from segdistill.model.card import MEASURES, CardFacts
from segdistill.model.segmenter import Segmenter
from segdistill.runs.folder import RunFolder

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
    facts = CardFacts(settings=shared_settings(run), data=data)
    if evaluation is not None:
        facts = _with_scores(facts, Path(evaluation))
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
    settings = RunFolder(folder).read_settings().as_plain()
    kept = {name: value for name, value in settings.items() if name not in LOCAL_SETTINGS}
    kept["depth"] |= {"folder": None}
    if Path(kept["backbone"]).is_absolute():
        kept["backbone"] = Path(kept["backbone"]).name
    return kept


def _with_scores(facts: CardFacts, folder: Path) -> CardFacts:
    """Add the scores of an evaluation: those of clusters matched to label classes."""
    record = read_record(folder)
    clusters = record.scores.get("cluster")
    scores = {name: getattr(clusters, name, None) for name in MEASURES}
    known = {name: score for name, score in scores.items() if isinstance(score, float)}
    return replace(facts, scores=known, images=record.images)
