"""Which backbones there are, and making one from its name."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from segdistill.backbones.dino_checkpoint import load_dino_checkpoint
from segdistill.backbones.huggingface import load_from_hub
from segdistill.backbones.protocol import Backbone
from segdistill.backbones.vision_transformer import Features
from segdistill.errors import UserError

DEFAULT_BACKBONE = "efficientnet-lite0"

KEYS = ":keys"
"""What is put after a backbone's name to take the keys of its last block."""


@dataclass(frozen=True)
class BackboneEntry:
    """One line of the registry.

    Attributes:
        name: short name.
        source: hub id, or ``embedded``.
        summary: one line for display.
        load: makes the backbone from ``source``.
        keys: makes it give the keys of its last block; ``None`` where it has none.
    """

    name: str
    source: str
    summary: str
    load: Callable[[str], Backbone]
    keys: Callable[[str], Backbone] | None = None


_ENTRIES: dict[str, BackboneEntry] = {}


def register(entry: BackboneEntry) -> None:
    """Add a backbone, so that its short name can be given to ``--backbone``.

    Raises:
        ValueError: the name is taken.
    """
    if entry.name in _ENTRIES:
        raise ValueError(f"backbone {entry.name!r} is registered already")
    _ENTRIES[entry.name] = entry


def backbone_entries() -> tuple[BackboneEntry, ...]:
    """Return all registered backbones, in the order of their registration."""
    return tuple(_ENTRIES.values())


def check_backbone_name(name: str) -> None:
    """Check that a name could be a backbone, without loading anything.

    Args:
        name: a short name, a hub id with a slash in it, a local folder or a ``.pth`` file, each
            with ``:keys`` after it or not.

    Raises:
        UserError: it is none of these; the message offers the nearest short name.
    """
    name = name.removesuffix(KEYS)
    path = Path(name)
    if name in _ENTRIES or path.exists():
        return
    if path.suffix == ".pth" or name.startswith((".", "/", "~")):
        raise UserError(f"--backbone {name}: no such file or folder")
    if name.count("/") == 1:
        return
    near = get_close_matches(name, _ENTRIES, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(
        f"--backbone {name}: not a short name ({', '.join(_ENTRIES)}),"
        f" a hub id, a local folder or a .pth file{hint}"
    )


def load_backbone(name: str = DEFAULT_BACKBONE) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: a short name, a hub id, a local folder in the hub's layout, or one of DINO's own
            ``.pth`` files. With ``:keys`` after it a vision transformer gives the keys of its last
            block, heads side by side ('KK' in STEGO), instead of its last tokens.

    Raises:
        UserError: there is no such backbone, or its weights cannot be had, or it has no keys.

    Example:
        >>> load_backbone("efficientnet-lite0").stride
        16
    """
    check_backbone_name(name)
    bare = name.removesuffix(KEYS)
    features: Features = "keys" if name.endswith(KEYS) else "tokens"
    if bare in _ENTRIES:
        entry = _ENTRIES[bare]
        load = entry.load if features == "tokens" else entry.keys
        if load is None:
            raise UserError(f"--backbone {name}: {bare} is not a vision transformer: no keys")
        backbone = load(entry.source)
        backbone.name = bare
    elif bare.endswith(".pth"):
        backbone = load_dino_checkpoint(Path(bare), features=features)
    else:
        backbone = load_from_hub(bare, features=features)
    if features == "keys":
        backbone.name += KEYS
    return backbone
