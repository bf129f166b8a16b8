"""STEGO's objective with its optional terms and DepthG's: correspondences of features."""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.model.head import SegmentationHead
from segdistill.objective.contrastive_crf import contrastive_crf_loss
from segdistill.objective.optional_terms import alignment_loss, reconstruction_loss
from segdistill.objective.schedules import depth_weight
from segdistill.objective.stego import ObjectiveTerms, Shifts, stego_objective
from segdistill.training.batches import Batch
from segdistill.training.depth_losses import depth_term, hidden_positives_term
from segdistill.training.objectives.protocol import Objective, ObjectiveInputs, ObjectiveStep
from segdistill.training.sampling import (
    calibrate_shifts,
    codes_at,
    compared_maps,
    pair_correlations,
    sample_at,
    sample_batch,
)
from segdistill.training.training_set import TrainingSet


class StegoObjective(Objective):
    """The weighted sum of three correspondence losses, and of optional terms.

    Args:
        inputs: as for all objectives.
        shifts: shifts of the correspondence loss; by default they are measured.
    """

    def __init__(self, inputs: ObjectiveInputs, shifts: Shifts | None = None) -> None:
        super().__init__()
        self.settings, self.shifts = inputs.settings, shifts
        channels = inputs.channels
        self.decoder = (
            nn.Linear(channels, inputs.features)
            if self.settings.objective.weight_reconstruction
            else None
        )
        # DepthG's second head takes averaged codes, and is discarded after training.
        self.second_head = (
            nn.Linear(channels, channels)
            if self.settings.depth.hidden_positives != "none"
            else None
        )

    def prepare(self, head: SegmentationHead, data: TrainingSet) -> None:
        """Measure the shifts."""
        group = data.maps.compute.group
        self.shifts = group.from_first(lambda: calibrate_shifts(data, self.settings))

    def losses(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet, *, step: int
    ) -> ObjectiveStep:
        """Return all terms and their weighted sum."""
        settings, shifts = self.settings, self.shifts
        if shifts is None:
            raise ValueError("shifts are not measured: prepare() comes first")
        sampled = sample_batch(head, batch, data, settings)
        parts = compared_maps(sampled, batch, data, settings)
        codes = parts.anchors.codes
        terms = stego_objective(
            *parts,
            batch.partners,
            shifts,
            settings.objective,
            matrix_type=data.maps.compute.matrix_type,
            threads=data.maps.compute.threads,
        )
        if self.decoder is not None:
            loss = reconstruction_loss(self.decoder(codes), sampled.anchors.features)
            terms = replace(terms, reconstruction=loss.mean())
        if batch.depth is not None:
            loss = depth_term(codes, batch.depth.anchors, shifts, settings, step=step)
            terms = replace(terms, depth=loss)
            if self.second_head is not None:
                loss = hidden_positives_term(
                    self.second_head, parts, batch.depth, batch, shifts, settings
                )
                terms = replace(terms, hidden_positives=loss)
        if batch.guidance is not None:
            colours, cells, around = batch.guidance
            guided = F.normalize(codes_at(around, head, data), dim=2)
            loss = contrastive_crf_loss(colours, guided, cells)
            terms = replace(terms, contrastive_crf=loss.mean())
        if batch.aligned is not None:
            copies, shown = batch.aligned
            interpolate = settings.objective.interpolate
            seen = sample_at(copies, head, data, interpolate=interpolate)
            loss = alignment_loss(codes, seen.codes)
            # A sum, since a mean over no locations is NaN.
            terms = replace(terms, alignment=(loss * shown).sum() / shown.sum().clamp_min(1))
        return ObjectiveStep(
            self._total(terms, step),
            codes,
            None if batch.labels is None else batch.labels.anchors,
            {name: value for name, value in vars(terms).items() if value is not None},
        )

    def histograms(
        self, head: SegmentationHead, batch: Batch, data: TrainingSet
    ) -> Mapping[str, torch.Tensor]:
        """Return the correlations of features and codes for each kind of pair."""
        sampled = sample_batch(head, batch, data, self.settings)
        return pair_correlations(compared_maps(sampled, batch, data, self.settings), batch)

    def _total(self, terms: ObjectiveTerms, step: int) -> torch.Tensor:
        """Return the weighted sum of the terms at a step, counted from 0."""
        if terms.depth is None:
            return terms.total(self.settings.objective)
        return terms.total(
            self.settings.objective,
            weight_depth=depth_weight(self.settings, step),
            weight_hidden_positives=self.settings.depth.weight_hidden_positives,
        )
