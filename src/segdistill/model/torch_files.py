"""Reading what ``torch.save`` wrote, as data: no code in the file runs, and none is imported.

Both formats are read: the zip archive that torch has written since 1.6, and the one before. In
both, a pickle describes the tensors and refers to their numbers, which lie beside it.
"""

import io
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from segdistill.errors import UserError
from segdistill.model.safe_pickle import (
    TORCH_TYPES,
    Global,
    Rebuild,
    RefusedPickleError,
    read_pickle,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
PROTOCOL_MARK = b"\x80"
"""Begins every pickle of protocol 2 and later; torch writes no others."""


class Storage(NamedTuple):
    """The numbers of one or more tensors, as a pickle refers to them."""

    key: str
    dtype: torch.dtype
    length: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor whose numbers have not been read yet: which part of a storage it is."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self, numbers: bytes) -> torch.Tensor:
        """Return the tensor, given the numbers of its whole storage; ValueError if too few."""
        if len(numbers) != self.storage.length * self.storage.dtype.itemsize:
            raise ValueError("the numbers of a tensor are cut off")
        if 0 in self.size:
            return torch.empty(self.size, dtype=self.storage.dtype)
        flat = torch.frombuffer(bytearray(numbers), dtype=self.storage.dtype)
        part = flat.as_strided(self.size, self.stride, self.offset)
        return part.clone(memory_format=torch.contiguous_format)


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and all(type(each) is int and each >= 0 for each in value)


def _stored_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_ignored: Any) -> object:
    """Stand in for torch's function that makes a tensor."""
    sound = isinstance(storage, Storage) and _is_shape((offset,))
    if not (sound and _is_shape(size) and _is_shape(stride) and len(size) == len(stride)):
        raise RefusedPickleError("makes a tensor of something else than numbers")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    # A tensor of more elements than its storage has repeats some; it could fill any memory.
    if 0 not in size and (last >= storage.length or math.prod(size) > storage.length):
        raise RefusedPickleError("makes a tensor of numbers outside its storage")
    return StoredTensor(storage, offset, size, stride)


REBUILD: dict[str, Rebuild] = {
    "torch._utils._rebuild_tensor": _stored_tensor,
    "torch._utils._rebuild_tensor_v2": _stored_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_ignored: data,
}


def _storage(reference: Any) -> Storage:
    """Make a storage of what the pickle says of it."""
    match reference:
        case ("storage", Global("torch", kind), str(key), str(), int(length), *views) if (
            kind in TORCH_TYPES and length >= 0 and not any(views)
        ):
            return Storage(key, getattr(torch, TORCH_TYPES[kind]), length)
    raise RefusedPickleError("refers to something that is not a storage of numbers")


@dataclass(frozen=True)
class TorchFile:
    """What a file holds.

    Attributes:
        content: as :func:`segdistill.model.safe_pickle.read_pickle` gives it, with a
            :class:`StoredTensor` for every tensor.
        numbers: reads the numbers of a storage.
    """

    content: object
    numbers: Callable[[Storage], bytes]

    def tensors(self, content: object) -> dict[str, torch.Tensor]:
        """Return the tensors in a dictionary, those of printable names: messages show names."""
        entries = content.items() if isinstance(content, dict) else ()
        return {
            name: value.read(self.numbers(value.storage))
            for name, value in entries
            if isinstance(value, StoredTensor) and isinstance(name, str) and name.isprintable()
        }


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open a file that ``torch.save`` wrote, for as long as its tensors are read.

    Raises:
        UserError: there is no such file; it is damaged or something else; or its pickle asks for
            what plain data has no use for. Also in the block, where a tensor is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    yield _read_archive(archive)
            else:
                file.seek(0)
                yield _read_legacy(file.read())
    except RefusedPickleError as error:
        raise RefusedPickleError(
            f"{path}: refused, for its pickle {error}; checkpoints have no use for this, and it may"
            " be meant to do harm. Nothing in it was run"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:
        # A damaged file makes the readers fail in any of a dozen ways.
        raise UserError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}): damaged, cut off, or"
            " not a file that torch.save wrote"
        ) from error


def _read_archive(archive: zipfile.ZipFile) -> TorchFile:
    names = archive.namelist()
    for name in names:
        # Nothing is ever unpacked to the disk, but who adds such a name means no good.
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise RefusedPickleError(f"lies beside the entry {name[:80]!r}")
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UserError("a zip file, but not one that torch.save wrote: it has no single data.pkl")
    root = roots[0]

    def record(name: str) -> bytes:
        if archive.getinfo(root + name).compress_type != zipfile.ZIP_STORED:
            # torch never compresses; a small file that unpacks to a huge one would fill memory.
            raise UserError("its entries are compressed, as torch.save never does")
        return archive.read(root + name)

    if root + "byteorder" in names and record("byteorder") != b"little":
        raise UserError("written on a big-endian machine, which is not supported")
    stream = io.BytesIO(record("data.pkl"))
    content = read_pickle(stream, rebuild=REBUILD, persistent=_storage)
    return TorchFile(content, lambda storage: record(f"data/{storage.key}"))


def _read_legacy(file_content: bytes) -> TorchFile:
    # Of half a zip file, and of many a text, the first letters would pass for instructions.
    if not file_content.startswith(PROTOCOL_MARK):
        raise ValueError("neither a zip file nor a pickle of protocol 2 or later")
    stream = io.BytesIO(file_content)
    storages: dict[str, Storage] = {}

    def note_storage(reference: Any) -> Storage:
        storage = _storage(reference)
        return storages.setdefault(storage.key, storage)

    def pickled() -> Any:
        return read_pickle(stream, rebuild=REBUILD, persistent=note_storage)

    if pickled() != LEGACY_MAGIC or pickled() != LEGACY_PROTOCOL:
        raise UserError("a pickle, but not a file that torch.save wrote")
    if pickled().get("little_endian") is not True:
        raise UserError("written on a big-endian machine, which is not supported")
    content = pickled()
    numbers: dict[Storage, bytes] = {}
    for key in pickled():
        storage = storages[key]
        if int.from_bytes(stream.read(8), "little") != storage.length:
            raise UserError("the numbers of a tensor are cut off")
        numbers[storage] = stream.read(storage.length * storage.dtype.itemsize)
    return TorchFile(content, numbers.__getitem__)
