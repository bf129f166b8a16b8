"""CAUSE as an objective: concepts by modularity first, then contrast between them."""

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.model.head import SegmentationHead
from segdistill.objective.fused_interpolation import interpolate_cells
from segdistill.objective.modularity import (
    concept_assignments,
    concept_contrast,
    graph_of,
    modularity,
)
from segdistill.training.batches import Batch, draw_batch
from segdistill.training.grid import Needs
from segdistill.training.objectives.protocol import (
    Objective,
    ObjectiveInputs,
    ObjectiveStep,
    Teacher,
)
from segdistill.training.optimiser import Adam
from segdistill.training.sampling import sample_at
from segdistill.training.training_set import TrainingSet

EMPTY = -1
FIRST_CODEBOOK_STEP = -1_000_000
"""Batches of negative steps are drawn in no training."""


class CauseObjective(Objective):
    """Contrast of projected codes with the teacher's, of this and earlier steps, by their concepts.

    The projection is discarded after training.
    """

    needs = Needs(neighbours=False)
    codebook: torch.Tensor
    bank: torch.Tensor
    bank_concepts: torch.Tensor

    def __init__(self, inputs: ObjectiveInputs) -> None:
        super().__init__()
        self.settings, self.own = inputs.settings, inputs.settings.objective.cause
        self.projection = nn.Linear(inputs.channels, inputs.channels)
        self.teacher = Teacher(nn.Sequential(inputs.head, self.projection))
        self._latest: tuple[torch.Tensor, ...] = ()
        # So short that the steps of Adam turn them quickly.
        bound = 1 / self.own.concepts
        codebook = torch.empty(self.own.concepts, inputs.features).uniform_(-bound, bound)
        self.register_buffer("codebook", codebook)
        self.register_buffer("bank", torch.zeros(self.own.bank, inputs.channels))
        self.register_buffer("bank_concepts", torch.full((self.own.bank,), EMPTY))

    def prepare(self, head: SegmentationHead, data: TrainingSet) -> None:
        """Fit the codebook by gradient ascent on the modularity."""
        group = data.maps.compute.group
        fitted = group.from_first(lambda: self._fitted_codebook(data))
        with torch.no_grad():
            self.codebook.copy_(fitted)

    def losses(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet, *, step: int
    ) -> ObjectiveStep:
        """Return the contrast with the same step, that with the bank, and their mean."""
        maps = sample_at(batch.images, head, data)
        with torch.no_grad():
            features = maps.features.flatten(0, 1)
            concepts = concept_assignments(features, self.codebook).argmax(dim=1)
            taught = self.teacher.follower(features[:, None])[:, 0]
            unit = F.normalize(self.codebook, dim=1)
            similarity = unit @ unit.mT
        projected = self.projection(maps.codes.flatten(0, 1))

        def contrast(
            bank: torch.Tensor, bank_concepts: torch.Tensor, *, same: bool = False
        ) -> torch.Tensor:
            return concept_contrast(
                projected,
                concepts,
                bank,
                bank_concepts,
                similarity,
                positive=self.own.positive,
                negative=self.own.negative,
                temperature=self.own.temperature,
                same=same,
            )

        loss = contrast(taught, concepts, same=True)
        if bool((self.bank_concepts != EMPTY).any()):
            loss = (loss + contrast(self.bank, self.bank_concepts)) / 2
        # A random half of the batch, so that the bank reaches back over more steps.
        kept = torch.randperm(len(taught), device=taught.device)[: -(-len(taught) // 2)]
        self._latest = taught[kept], concepts[kept]
        labels = None
        if batch.labels is not None:
            labels = torch.cat([batch.labels.anchors, batch.labels.negatives], dim=1)
        used = torch.bincount(concepts, minlength=len(self.codebook)) > 0
        return ObjectiveStep(
            loss,
            maps.codes,
            labels,
            {"concepts": loss, "share_of_concepts": used.float().mean()},
        )

    def after_step(self, head: SegmentationHead, *, step: int) -> None:
        """Move the teacher, and put its codes of the step into the bank, the newest first."""
        self.teacher.follow(nn.Sequential(head, self.projection), momentum=self.own.momentum)
        for kept, new in zip((self.bank, self.bank_concepts), self._latest, strict=True):
            kept.copy_(torch.cat([new, kept])[: len(kept)])

    def _fitted_codebook(self, data: TrainingSet) -> torch.Tensor:
        device = data.maps.compute.device
        preparation = data.preparation.to(device)
        codebook = self.codebook.detach().to(device, copy=True).requires_grad_()
        optimiser = Adam([codebook], lr=self.own.codebook_learning_rate)
        for number in range(self.own.codebook_steps):
            batch = draw_batch(data, self.settings, self.needs, step=FIRST_CODEBOOK_STEP - number)
            # One of the two sets of locations: a graph of each image.
            images = batch.to(device).images
            part = images.of_locations(slice(images.nearest.shape[1] // 2))
            cells = part.prepared(preparation).cells
            features = interpolate_cells(cells, part.nearest, part.weights)
            assignments = concept_assignments(features, codebook)
            loss = -modularity(graph_of(features), assignments).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return codebook.detach().cpu()
