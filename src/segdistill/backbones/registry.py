"""Registry of backbones, with loading by name."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from segdistill.backbones.loading import SHORT_NAMES, load_from_hub, load_weight_file
from segdistill.backbones.protocol import Backbone
from segdistill.backbones.vision_transformer import Features
from segdistill.backbones.weight_files import SUFFIXES
from segdistill.errors import UserError
from segdistill.files import exists

DEFAULT_BACKBONE = "efficientnet-lite0"

KEYS = ":keys"
"""Suffix of a backbone name that selects the keys of the last block as features."""


@dataclass(frozen=True)
class BackboneEntry:
    """An entry of the registry.

    Attributes:
        name: short name.
        source: hub id, or ``embedded``.
        summary: one-line summary.
        load: function that loads the backbone from ``source``.
        keys: function that loads the backbone with keys as features; ``None`` if it has no keys.
    """

    name: str
    source: str
    summary: str
    load: Callable[[str], Backbone]
    keys: Callable[[str], Backbone] | None = None


MOST_HUB_CHARACTERS = 96
"""Length of the longest id that the hub allows; longer names may be none of a file, either."""

_ENTRIES: dict[str, BackboneEntry] = {}


def register(entry: BackboneEntry) -> None:
    """Register a backbone, so that ``--backbone`` accepts its short name.

    Raises:
        ValueError: the name is already registered.
    """
    if entry.name in _ENTRIES:
        raise ValueError(f"backbone {entry.name!r} is already registered")
    _ENTRIES[entry.name] = entry


def backbone_entries() -> tuple[BackboneEntry, ...]:
    """Return all registered backbones in registration order."""
    return tuple(_ENTRIES.values())


def check_backbone_name(name: str) -> None:
    """Check that a name is valid for :func:`load_backbone`, without loading anything.

    Raises:
        UserError: the name is invalid; the message suggests the closest short name.
    """
    name = name.removesuffix(KEYS)
    if name in _ENTRIES or exists(Path(name)):
        return
    if name.endswith(SUFFIXES) or name.startswith((".", "/", "~")):
        raise UserError(f"--backbone {name}: no such file or folder")
    if name.count("/") == 1 and len(name) <= MOST_HUB_CHARACTERS:
        return
    near = get_close_matches(name, _ENTRIES, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(
        f"--backbone {name}: not a short name ({', '.join(_ENTRIES)}),"
        f" a hub id, a local folder or a weight file (.pth, .safetensors){hint}"
    )


def load_backbone(name: str = DEFAULT_BACKBONE) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: short name, hub id, local folder in the hub's layout, or file of weights.
            With the suffix ``:keys``, features are the keys of the last block with concatenated
            heads ('KK' in STEGO) instead of the last tokens.

    Raises:
        UserError: the backbone is unknown, its weights cannot be loaded, or it has no keys.

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
            raise UserError(
                f"--backbone {name}: {bare} is not a vision transformer and has no keys"
            )
        backbone = load(entry.source)
        backbone.name = bare
    elif exists(Path(bare)) and Path(bare).is_file():
        backbone = load_weight_file(Path(bare), features=features)
    else:
        backbone = load_from_hub(bare, features=features)
    if features == "keys":
        backbone.name += KEYS
    return backbone


def _load_embedded(_source: str) -> Backbone:
    from segdistill.backbones.efficientnet_lite import EfficientNetLite  # noqa: PLC0415 - loads weights

    return EfficientNetLite()


register(
    BackboneEntry(
        name=DEFAULT_BACKBONE,
        source="embedded",
        summary="EfficientNet-Lite0, 472 channels, weights included",
        load=_load_embedded,
    )
)
for _name, (_hub_id, _summary) in SHORT_NAMES.items():
    _keys = None if "convnext" in _name else partial(load_from_hub, features="keys")
    register(BackboneEntry(_name, _hub_id, _summary, load_from_hub, keys=_keys))
