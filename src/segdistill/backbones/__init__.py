"""Frozen backbones that map images to feature maps, and their registry.

To add a backbone, subclass ``Backbone`` in a module and ``register`` it in the registry. Importing
this package does not import transformers; the loaders do.
"""

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
