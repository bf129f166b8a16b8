"""Losses of a training step, from raw features at sampled locations, and their shifts."""

from dataclasses import dataclass, replace
from statistics import fmean

import torch
import torch.nn.functional as F

from segdistill.config.settings import FitSettings
from segdistill.features.preparation import FeaturePreparation
from segdistill.images.palette import VOID
from segdistill.model.head import SegmentationHead, drop_channels
from segdistill.objective.clusters import cluster_loss, cluster_similarity
from segdistill.objective.contrastive_crf import contrastive_crf_loss
from segdistill.objective.fused_interpolation import image_portions, interpolate_cells
from segdistill.objective.optional_terms import (
    alignment_loss,
    label_features,
    reconstruction_loss,
)
from segdistill.objective.stego import (
    ObjectiveTerms,
    SampledMaps,
    Shifts,
    measured_shifts,
    stego_objective,
)
from segdistill.training.batches import Batch, Neighbourhoods, Parts, draw_batch
from segdistill.training.depth_losses import depth_shift, depth_term, hidden_positives_term
from segdistill.training.modules import TrainingModules
from segdistill.training.training_set import TrainingSet

CALIBRATION_BATCHES = 8


@dataclass(frozen=True)
class StepLosses:
    """The objective's unweighted terms, and the losses of the probes.

    The cross-entropy of the linear probe and its accuracy, from 0 to 1, are ``None`` without a
    linear probe, or if no location in the batch is labelled.
    """

    terms: ObjectiveTerms
    clusters: torch.Tensor
    linear: torch.Tensor | None = None
    linear_accuracy: torch.Tensor | None = None


def losses(
    modules: TrainingModules,
    batch: Batch,
    data: TrainingSet,
    shifts: Shifts,
    settings: FitSettings,
    *,
    step: int = 0,
) -> StepLosses:
    """Return all losses of a batch on the modules' device; ``step`` is counted from 0."""
    sampled = sample_batch(modules.head, batch, data, settings)
    parts = compared_maps(sampled, batch, data, settings)
    codes = parts.anchors.codes
    terms = stego_objective(*parts, batch.partners, shifts, settings.objective)
    if modules.decoder is not None:
        loss = reconstruction_loss(modules.decoder(codes), sampled.anchors.features)
        terms = replace(terms, reconstruction=loss.mean())
    if batch.depth is not None:
        loss = depth_term(codes, batch.depth.anchors, shifts, settings, step=step)
        terms = replace(terms, depth=loss)
        if modules.second_head is not None:
            loss = hidden_positives_term(
                modules.second_head, parts, batch.depth, batch, shifts, settings
            )
            terms = replace(terms, hidden_positives=loss)
    if batch.guidance is not None:
        colours, cells, around = batch.guidance
        guided = F.normalize(codes_at(around, modules.head, data.preparation), dim=2)
        terms = replace(terms, contrastive_crf=contrastive_crf_loss(colours, guided, cells).mean())
    if batch.aligned is not None:
        both = [codes_at(part, modules.head, data.preparation) for part in batch.aligned]
        terms = replace(terms, alignment=alignment_loss(both[0], both[1]).mean())
    # The probes see detached codes, so they do not train the head.
    watched = codes.detach()
    # (b, locations, d) -> (b, d, locations, 1)
    clusters = cluster_loss(cluster_similarity(watched.mT.unsqueeze(-1), modules.centres))
    return StepLosses(terms, clusters, *_linear_probe_loss(modules, watched, batch))


def _linear_probe_loss(
    modules: TrainingModules, codes: torch.Tensor, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor] | tuple[None, None]:
    """Return the linear probe's loss and accuracy."""
    if modules.linear is None or batch.labels is None:
        return None, None
    labels = batch.labels.anchors
    labelled = labels != VOID
    if not labelled.any():
        return None, None  # the mean over no locations is NaN
    logits, wanted = modules.linear(codes[labelled]), labels[labelled]
    with torch.no_grad():
        accuracy = (logits.argmax(dim=1) == wanted).float().mean()
    return F.cross_entropy(logits, wanted), accuracy


def sample_batch(
    head: SegmentationHead, batch: Batch, data: TrainingSet, settings: FitSettings
) -> Parts[SampledMaps]:
    """Return features and codes at the locations of a batch, on the head's device.

    The head runs once on each cell around the sampled locations, which gives the same codes as
    running it on whole maps and sampling the result. As in STEGO's code, the same channels are
    dropped for both sets of locations of an image.
    """
    maps = []
    for part in (batch.images, batch.positives):
        cells = _prepared(part, data.preparation)
        codes = head.at_locations(cells, part.nearest, part.weights)
        locations = interpolate_cells(cells, part.nearest, part.weights)
        features = drop_channels(locations, settings.objective.feature_dropout)
        maps.append(SampledMaps(features, codes))
    first, second = maps[0].halves()
    return Parts(first, maps[1], second)


def compared_maps(
    parts: Parts[SampledMaps], batch: Batch, data: TrainingSet, settings: FitSettings
) -> Parts[SampledMaps]:
    """Return the maps that the correspondence loss compares, with label features for the oracle."""
    features = _compared(Parts(*(part.features for part in parts)), batch, data, settings)
    return Parts(*(SampledMaps(f, part.codes) for f, part in zip(features, parts, strict=True)))


def _compared(
    features: Parts[torch.Tensor], batch: Batch, data: TrainingSet, settings: FitSettings
) -> Parts[torch.Tensor]:
    if settings.objective.correlations == "features":
        return features
    if batch.labels is None or data.labels is None:
        raise ValueError("objective.correlations is 'labels', but there are no labels")
    classes = data.labels.files.classes
    return Parts(*(label_features(each, classes) for each in batch.labels))


def calibrate_shifts(data: TrainingSet, settings: FitSettings) -> Shifts:
    """Measure the shifts on a few batches before training; see :func:`measured_shifts`."""
    measured, depth_shifts = [], []
    for number in range(CALIBRATION_BATCHES):
        # Negative step numbers give batches that training never draws.
        batch = draw_batch(data, settings, step=-1 - number)
        features = Parts(
            *(
                interpolate_cells(_prepared(part, data.preparation), part.nearest, part.weights)
                for part in batch.parts
            )
        )
        compared = _compared(features, batch, data, settings)
        measured.append(measured_shifts(*compared, batch.partners[0], settings.objective))
        if batch.depth is not None:
            depth_shifts.append(depth_shift(batch.depth.anchors, settings))
    return Shifts(
        self_pairs=fmean(shifts.self_pairs for shifts in measured),
        neighbour_pairs=fmean(shifts.neighbour_pairs for shifts in measured),
        random_pairs=fmean(shifts.random_pairs for shifts in measured),
        depth_pairs=fmean(depth_shifts) if depth_shifts else 0.0,
    )


def codes_at(
    part: Neighbourhoods, head: SegmentationHead, preparation: FeaturePreparation
) -> torch.Tensor:
    """Return the codes at locations, shape (batch, locations, code channels)."""
    return head.at_locations(_prepared(part, preparation), part.nearest, part.weights)


def _prepared(part: Neighbourhoods, preparation: FeaturePreparation) -> torch.Tensor:
    """Return the prepared features of the cells of a part, shape (batch, cells, channels)."""
    cells = part.cells
    result = torch.empty((*cells.shape[:2], preparation.channels), device=cells.device)
    with torch.no_grad():
        for images in image_portions(cells):
            result[images] = preparation(cells[images].float())
    return result
