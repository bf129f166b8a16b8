"""STEGO's training step in its plain form: the head on whole maps, and pairs one kind at a time.

Everything is done as STEGO's released program does it (channels first, maps sampled again for each
kind of pair, tables of pairs in five dimensions), but for its random numbers, which are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.config.settings import ObjectiveSettings
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.head import SegmentationHead
from segdistill.objective.stego import ObjectiveTerms, Shifts


@dataclass(frozen=True)
class ChannelMasks:
    """What each channel of each image is multiplied by, each of shape (batch, channels, 1, 1)."""

    linear: torch.Tensor
    hidden: torch.Tensor
    features: torch.Tensor

    def of_images(self, chosen: torch.Tensor) -> "ChannelMasks":
        """Return the masks of some images."""
        return ChannelMasks(self.linear[chosen], self.hidden[chosen], self.features[chosen])


@dataclass(frozen=True)
class PlainLocations:
    """(x, y) in -1..1 of the three parts of a batch, each of shape (batch, side, side, 2)."""

    anchors: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor


def draw_masks(head: SegmentationHead, batch: int, features: float) -> ChannelMasks:
    """Draw the masks of a batch.

    Args:
        head: knows its share of channels dropped.
        batch: number of images.
        features: share of channels that the loss does not see.
    """

    def mask(share: float) -> torch.Tensor:
        kept = head.linear.weight.new_ones(batch, head.linear.in_features, 1, 1)
        return F.dropout(kept, share) if share else kept

    linear = mask(head.dropout)
    hidden = linear if head.nonlinear is None else mask(head.dropout)
    return ChannelMasks(linear, hidden, mask(features))


def plain_maps(raw: torch.Tensor, preparation: FeaturePreparation) -> torch.Tensor:
    """Prepare whole maps: (batch, height, width, raw channels) to (batch, channels, h, w)."""
    maps: torch.Tensor = raw.float()
    if preparation.components is not None:  # else features are taken unchanged
        with torch.no_grad():
            maps = preparation(maps)
    return maps.permute(0, 3, 1, 2).contiguous()


def plain_codes(head: SegmentationHead, maps: torch.Tensor, masks: ChannelMasks) -> torch.Tensor:
    """Run the head on whole maps of shape (batch, channels, height, width)."""

    def convolve(layer: nn.Module, values: torch.Tensor) -> torch.Tensor:
        assert isinstance(layer, nn.Linear)
        return F.conv2d(values, layer.weight[:, :, None, None], layer.bias)

    codes = convolve(head.linear, maps * masks.linear)
    if head.nonlinear is not None:
        first, activation, last = head.nonlinear
        hidden = activation(convolve(first, maps * masks.hidden))
        codes = codes + convolve(last, hidden)
    return codes


def plain_sample(maps: torch.Tensor, locations: torch.Tensor) -> torch.Tensor:
    """Read maps at locations: (batch, channels, h, w) to (batch, channels, side, side)."""
    return F.grid_sample(maps, locations, padding_mode="border", align_corners=True)


def plain_correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Correlate all pairs of locations, shape (batch, side, side, side, side)."""
    return torch.einsum(
        "nchw,ncij->nhwij",
        F.normalize(first, dim=1, eps=1e-10),
        F.normalize(second, dim=1, eps=1e-10),
    )


def plain_loss(
    features: tuple[torch.Tensor, torch.Tensor],
    codes: tuple[torch.Tensor, torch.Tensor],
    shift: float,
    settings: ObjectiveSettings,
) -> torch.Tensor:
    """Return the loss of every pair of locations, shape (batch, side, side, side, side)."""
    with torch.no_grad():
        agreement = plain_correlation(*features)
        if settings.pointwise:
            before = agreement.mean()
            agreement = agreement - agreement.mean(dim=(3, 4), keepdim=True)
            agreement = agreement - agreement.mean() + before
    similarity = plain_correlation(*codes)
    if settings.zero_clamp or settings.stabilize:
        similarity = similarity.clamp(
            0.0 if settings.zero_clamp else None, 0.8 if settings.stabilize else None
        )
    return -similarity * (agreement - shift)


def plain_terms(
    head: SegmentationHead,
    images: torch.Tensor,
    neighbours: torch.Tensor,
    locations: PlainLocations,
    partners: Sequence[torch.Tensor],
    shifts: Shifts,
    settings: ObjectiveSettings,
    masks: tuple[ChannelMasks, ChannelMasks],
) -> ObjectiveTerms:
    """Return the terms of STEGO's objective.

    Args:
        head: from features to codes.
        images: prepared maps, shape (batch, channels, height, width).
        neighbours: of one neighbour of each image.
        locations: where maps are sampled.
        partners: for each draw of random pairs, indices of shape (batch,).
        shifts: of the correspondence loss.
        settings: of the objective.
        masks: of the images and of the neighbours.
    """
    image_codes = plain_codes(head, images, masks[0])
    neighbour_codes = plain_codes(head, neighbours, masks[1])
    seen, neighbours_seen = images * masks[0].features, neighbours * masks[1].features
    features = plain_sample(seen, locations.anchors)
    codes = plain_sample(image_codes, locations.anchors)

    def loss(
        maps: torch.Tensor, map_codes: torch.Tensor, at: torch.Tensor, shift: float
    ) -> torch.Tensor:
        second = plain_sample(maps, at), plain_sample(map_codes, at)
        return plain_loss((features, second[0]), (codes, second[1]), shift, settings)

    return ObjectiveTerms(
        self_pairs=plain_loss(
            (features, features), (codes, codes), shifts.self_pairs, settings
        ).mean(),
        neighbour_pairs=loss(
            neighbours_seen, neighbour_codes, locations.positives, shifts.neighbour_pairs
        ).mean(),
        random_pairs=torch.cat(
            [
                loss(seen[draw], image_codes[draw], locations.negatives[draw], shifts.random_pairs)
                for draw in partners
            ]
        ).mean(),
    )
