"""Frozen backbones that map images to feature maps, and their registry.

To add a backbone, subclass ``Backbone`` in a module and ``register`` it here. Importing this
package does not import transformers; the loaders do.
"""

from functools import partial

from segdistill.backbones.huggingface import SHORT_NAMES, load_from_hub
from segdistill.backbones.protocol import AttentionBackbone, Backbone, require_attention
from segdistill.backbones.registry import (
    DEFAULT_BACKBONE,
    KEYS,
    BackboneEntry,
    backbone_entries,
    check_backbone_name,
    load_backbone,
    register,
)

__all__ = [
    "DEFAULT_BACKBONE",
    "KEYS",
    "AttentionBackbone",
    "Backbone",
    "BackboneEntry",
    "backbone_entries",
    "check_backbone_name",
    "load_backbone",
    "register",
    "require_attention",
]


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
for _name, _model in SHORT_NAMES.items():
    register(
        BackboneEntry(
            name=_name,
            source=_model.hub_id,
            summary=_model.summary,
            load=load_from_hub,
            keys=partial(load_from_hub, features="keys"),
        )
    )
