"""Interface of all backbones."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from segdistill.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Base class of backbones: frozen networks that map images to feature maps.

    A subclass sets the attributes, defines ``forward`` and ends its ``__init__`` with
    :meth:`freeze`. ``forward`` takes images of shape (batch, 3, height, width) in 0..1, whose
    sides are multiples of ``size_multiple``, and returns features of shape
    (batch, sum(channel_groups), height / stride, width / stride).

    Attributes:
        name: value of ``--backbone`` that loads this network.
        fingerprint: hash of the weights and the preprocessing.
        stride: image pixels per location of the feature map along each side.
        size_multiple: both sides of the images must be multiples of this number.
        channel_groups: sizes of the groups of channels that are normalised separately: one group
            for most networks, one per stage if stages are concatenated.
        standardise: whether to standardise channels over the data set, which raw activations need
            but features after a final norm do not.
        resolution: recommended shorter side of the images, in pixels.
        licence: licence of the weights, as stated by their publisher.
        thread_safe: whether several threads may call ``forward`` at the same time, which is faster
            on a CPU for networks of many small layers. It must then change nothing outside the
            call: no hooks, no attributes.
    """

    name: str
    fingerprint: str
    stride: int
    size_multiple: int
    channel_groups: tuple[int, ...]
    standardise: bool
    resolution: int
    licence: str
    thread_safe: bool = False

    def freeze(self) -> None:
        """Disable gradients and switch to evaluation mode."""
        self.requires_grad_(requires_grad=False)
        self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode, even if a parent module switches to training."""
        del mode
        return super().train(mode=False)


class AttentionBackbone(Backbone, ABC):
    """A backbone that also provides self-attention between locations."""

    @abstractmethod
    def attention(self, images: torch.Tensor) -> torch.Tensor:
        """Return the self-attention between locations of the feature map.

        The result is large: heads * locations^2 values per image, or 61 MB in float32 for a
        ViT-S/8 at 320x320, and 16 times as much at twice the side. Pass a few images at a time, and
        reduce the result (for example to the mean over heads) before the next call.

        Args:
            images: images of shape (batch, 3, height, width) in 0..1, as for ``forward``.

        Returns:
            Tensor of shape (batch, heads, locations, locations), in 0..1, without a gradient; rows
            attend to columns, in row-major order. Rows sum to at most 1, because attention to other
            tokens is dropped.
        """


def require_attention(backbone: Backbone) -> AttentionBackbone:
    """Return the backbone as an :class:`AttentionBackbone`.

    Raises:
        UserError: the backbone has no attention between locations.
    """
    if not isinstance(backbone, AttentionBackbone):
        raise UserError(
            f"--backbone {backbone.name}: has no attention between locations;"
            " use a vision transformer such as dino-vits8"
        )
    return backbone


def normalise_images(
    images: torch.Tensor, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Subtract the mean and divide by the standard deviation of each channel.

    Images have shape (batch, 3, height, width), and means and deviations refer to images in 0..1.
    """
    shape = (1, 3, 1, 1)
    return (images - images.new_tensor(mean).view(shape)) / images.new_tensor(std).view(shape)


def weights_fingerprint(module: nn.Module, *preprocessing: object) -> str:
    """Return a 16-digit hexadecimal fingerprint of a module's weights and preprocessing.

    Args:
        module: module whose state dict is hashed: names, shapes, types and values.
        preprocessing: objects whose ``repr`` describes the preprocessing.

    Example:
        >>> weights_fingerprint(nn.Identity(), 224) == weights_fingerprint(nn.Identity(), 448)
        False
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    digest.update(repr(preprocessing).encode())
    return digest.hexdigest()


def network_fingerprint(network: nn.Module, *preprocessing: object) -> str:
    """Return :func:`weights_fingerprint` without names and order.

    Those vary by transformers' version. Mask tokens are unused, and missing from some files.
    """
    tensors = sorted(
        weights_fingerprint(nn.ParameterList([nn.Parameter(tensor, requires_grad=False)]))
        for key, tensor in network.state_dict().items()
        if not key.endswith("mask_token")
    )
    return weights_fingerprint(nn.Identity(), tensors, *preprocessing)
