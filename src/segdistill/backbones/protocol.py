"""What every backbone offers."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from segdistill.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """A frozen network that turns images into feature maps; the base of every backbone.

    A subclass sets the attributes, defines ``forward`` and ends its ``__init__`` with
    :meth:`freeze`. ``forward`` takes images of shape (batch, 3, height, width), in 0..1, sides
    multiples of ``size_multiple``, and returns features of shape
    (batch, sum(channel_groups), height / stride, width / stride).

    Attributes:
        name: what to give to ``--backbone`` to get this network again.
        fingerprint: changes with the weights and with the preprocessing, and with nothing else.
        stride: image pixels per side that one place of the feature map stands for.
        size_multiple: both sides of the images must be multiples of this.
        channel_groups: sizes of the groups of channels that are normalised apart from each other
            (one group for most networks; one for each stage where stages are joined).
        standardise: whether channels are to be standardised over the data set before use, as is
            right for raw activations but not for the output of a final norm.
        resolution: shorter side, in pixels, that suits the network.
        licence: of the weights, as their publisher names it.
    """

    name: str
    fingerprint: str
    stride: int
    size_multiple: int
    channel_groups: tuple[int, ...]
    standardise: bool
    resolution: int
    licence: str

    def freeze(self) -> None:
        """Stop gradients and training-time behaviour for good."""
        self.requires_grad_(requires_grad=False)
        self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode, whatever the module around this one does."""
        del mode
        return super().train(mode=False)


class AttentionBackbone(Backbone, ABC):
    """A backbone that can also tell how much each location attends to each other one.

    Ask with ``isinstance(backbone, AttentionBackbone)``, or with :func:`require_attention` where
    there is no way on without it.
    """

    @abstractmethod
    def attention(self, images: torch.Tensor) -> torch.Tensor:
        """Return the self-attention between the places of the feature map.

        The result is large: heads * places^2 values an image. For a ViT-S/8 at 320x320 (6 heads,
        1600 places) this is 61 MB in float32, for a ViT-B/8 123 MB, and twice the side takes 16
        times as much. Pass few images at a time, and reduce what comes back (for example to its
        mean over heads, or to the places that are sampled) before asking for more.

        Args:
            images: as for ``forward``: shape (batch, 3, height, width), in 0..1.

        Returns:
            Tensor of shape (batch, heads, places, places), without a gradient: from the place of
            the row to the place of the column, in 0..1. Places are those of the feature map, row
            by row. A row sums to 1 at most: attention to tokens that are no places is left out.
        """


def require_attention(backbone: Backbone) -> AttentionBackbone:
    """Return the backbone as one that has attention between places.

    Raises:
        UserError: it has none.
    """
    if not isinstance(backbone, AttentionBackbone):
        raise UserError(
            f"--backbone {backbone.name}: has no attention between places;"
            " take a vision transformer, such as dino-vits8"
        )
    return backbone


def normalise_images(
    images: torch.Tensor, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Subtract a mean and divide by a standard deviation, channel by channel.

    Args:
        images: shape (batch, 3, height, width), in 0..1.
        mean: of each channel.
        std: of each channel.

    Returns:
        Tensor of the shape of ``images``.
    """
    shape = (1, 3, 1, 1)
    return (images - images.new_tensor(mean).view(shape)) / images.new_tensor(std).view(shape)


def weights_fingerprint(module: nn.Module, *preprocessing: object) -> str:
    """Return a 16-digit hexadecimal fingerprint of a module's weights and preprocessing.

    Args:
        module: every tensor of its state counts, by name, shape, type and value.
        preprocessing: anything whose ``repr`` tells how images are prepared.

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
