"""The losses of one training step, from raw features at sampled locations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from segdistill.config.settings import FitSettings
from segdistill.features.preparation import FeaturePreparation
from segdistill.images.labels import VOID
from segdistill.model.head import SegmentationHead, drop_channels
from segdistill.objective.alignment import alignment_loss
from segdistill.objective.clusters import cluster_loss, cluster_similarity
from segdistill.objective.contrastive_crf import contrastive_crf_loss
from segdistill.objective.correspondence import correspondence
from segdistill.objective.fused_interpolation import interpolate_cells, portions
from segdistill.objective.label_correspondence import label_features
from segdistill.objective.local_hidden_positives import (
    attention_weights,
    average_codes,
    near_weights,
    released_attention_weights,
    released_near_weights,
)
from segdistill.objective.reconstruction import reconstruction_loss
from segdistill.objective.stego import (
    ObjectiveTerms,
    SampledMaps,
    Shifts,
    stego_objective,
)
from segdistill.training.batch import Batch, Neighbourhoods, SampledDepth
from segdistill.training.depth_losses import depth_term
from segdistill.training.modules import TrainingModules
from segdistill.training.training_set import TrainingSet


@dataclass(frozen=True)
class LinearProbeLoss:
    """What the linear probe gives in one step.

    Attributes:
        cross_entropy: over the labelled locations.
        accuracy: share of the labelled locations that it tells, from 0 to 1.
    """

    cross_entropy: torch.Tensor
    accuracy: torch.Tensor


@dataclass(frozen=True)
class StepLosses:
    """What one step gives.

    Attributes:
        terms: of the objective, unweighted.
        clusters: the cluster probe's loss.
        linear: of the linear probe; ``None`` where there is none, or nothing in the batch is
            labelled.
    """

    terms: ObjectiveTerms
    clusters: torch.Tensor
    linear: LinearProbeLoss | None = None


@dataclass(frozen=True)
class SampledBatch:
    """The three parts of a batch at their locations.

    Attributes:
        anchors: what is compared, and codes; see :class:`Batch`.
        positives: the same.
        negatives: the same.
        features: of the anchors, as the loss sees them, shape (batch, locations, channels).
    """

    anchors: SampledMaps
    positives: SampledMaps
    negatives: SampledMaps
    features: torch.Tensor


def losses(
    modules: TrainingModules,
    batch: Batch,
    data: TrainingSet,
    shifts: Shifts,
    settings: FitSettings,
    *,
    step: int = 0,
) -> StepLosses:
    """Return all losses of a batch.

    Args:
        modules: in training mode.
        batch: on the modules' device.
        data: what the batch was drawn from.
        shifts: of the correspondence loss.
        settings: of the fit.
        step: counted from 0; schedules depend on it.
    """
    parts = sample_batch(modules.head, batch, data, settings)
    terms = stego_objective(
        parts.anchors, parts.positives, parts.negatives, batch.partners, shifts, settings.objective
    )
    if modules.decoder is not None:
        decoded = modules.decoder(parts.anchors.codes)
        terms = replace(terms, reconstruction=reconstruction_loss(decoded, parts.features).mean())
    if batch.depth is not None:
        terms = replace(
            terms,
            depth=depth_term(parts.anchors.codes, batch.depth.anchors, shifts, settings, step=step),
            hidden_positives=hidden_positives_term(modules, parts, batch, shifts, settings),
        )
    if batch.guidance is not None:
        guidance = batch.guidance
        codes = codes_at(guidance.around, modules.head, data.preparation)
        crf = contrastive_crf_loss(guidance.colours, F.normalize(codes, dim=2), guidance.cells)
        terms = replace(terms, contrastive_crf=crf.mean())
    if batch.aligned is not None:
        originals, copies = (
            codes_at(part, modules.head, data.preparation)
            for part in (batch.aligned.originals, batch.aligned.copies)
        )
        terms = replace(terms, alignment=alignment_loss(originals, copies).mean())
    # The probes watch the codes without changing them.
    watched = parts.anchors.codes.detach()
    # (b, locations, d) -> (b, d, locations, 1)
    clusters, _ = cluster_loss(cluster_similarity(watched.mT.unsqueeze(-1), modules.centres))
    return StepLosses(terms, clusters, linear_probe_loss(modules, watched, batch))


def hidden_positives_term(
    modules: TrainingModules,
    parts: SampledBatch,
    batch: Batch,
    shifts: Shifts,
    settings: FitSettings,
) -> torch.Tensor | None:
    """Return STEGO's objective for the second head's codes, or ``None`` where there is none.

    The second head learns from codes averaged over locations that belong together, by depth or by
    features, and hands what it learns on to the first.

    Args:
        modules: holds the second head.
        parts: features and codes of the batch.
        batch: holds the depth.
        shifts: of the correspondence loss.
        settings: of the fit.
    """
    if modules.second_head is None or batch.depth is None:
        return None
    depth = batch.depth
    anchors, positives, negatives = (
        SampledMaps(
            part.features,
            modules.second_head(average_codes(part.codes, _weights(part, sampled, settings))),
        )
        for part, sampled in (
            (parts.anchors, depth.anchors),
            (parts.positives, depth.positives),
            (parts.negatives, depth.negatives),
        )
    )
    terms = stego_objective(
        anchors, positives, negatives, batch.partners, shifts, settings.objective
    )
    return terms.total(settings.objective)


def _weights(part: SampledMaps, depth: SampledDepth, settings: FitSettings) -> torch.Tensor:
    released = settings.depth.as_released
    if settings.depth.hidden_positives == "depth":
        return (released_near_weights if released else near_weights)(depth.points)
    if depth.attention is not None:
        attention = depth.attention
    else:
        attention = correspondence(part.features, part.features).clamp_min(0)[:, None]
    return (released_attention_weights if released else attention_weights)(attention)


def linear_probe_loss(
    modules: TrainingModules, codes: torch.Tensor, batch: Batch
) -> LinearProbeLoss | None:
    """Return the linear probe's loss, or ``None`` where nothing is to be learned.

    Args:
        modules: holds the probe.
        codes: of the anchors, without a gradient, shape (batch, locations, channels).
        batch: holds the labels.
    """
    if modules.linear is None or batch.labels is None:
        return None
    labels = batch.labels.anchors
    labelled = labels != VOID
    if not labelled.any():
        return None  # the mean over nothing is NaN
    logits, wanted = modules.linear(codes[labelled]), labels[labelled]
    with torch.no_grad():
        accuracy = (logits.argmax(dim=1) == wanted).float().mean()
    return LinearProbeLoss(F.cross_entropy(logits, wanted), accuracy)


def sample_batch(
    head: SegmentationHead, batch: Batch, data: TrainingSet, settings: FitSettings
) -> SampledBatch:
    """Return what the correspondence loss compares, at the locations of a batch.

    The head runs only on the cells around sampled locations, each once, which gives the same codes
    there as running it on whole maps and sampling those. As in STEGO's code, both sets of locations
    of an image see the same channels dropped.

    Args:
        head: from features to codes.
        batch: on the head's device.
        data: what the batch was drawn from.
        settings: of the fit.
    """
    maps = []
    for part in (batch.images, batch.positives):
        cells = prepared(part, data.preparation)
        codes = head.at_locations(cells, part.nearest, part.weights)
        locations = interpolate_cells(cells, part.nearest, part.weights)
        features = drop_channels(locations, settings.objective.feature_dropout)
        maps.append(SampledMaps(features, codes))
    first, second = maps[0].halves()
    sampled = (first, maps[1], second)
    compared = compared_features([each.features for each in sampled], batch, data, settings)
    anchors, positives, negatives = (
        SampledMaps(features, each.codes) for features, each in zip(compared, sampled, strict=True)
    )
    return SampledBatch(anchors, positives, negatives, features=first.features)


def compared_features(
    features: Sequence[torch.Tensor], batch: Batch, data: TrainingSet, settings: FitSettings
) -> Sequence[torch.Tensor]:
    """Return what says which locations correspond: the features, or labels in the oracle.

    Args:
        features: of anchors, positives and negatives, each (batch, locations, channels).
        batch: holds the labels.
        data: says how many classes there are.
        settings: of the fit.
    """
    if settings.objective.correlations == "features":
        return features
    if batch.labels is None or data.labels is None:
        raise ValueError("objective.correlations is 'labels', but there are no labels")
    labels = batch.labels
    return [
        label_features(each, data.labels.classes)
        for each in (labels.anchors, labels.positives, labels.negatives)
    ]


def prepared(part: Neighbourhoods, preparation: FeaturePreparation) -> torch.Tensor:
    """Return prepared features of the cells of a part, shape (batch, cells, channels)."""
    cells = part.cells
    result = torch.empty((*cells.shape[:2], preparation.channels), device=cells.device)
    with torch.no_grad():
        for images in portions(cells):
            result[images] = preparation(cells[images].float())
    return result


def features_at(part: Neighbourhoods, preparation: FeaturePreparation) -> torch.Tensor:
    """Return prepared features at locations, shape (batch, locations, channels)."""
    return interpolate_cells(prepared(part, preparation), part.nearest, part.weights)


def codes_at(
    part: Neighbourhoods, head: SegmentationHead, preparation: FeaturePreparation
) -> torch.Tensor:
    """Return codes at locations, shape (batch, locations, code channels)."""
    return head.at_locations(prepared(part, preparation), part.nearest, part.weights)
