"""STEGO's full objective: a weighted sum over three kinds of pairs (section 3.3)."""

from dataclasses import dataclass

import torch

from segdistill.config.settings import ObjectiveSettings
from segdistill.json_files import Finite
from segdistill.objective.correspondence import (
    centre_pointwise,
    correspondence,
    mean_correspondence_loss,
    quantile_shift,
    unit_vectors,
)


@dataclass(frozen=True)
class SampledMaps:
    """Features and codes of a batch of images, each of shape (batch, locations, channels)."""

    features: torch.Tensor
    codes: torch.Tensor

    def paired(self, partners: torch.Tensor) -> "SampledMaps":
        """Return the maps of the images with the given indices, shape (batch,)."""
        return SampledMaps(self.features[partners], self.codes[partners])

    def normalised(self) -> "SampledMaps":
        """Normalise features and codes to unit vectors; no gradient flows into the features."""
        return SampledMaps(unit_vectors(self.features.detach()), unit_vectors(self.codes))


@dataclass(frozen=True)
class Shifts:
    """The shift b of each kind of pair; see :func:`correspondence_loss`."""

    self_pairs: Finite
    neighbour_pairs: Finite
    random_pairs: Finite
    depth_pairs: Finite = 0.0


@dataclass(frozen=True)
class ObjectiveTerms:
    """Unweighted terms of the objective, each a scalar; ``None`` for a term that is off."""

    self_pairs: torch.Tensor
    neighbour_pairs: torch.Tensor
    random_pairs: torch.Tensor
    reconstruction: torch.Tensor | None = None
    contrastive_crf: torch.Tensor | None = None
    alignment: torch.Tensor | None = None
    depth: torch.Tensor | None = None
    hidden_positives: torch.Tensor | None = None

    def total(
        self,
        settings: ObjectiveSettings,
        *,
        weight_depth: float = 0.0,
        weight_hidden_positives: float = 0.0,
    ) -> torch.Tensor:
        """Return the weighted sum.

        Args:
            weight_depth: weight of DepthG's depth term, which may vary between steps.
            weight_hidden_positives: weight of DepthG's local hidden positives.
        """
        total = (
            settings.weight_self * self.self_pairs
            + settings.weight_neighbour * self.neighbour_pairs
            + settings.weight_random * self.random_pairs
        )
        for weight, term in (
            (settings.weight_reconstruction, self.reconstruction),
            (settings.weight_crf, self.contrastive_crf),
            (settings.weight_alignment, self.alignment),
            (weight_depth, self.depth),
            (weight_hidden_positives, self.hidden_positives),
        ):
            if term is not None:
                total = total + weight * term
        return total


def stego_objective(
    anchors: SampledMaps,
    positives: SampledMaps,
    negatives: SampledMaps,
    partners: torch.Tensor,
    shifts: Shifts,
    settings: ObjectiveSettings,
    *,
    matrix_type: torch.dtype | None = None,
    threads: int = 1,
) -> ObjectiveTerms:
    """Return the three terms of STEGO's objective.

    Args:
        anchors: the batch at a first set of locations.
        positives: a neighbour of each image in the batch, at a second set of locations.
        negatives: the batch itself at the second set of locations; in draw k, image i is compared
            with ``negatives[partners[k][i]]``.
        partners: partner index of each image in each draw, shape (draws, batch).
        matrix_type: the type of the products of features, if not their own.
        threads: number of threads that compute portions of the batch on a CPU.

    Returns:
        The unweighted terms. Self pairs compare each image with itself at the first set of
        locations. No gradient flows into the features.
    """
    own, neighbours, others = (part.normalised() for part in (anchors, positives, negatives))

    def loss(
        second: SampledMaps, shift: float, partners: torch.Tensor | None = None
    ) -> torch.Tensor:
        return mean_correspondence_loss(
            own.features,
            second.features,
            own.codes,
            second.codes,
            shift,
            partners=partners,
            pointwise=settings.pointwise,
            zero_clamp=settings.zero_clamp,
            stabilize=settings.stabilize,
            matrix_type=matrix_type,
            threads=threads,
        )

    return ObjectiveTerms(
        self_pairs=loss(own, shifts.self_pairs),
        neighbour_pairs=loss(neighbours, shifts.neighbour_pairs),
        random_pairs=loss(others, shifts.random_pairs, partners),
    )


def measured_shifts(
    anchors: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    partners: torch.Tensor,
    settings: ObjectiveSettings,
) -> Shifts:
    """Choose shifts from the features of one batch so that given shares of pairs attract.

    Arguments are as for :func:`stego_objective`, but features only and the partners of one draw.
    ``attract_*`` gives the shares; any ``shift_*`` that is set is used directly.
    """

    def measured(given: float | None, other: torch.Tensor, share: float) -> float:
        if given is not None:
            return given
        correlation = correspondence(anchors, other)
        if settings.pointwise:
            correlation = centre_pointwise(correlation)
        return float(quantile_shift(correlation, 1 - share))

    return Shifts(
        self_pairs=measured(settings.shift_self, anchors, settings.attract_self),
        neighbour_pairs=measured(settings.shift_neighbour, positives, settings.attract_neighbour),
        random_pairs=measured(settings.shift_random, negatives[partners], settings.attract_random),
    )
