"""Models on the Hugging Face hub: reading them, and sharing one with a card that explains it.

A repository holds what a run folder holds of a model, safetensors and JSON, and README.md. Nothing
is unpickled, and no code of a repository is run.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from segdistill.backbones.huggingface import hub_reason
from segdistill.errors import UserError
from segdistill.files import write_text_atomically
from segdistill.model.files import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    read_description,
    write_description,
)
from segdistill.model.model_card import CardFacts, SharedModel, model_card

CARD_FILE = "README.md"
READ_FILES = ("*.json", "*.safetensors")
"""All that is downloaded: a model, and its backbone where that lies in the same repository."""


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
    _check_hub_id(hub_id, "no such folder, and no hub id such as someone/street-scenes")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    with _reworded(hub_id, "no such folder, and no model from the Hugging Face hub"):
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(READ_FILES)))


def push_model(
    segmenter: SharedModel,
    repo_id: str,
    *,
    private: bool = False,
    overwrite: bool = False,
    facts: CardFacts | None = None,
) -> str:
    """Write a model and its card into a repository; see :meth:`segdistill.Segmenter.push_to_hub`.

    Returns:
        The address of the commit.
    """
    _check_hub_id(repo_id, "no hub id; give one such as someone/street-scenes")
    from huggingface_hub import HfApi  # noqa: PLC0415 - only sharing needs it

    hub = HfApi()
    with TemporaryDirectory() as name:
        folder = Path(name)
        segmenter.save(folder)
        _remove_local_paths(folder)
        card = model_card(segmenter, repo_id, facts or CardFacts())
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
    """Reword the hub's errors, and turn off its progress bars meanwhile."""
    import huggingface_hub.utils  # noqa: PLC0415 - only the hub needs it

    library: Any = huggingface_hub.utils
    were_off = library.are_progress_bars_disabled()
    library.disable_progress_bars()
    try:
        yield
    except Exception as error:
        # The hub's errors are those of its HTTP library, which has changed twice.
        raise UserError(f"{repo_id}: {said}: {hub_reason(repo_id, error)}{fix}") from error
    finally:
        if not were_off:
            library.enable_progress_bars()


def _remove_local_paths(folder: Path) -> None:
    """Leave out where things lie on this machine: it helps nobody else."""
    description = read_description(folder)
    name = Path(description.backbone.name)
    if name.is_absolute():
        description.backbone.name = name.name
        write_description(description, folder)
