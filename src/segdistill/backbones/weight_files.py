"""Finding the weights of one network in a file, whatever wraps them.

Training programs store the same network at the top level or under ``state_dict``, ``model``,
``teacher`` or ``ema``, and with prefixes such as ``module.`` or ``backbone.``. The network is found
by the name of its first layer, so that any combination of wrappers and prefixes is understood.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from segdistill.errors import UserError
from segdistill.weights.mistaken_files import refuse_mistaken
from segdistill.weights.torch_files import open_torch_file

State = dict[str, torch.Tensor]

PICKLED = (".pth", ".pt", ".ckpt", ".bin")
SAFETENSORS = ".safetensors"
INDEX = ".safetensors.index.json"
SUFFIXES = (*PICKLED, SAFETENSORS, INDEX)
"""Suffixes of files of weights."""

FIRST_LAYERS = ("patch_embed.proj.weight", "downsample_layers.0.0.weight")
"""First layer of a ViT and of a ConvNeXt, as DINO, DINOv2, DINOv3 and timm name them."""

# Parts of names that PyTorch's wrappers of modules insert.
INSERTED = frozenset(["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])

# A teacher is a running average of its student, and is what is published.
AVERAGES = ("teacher", "ema", "momentum", "target")
LAST_CHOICES = ("student", "gram")

SUPPORTED = (
    "supported are DINO, DINOv2 and DINOv3 (ViT and ConvNeXt) with the names of Meta's own files"
    " or of timm, such as cls_token, patch_embed.proj.weight and blocks.0.attn.qkv.weight, under"
    " any prefix; or a folder in the layout of the Hugging Face hub"
)
NAMES_SHOWN = 3
MAX_NAME = 200
"""Longer names are not those of weights, and would flood messages."""


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        stored: stored name of each tensor by its name without the parts that wrappers insert.
        load: function that reads the tensor of a stored name.
    """

    stored: Mapping[str, str]
    load: Callable[[str], torch.Tensor]

    def network(self) -> State:
        """Return the weights of the network in the file, in float32, without prefix.

        Raises:
            UserError: there is none, or several.
        """
        prefix = network_prefix(self.stored)
        names = (name for name in self.stored if name.startswith(prefix))
        state = {name.removeprefix(prefix): self.load(self.stored[name]) for name in names}
        return {name: weight.float() for name, weight in state.items()}


def plain_name(name: str) -> str:
    """Return a name without the parts that DataParallel, torch.compile and FSDP insert.

    Example:
        >>> plain_name("module.backbone.blocks.0._orig_mod.norm1.weight")
        'backbone.blocks.0.norm1.weight'
    """
    return ".".join(part for part in name.split(".") if part not in INSERTED)


def network_prefix(names: Iterable[str]) -> str:
    """Return what the names of the network's weights start with.

    Of several networks, a teacher or another running average is taken before a student.

    Raises:
        UserError: no network, or more than one equally good.

    Example:
        >>> network_prefix([f"{each}.patch_embed.proj.weight" for each in ("student", "teacher")])
        'teacher.'
    """
    names = list(names)
    prefixes = {
        name.removesuffix(layer): _preference(name)
        for name in names
        for layer in FIRST_LAYERS
        if f".{name}".endswith(f".{layer}")
    }
    best = [each for each, rank in prefixes.items() if rank == min(prefixes.values())]
    if not best:
        raise UserError(f"{_contents(names)}; {SUPPORTED}")
    if len(best) > 1:
        raise UserError(
            f"contains several networks, under {' and '.join(map(repr, best[:NAMES_SHOWN]))}; save"
            " the one to use in a separate file"
        )
    return best[0]


def _preference(name: str) -> int:
    words = re.split(r"[._]", name)
    if not set(words).isdisjoint(LAST_CHOICES):
        return len(AVERAGES) + 1
    ranks = (rank for rank, word in enumerate(AVERAGES) if word in words)
    return min(ranks, default=len(AVERAGES))


def _contents(names: list[str]) -> str:
    if not names:
        return "contains no weights"
    shown = ", ".join(name[:80] for name in names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"contains no network that segdistill supports: its weights are {shown}{more}"


def read_network(path: Path) -> State:
    """Read the weights of the network in a file, in float32, without running any code in it.

    Args:
        path: a file that ``torch.save`` wrote (.pth, .pt, .ckpt, .bin), a .safetensors file, or
            the index of several (.safetensors.index.json).

    Raises:
        UserError: the file cannot be read or is refused, or :meth:`WeightFile.network` fails. The
            message starts with the path.
    """
    with open_weight_file(path) as file:
        return file.network()


@contextmanager
def open_weight_file(path: Path) -> Iterator[WeightFile]:
    """Open a file of weights; read its tensors inside the ``with`` block.

    Raises:
        UserError: as for :func:`read_network`; also raised inside the block, with the path.
    """
    if not path.name.endswith((SAFETENSORS, INDEX)):
        with open_torch_file(path) as torch_file:
            tensors = torch_file.nested_tensors()
            yield WeightFile(_by_plain_name(tensors), lambda name: torch_file.read(tensors[name]))
        return
    refuse_mistaken(path)
    try:
        with ExitStack() as opened:
            parts = _parts(path) if path.name.endswith(INDEX) else [path]
            # The paths are strings because safe_open takes no others in all versions.
            files = [opened.enter_context(safe_open(str(each), framework="pt")) for each in parts]
            holders = {name: file for file in files for name in file.keys()}  # noqa: SIM118
            yield WeightFile(_by_plain_name(holders), lambda name: holders[name].get_tensor(name))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read as weights ({error})") from error


def _by_plain_name(names: Iterable[str]) -> dict[str, str]:
    shown = (name for name in names if name.isprintable() and len(name) <= MAX_NAME)
    return {plain_name(name): name for name in shown}


def _part(index: Path, name: str) -> Path:
    """Return the file of a name in an index; ValueError for one that is not of weights."""
    if not (name.isprintable() and name.endswith(SAFETENSORS)):
        raise ValueError(f"{ascii(name)[:80]} is not the name of such a file")
    return index.parent / Path(name).name


def _parts(index: Path) -> list[Path]:
    """Return the files that an index of safetensors lists."""
    try:
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        parts = [_part(index, name) for name in sorted(files)]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"is not an index of .safetensors files ({error!r})") from error
    for part in parts:
        refuse_mistaken(part)
    return parts
