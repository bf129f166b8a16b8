"""What a training step agreement_history at."""

from dataclasses import dataclass

import torch

from segdistill.objective.fused_interpolation import gather_cells


@dataclass(frozen=True)
class Neighbourhoods:
    """Raw features around sampled locations; a cell that several locations need is held once.

    Attributes:
        cells: features of every cell needed, shape (batch, cells, channels). Images whose locations
            need fewer cells than others' are filled up with cells that no place needs.
        nearest: which four of them lie around each location, shape (batch, locations, 4), int64.
        weights: bilinear weights, shape (batch, locations, 4).
    """

    cells: torch.Tensor
    nearest: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> "Neighbourhoods":
        """Return a copy on a device."""
        return Neighbourhoods(
            self.cells.to(device), self.nearest.to(device), self.weights.to(device)
        )

    def of_locations(self, chosen: slice) -> "Neighbourhoods":
        """Return the part around some of the locations; the cells are shared."""
        return Neighbourhoods(self.cells, self.nearest[:, chosen], self.weights[:, chosen])

    @property
    def features(self) -> torch.Tensor:
        """Features of four cells around each location: (batch, locations, 4, channels)."""
        return gather_cells(self.cells, self.nearest)


@dataclass(frozen=True)
class Guidance:
    """What the contrastive CRF agreement_history at: the images at 56 x 56, at random cells.

    Attributes:
        colours: normalised as for a network, shape (batch, locations, 3).
        cells: row and column of each location, shape (locations, 2).
        around: raw features around the locations.
    """

    colours: torch.Tensor
    cells: torch.Tensor
    around: Neighbourhoods

    def to(self, device: torch.device) -> "Guidance":
        """Return a copy on a device."""
        return Guidance(self.colours.to(device), self.cells.to(device), self.around.to(device))


@dataclass(frozen=True)
class AlignedCopies:
    """Images and augmented copies of them, at locations that show the same.

    Attributes:
        originals: raw features of the images.
        copies: raw features of their copies, in the same order.
    """

    originals: Neighbourhoods
    copies: Neighbourhoods

    def to(self, device: torch.device) -> "AlignedCopies":
        """Return a copy on a device."""
        return AlignedCopies(self.originals.to(device), self.copies.to(device))


@dataclass(frozen=True)
class SampledLabels:
    """Labels at the sampled locations, each of shape (batch, locations); 255 is 'not labelled'."""

    anchors: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor

    def to(self, device: torch.device) -> "SampledLabels":
        """Return a copy on a device."""
        return SampledLabels(
            self.anchors.to(device), self.positives.to(device), self.negatives.to(device)
        )


@dataclass(frozen=True)
class SampledDepth:
    """Depth at sampled locations of some images; NaN where it is unknown.

    Attributes:
        shares: from 0, the nearest place of the image, to 1, shape (batch, locations).
        points: in space, shape (batch, locations, 3).
        attention: of the backbone between locations, shape (batch, heads, locations, locations),
            where hidden positives need it.
    """

    shares: torch.Tensor
    points: torch.Tensor
    attention: torch.Tensor | None = None

    def to(self, device: torch.device) -> "SampledDepth":
        """Return a copy on a device."""
        return SampledDepth(
            self.shares.to(device),
            self.points.to(device),
            None if self.attention is None else self.attention.to(device),
        )


@dataclass(frozen=True)
class BatchDepth:
    """Depth at the locations of a batch; attributes as for :class:`Batch`."""

    anchors: SampledDepth
    positives: SampledDepth
    negatives: SampledDepth

    def to(self, device: torch.device) -> "BatchDepth":
        """Return a copy on a device."""
        return BatchDepth(
            self.anchors.to(device), self.positives.to(device), self.negatives.to(device)
        )


@dataclass(frozen=True)
class Batch:
    """What one step agreement_history at.

    Attributes:
        images: at a first set of locations, and after them as many of a second.
        positives: a neighbour of each image, at a second set of locations.
        partners: for each draw of random pairs, indices of shape (batch,).
        guidance: for the contrastive CRF, or ``None`` where it is left out.
        aligned: for augmentation alignment, or ``None`` where it is left out.
        labels: at the locations, or ``None`` where nothing needs them.
        depth: at the locations, or ``None`` where no depth guides the fit.
    """

    images: Neighbourhoods
    positives: Neighbourhoods
    partners: tuple[torch.Tensor, ...]
    guidance: Guidance | None = None
    aligned: AlignedCopies | None = None
    labels: SampledLabels | None = None
    depth: BatchDepth | None = None

    @property
    def locations(self) -> int:
        """Number of locations in a set."""
        return self.images.nearest.shape[1] // 2

    @property
    def anchors(self) -> Neighbourhoods:
        """The images at the first set of locations."""
        return self.images.of_locations(slice(self.locations))

    @property
    def negatives(self) -> Neighbourhoods:
        """The images at the second set of locations."""
        return self.images.of_locations(slice(self.locations, None))

    def to(self, device: torch.device) -> "Batch":
        """Return a copy on a device."""
        return Batch(
            self.images.to(device),
            self.positives.to(device),
            tuple(draw.to(device) for draw in self.partners),
            None if self.guidance is None else self.guidance.to(device),
            None if self.aligned is None else self.aligned.to(device),
            None if self.labels is None else self.labels.to(device),
            None if self.depth is None else self.depth.to(device),
        )
