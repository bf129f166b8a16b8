"""Reading files written by ``torch.save`` as data, without running or importing any code.

Both formats are supported: the zip archive used since torch 1.6, and the legacy format. In both, a
pickle describes the tensors and refers to their values, which are stored outside it.
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
from segdistill.weights.mistaken_files import refuse_mistaken
from segdistill.weights.safe_pickle import (
    TORCH_TYPES,
    Global,
    Rebuild,
    RefusedPickleError,
    read_pickle,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_DEPTH = 6
"""Depth of dictionaries within dictionaries that are searched for tensors."""

PROTOCOL_MARK = b"\x80"
"""First byte of every pickle of protocol 2 or later; torch writes no others."""


class Storage(NamedTuple):
    """A pickle's reference to the values of one or more tensors."""

    key: str
    dtype: torch.dtype
    length: int


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage: a tensor whose values have not been read yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self, numbers: bytes) -> torch.Tensor:
        """Return the tensor, given the bytes of its whole storage; ValueError if truncated."""
        if len(numbers) != self.storage.length * self.storage.dtype.itemsize:
            raise ValueError("the numbers of a tensor are truncated")
        if 0 in self.size:
            return torch.empty(self.size, dtype=self.storage.dtype)
        flat = torch.frombuffer(bytearray(numbers), dtype=self.storage.dtype)
        part = flat.as_strided(self.size, self.stride, self.offset)
        return part.clone(memory_format=torch.contiguous_format)


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple) and all(type(each) is int and each >= 0 for each in value)


def _stored_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_ignored: Any) -> object:
    """Replacement for torch's function that rebuilds a tensor."""
    sound = isinstance(storage, Storage) and _is_shape((offset,))
    if not (sound and _is_shape(size) and _is_shape(stride) and len(size) == len(stride)):
        raise RefusedPickleError("makes a tensor of something else than numbers")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    # A tensor with more elements than its storage repeats some and could exhaust memory.
    if 0 not in size and (last >= storage.length or math.prod(size) > storage.length):
        raise RefusedPickleError("makes a tensor of numbers outside its storage")
    return StoredTensor(storage, offset, size, stride)


REBUILD: dict[str, Rebuild] = {
    "torch._utils._rebuild_tensor": _stored_tensor,
    "torch._utils._rebuild_tensor_v2": _stored_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_ignored: data,
}


def _storage(reference: Any) -> Storage:
    """Convert a pickle's persistent ID to a storage."""
    match reference:
        case ("storage", Global("torch", kind), str(key), str(), int(length), *views) if (
            kind in TORCH_TYPES and length >= 0 and not any(views)
        ):
            return Storage(key, getattr(torch, TORCH_TYPES[kind]), length)
    raise RefusedPickleError("refers to something that is not a storage of numbers")


@dataclass(frozen=True)
class TorchFile:
    """The content of a file.

    Attributes:
        content: what was saved, as :func:`~segdistill.weights.safe_pickle.read_pickle` returns it,
            with a :class:`StoredTensor` for every tensor.
        numbers: function that reads the bytes of a storage.
    """

    content: object
    numbers: Callable[[Storage], bytes]

    def read(self, tensor: StoredTensor) -> torch.Tensor:
        """Return a tensor; ValueError if its numbers are cut off."""
        return tensor.read(self.numbers(tensor.storage))

    def tensors(self, content: object) -> dict[str, torch.Tensor]:
        """Return the tensors with printable names in a dictionary, since messages show names."""
        entries = content.items() if isinstance(content, dict) else ()
        return {
            name: self.read(value)
            for name, value in entries
            if isinstance(value, StoredTensor) and isinstance(name, str) and name.isprintable()
        }

    def nested_tensors(self) -> dict[str, StoredTensor]:
        """Return all tensors in dictionaries within dictionaries, by names joined with dots."""
        found: dict[str, StoredTensor] = {}
        visited: set[int] = set()  # dictionaries can hold each other

        def collect(content: object, prefix: str, depth: int) -> None:
            if isinstance(content, StoredTensor):
                found.setdefault(prefix, content)
            elif isinstance(content, dict) and id(content) not in visited and depth < MAX_DEPTH:
                visited.add(id(content))
                for name, value in content.items():
                    if isinstance(name, str):
                        collect(value, f"{prefix}.{name}" if prefix else name, depth + 1)

        collect(self.content, "", 0)
        return found


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open a file written by ``torch.save``; read its tensors inside the ``with`` block.

    Raises:
        UserError: the file does not exist, is damaged or in another format, or its pickle asks for
            something that plain data does not need. Also raised inside the block if a tensor is
            damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    refuse_mistaken(path)
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
            f"{path}: refused, because its pickle {error}; checkpoints do not need this, and it may"
            " be malicious. Nothing in it was run"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:
        # A damaged file can make the readers fail in many ways.
        raise UserError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}): damaged, truncated,"
            " or not a file that torch.save wrote"
        ) from error


def _read_archive(archive: zipfile.ZipFile) -> TorchFile:
    names = archive.namelist()
    for name in names:
        # Nothing is ever extracted to disk, but such a name suggests malicious intent.
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise RefusedPickleError(f"has an entry outside the archive, {name[:80]!r}")
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UserError("a zip file, but not one that torch.save wrote: it has no single data.pkl")
    root = roots[0]

    def record(name: str) -> bytes:
        if archive.getinfo(root + name).compress_type != zipfile.ZIP_STORED:
            # torch never compresses; a zip bomb would exhaust memory.
            raise UserError("its entries are compressed, as torch.save never does")
        return archive.read(root + name)

    if root + "byteorder" in names and record("byteorder") != b"little":
        raise UserError("written on a big-endian machine, which is not supported")
    stream = io.BytesIO(record("data.pkl"))
    content = read_pickle(stream, rebuild=REBUILD, persistent=_storage)
    return TorchFile(content, lambda storage: record(f"data/{storage.key}"))


def _read_legacy(file_content: bytes) -> TorchFile:
    # The first bytes of a truncated zip file or a text could pass for pickle instructions.
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
            raise UserError("the numbers of a tensor are truncated")
        numbers[storage] = stream.read(storage.length * storage.dtype.itemsize)
    return TorchFile(content, numbers.__getitem__)
