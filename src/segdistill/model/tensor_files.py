"""Our safetensors files: written atomically with a checksum, read with checks, without pickle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from segdistill.backbones.finite import check_finite
from segdistill.errors import UserError
from segdistill.files import atomic_path, check_regular
from segdistill.json_files import from_json
from segdistill.weights.mistaken_files import refuse_mistaken

CHECKSUM = "sha256"
"""The metadata that holds the checksum; files of earlier versions have none."""

TEXTS = "segdistill"
"""The metadata that holds a checksum and texts as JSON: safetensors writes several entries in any
order, but the same content should give the same bytes."""

KNOWN = frozenset({CHECKSUM, TEXTS, "classes", "step", "images", "agreement_history", "format"})
"""All metadata of ours; those of earlier versions have entries of their own. Another entry is a
damaged name, perhaps that of the checksum."""


class _Described(msgspec.Struct):
    checksum: str
    texts: dict[str, str]


def write_tensor_file(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors and texts about them, with the SHA-256 of both.

    Raises:
        UserError: the folder cannot be written.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    texts = dict(metadata or {})
    described = {CHECKSUM: checksum_of(plain, texts)}
    if texts:
        entry = {"checksum": described[CHECKSUM], "texts": texts}
        described = {TEXTS: json.dumps(entry, sort_keys=True)}
    with atomic_path(path) as temporary:
        # Written as bytes so that a full disk raises an OSError, which save_file would hide.
        temporary.write_bytes(save(plain, described))


def read_tensor_file(path: Path, *, fix: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors and texts that :func:`write_tensor_file` wrote.

    Args:
        path: the file.
        fix: what to do about an error.

    Raises:
        UserError: it is missing or damaged, by so much as a bit, or a number is not finite.
    """
    try:
        check_regular(path)
        refuse_mistaken(path)
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); {fix}") from error
    except SafetensorError as error:
        raise UserError(f"{path}: cannot be read ({error}); {fix}") from error
    if not metadata.keys() <= KNOWN:
        raise UserError(f"{path}: damaged (it contains unknown metadata); {fix}")
    checksum = metadata.pop(CHECKSUM, None)
    if TEXTS in metadata:
        described = from_json(metadata[TEXTS], _Described, name=str(path), what="tensors", fix=fix)
        checksum, metadata = described.checksum, described.texts
    if checksum is not None and checksum != checksum_of(tensors, metadata):
        raise UserError(f"{path}: damaged (its checksum differs); {fix}")
    check_finite(tensors, str(path))
    return tensors, metadata


def checksum_of(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> str:
    """Return the SHA-256 of texts and of the names, types, shapes and numbers of tensors.

    Example:
        >>> one, other = ({"a": torch.tensor([value])} for value in (1.0, 2.0))
        >>> checksum_of(one) == checksum_of(dict(one)) != checksum_of(other)
        True
    """
    digest = hashlib.sha256()
    for key, text in sorted((metadata or {}).items()):
        digest.update(f"{key!r} {text!r}\n".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
