"""Models on the Hugging Face hub: downloading them, and sharing one with a model card.

A repository holds the model files of a run folder, safetensors and JSON, and a README.md. Nothing
is unpickled, and no code from a repository is run.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from segdistill.backbones.huggingface import hub_reason, is_offline
from segdistill.errors import UserError
from segdistill.files import write_text_atomically
from segdistill.layout import DESCRIPTION_FILE, WEIGHTS_FILE
from segdistill.model.card import CardFacts, model_card
from segdistill.model.files import (
    SegmenterParts,
    read_description,
    write_description,
    write_parts,
)

CARD_FILE = "README.md"
READ_FILES = ("*.json", "*.safetensors")
"""Files to download: the model, and its backbone if it is in the same repository."""


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
    _check_hub_id(hub_id, "no such folder, and not a hub id such as someone/street-scenes")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only hub ids need it

    said = "no such folder, and no model from the Hugging Face hub"
    with _reworded(hub_id, said, _why_not_fetched):
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
    _check_hub_id(repo_id, "not a hub id; give one such as someone/street-scenes")
    from huggingface_hub import HfApi  # noqa: PLC0415 - only sharing needs it

    hub = HfApi()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_parts(parts, folder)
        _remove_local_paths(folder)
        card = model_card(parts, repo_id, facts or CardFacts())
        write_text_atomically(folder / CARD_FILE, card)
        said = "the Hugging Face hub did not accept the model"
        with _reworded(repo_id, said, _why_not_pushed):
            hub.create_repo(repo_id, private=private, exist_ok=True)
            if overwrite or not hub.file_exists(repo_id, DESCRIPTION_FILE):
                commit = hub.upload_folder(
                    repo_id=repo_id,
                    folder_path=folder,
                    allow_patterns=[CARD_FILE, DESCRIPTION_FILE, WEIGHTS_FILE],
                    commit_message="Upload a model of segdistill",
                )
                return str(commit.commit_url)
    raise UserError(f"{repo_id}: already contains a model; choose another name, or add --overwrite")


def _check_hub_id(name: str, otherwise: str) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise UserError(f"{name}: {otherwise}")


def _why_not_fetched(hub_id: str, error: Exception) -> str:
    reason = hub_reason(hub_id, error)
    return f"{reason}, or give a local folder" if is_offline(error) else reason


def _why_not_pushed(repo_id: str, error: Exception) -> str:
    if is_offline(error):
        return "offline mode is on; set HF_HUB_OFFLINE=0 to push"
    return f"{hub_reason(repo_id, error)}; log in with `hf auth login`"


@contextlib.contextmanager
def _reworded(repo_id: str, said: str, reason: Callable[[str, Exception], str]) -> Iterator[None]:
    """Reword the hub's errors and disable its progress bars in the meantime."""
    import huggingface_hub.utils  # noqa: PLC0415 - only the hub needs it

    library: Any = huggingface_hub.utils
    were_off = library.are_progress_bars_disabled()
    library.disable_progress_bars()
    try:
        yield
    except Exception as error:
        # The hub raises the errors of its HTTP library, which has changed twice.
        raise UserError(f"{repo_id}: {said}: {reason(repo_id, error)}") from error
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
