"""Models on the Hugging Face hub: reading them, and sharing one with a card that explains it.

A repository holds what a run folder holds of a model, safetensors and JSON, and README.md. Nothing
is unpickled, and no code of a repository is run.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, cast

from segdistill.backbones.huggingface import hub_reason
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.errors import UserError
from segdistill.files import write_text_atomically
from segdistill.model.files import DESCRIPTION_FILE, WEIGHTS_FILE
from segdistill.model.model_card import CardFacts, SharedModel, model_card

CARD_FILE = "README.md"
READ_FILES = ("*.json", "*.safetensors")
"""All that is downloaded: a model, and its backbone where that lies in the same repository."""


class HubMixin:
    """Reading a model from the hub, and writing one there; for a class with ``load``, ``save``."""

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        backbone: str | None = None,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
    ) -> Self:
        """Read a model from the Hugging Face hub, or from a folder.

        Args:
            source: a hub id such as ``someone/street-scenes``, or a run folder.
            revision: branch, tag or commit of the repository.
            backbone: where the backbone lies, if it is in a local folder.
            device: where to compute.
            precision: of matrix products.

        Raises:
            UserError: the model cannot be had, or not be read, or its backbone cannot.
        """
        model_class = cast("type[Any]", cls)
        folder = model_folder(source, revision=revision)
        model: Self = model_class.load(
            folder, backbone=backbone, device=device, precision=precision
        )
        return model

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        overwrite: bool = False,
        facts: CardFacts | None = None,
    ) -> str:
        """Share the model on the Hugging Face hub, with a card; the backbone's weights stay out.

        Args:
            repo_id: such as ``someone/street-scenes``; made if it is not there.
            private: whether a new repository is seen by its owner alone.
            overwrite: replace a model that the repository holds; the hub keeps the former one in
                its history.
            facts: settings and scores for the card; :func:`segdistill.push` finds those of a run.

        Returns:
            The address of the commit.

        Raises:
            UserError: the hub cannot be reached, or does not take the model, or holds one already.
        """
        return push_model(
            cast("SharedModel", self), repo_id, private=private, overwrite=overwrite, facts=facts
        )


def model_folder(source: str | Path, *, revision: str | None = None) -> Path:
    """Return a folder that holds a model: the folder given, or a copy of what the hub holds.

    Args:
        source: a folder, or a hub id such as ``someone/street-scenes``.
        revision: branch, tag or commit of the repository.

    Raises:
        UserError: it is neither, or cannot be had.
    """
    folder, hub_id = Path(source), str(source)
    if folder.is_dir():
        return folder
    check_hub_id(hub_id, "no such folder, and no hub id such as someone/street-scenes")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    try:
        with quiet_hub():
            return Path(
                snapshot_download(hub_id, revision=revision, allow_patterns=list(READ_FILES))
            )
    except Exception as error:
        # The hub's errors are those of its HTTP library, which has changed twice.
        raise UserError(
            f"{hub_id}: no such folder, and no model from the Hugging Face hub:"
            f" {hub_reason(hub_id, error)}"
        ) from error


def push_model(
    segmenter: SharedModel,
    repo_id: str,
    *,
    private: bool = False,
    overwrite: bool = False,
    facts: CardFacts | None = None,
) -> str:
    """Write a model and its card into a repository; see :meth:`HubMixin.push_to_hub`.

    Returns:
        The address of the commit.
    """
    check_hub_id(repo_id, "no hub id; give one such as someone/street-scenes")
    from huggingface_hub import HfApi  # noqa: PLC0415 - only sharing needs it

    hub = HfApi()
    with TemporaryDirectory() as folder:
        write_shared(segmenter, Path(folder), repo_id, facts or CardFacts())
        with _reworded(repo_id), quiet_hub():
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


@contextlib.contextmanager
def _reworded(repo_id: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The hub's errors are those of its HTTP library, which has changed twice.
        raise UserError(
            f"{repo_id}: the Hugging Face hub did not take the model:"
            f" {hub_reason(repo_id, error)}; `hf auth login` gives it your token"
        ) from error


def write_shared(segmenter: SharedModel, folder: Path, repo_id: str, facts: CardFacts) -> None:
    """Write what a repository is to hold into a folder.

    Args:
        segmenter: the model.
        folder: that is empty.
        repo_id: of the repository.
        facts: for the card.
    """
    segmenter.save(folder)
    _remove_local_paths(folder / DESCRIPTION_FILE)
    write_text_atomically(folder / CARD_FILE, model_card(segmenter, repo_id, facts))


def check_hub_id(name: str, otherwise: str) -> None:
    """Check that a name has the form of a hub id.

    Raises:
        UserError: it has not; the message ends with ``otherwise``.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise UserError(f"{name}: {otherwise}")


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Turn off the hub's progress bars, and restore the user's choice."""
    import huggingface_hub.utils  # noqa: PLC0415 - only the hub needs it

    hub: Any = huggingface_hub.utils
    were_off = hub.are_progress_bars_disabled()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        if not were_off:
            hub.enable_progress_bars()


def _remove_local_paths(description: Path) -> None:
    """Leave out where things lie on this machine: it helps nobody else."""
    content = json.loads(description.read_text(encoding="utf-8"))
    name = Path(content["backbone"]["name"])
    if name.is_absolute():
        content["backbone"]["name"] = name.name
        write_text_atomically(description, json.dumps(content, indent=2) + "\n")
