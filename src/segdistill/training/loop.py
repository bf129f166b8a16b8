"""Training the head and the cluster probe from stored features."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import nn

from segdistill.config.settings import FitSettings
from segdistill.devices import Compute
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.model.head import SegmentationHead, drop_channels
from segdistill.objective.clusters import cluster_loss, cluster_similarity
from segdistill.objective.contrastive_crf import contrastive_crf_loss
from segdistill.objective.reconstruction import reconstruction_loss
from segdistill.objective.stego import (
    ObjectiveTerms,
    SampledMaps,
    Shifts,
    measured_shifts,
    stego_objective,
)
from segdistill.progress import progress_bar
from segdistill.training.batches import Batch, Neighbourhoods, batches, draw_batch

CALIBRATION_BATCHES = 8


@dataclass(frozen=True)
class TrainingSet:
    """What is learned from.

    Attributes:
        maps: raw feature maps.
        neighbours: of each map, shape (maps, count).
        preparation: of the features.
        shifts: of the correspondence loss.
    """

    maps: FeatureMaps
    neighbours: torch.Tensor
    preparation: FeaturePreparation
    shifts: Shifts


class Trainee(nn.Module):
    """What is learned: the head, and the centres of the cluster probe.

    Args:
        features: channels of prepared features.
        classes: number of clusters.
        settings: of the fit.
    """

    def __init__(self, features: int, classes: int, settings: FitSettings) -> None:
        super().__init__()
        self.head = SegmentationHead(
            features,
            settings.head.channels,
            kind=settings.head.kind,
            dropout=settings.head.dropout,
        )
        self.centres = nn.Parameter(torch.randn(classes, settings.head.channels))
        self.decoder = (
            nn.Linear(settings.head.channels, features)
            if settings.objective.weight_reconstruction
            else None
        )

    def optimiser(self, settings: FitSettings) -> torch.optim.Adam:
        """Return Adam with a learning rate each for head and centres."""
        trained = list(self.head.parameters())
        if self.decoder is not None:
            trained += self.decoder.parameters()
        return torch.optim.Adam(
            [
                {"params": trained, "lr": settings.training.learning_rate},
                {"params": [self.centres], "lr": settings.training.cluster_learning_rate},
            ]
        )


@dataclass(frozen=True)
class StepRecord:
    """The losses of one step.

    Attributes:
        step: counted from 1.
        total: weighted sum of the three terms.
        self_pairs: pairs within one image.
        neighbour_pairs: pairs with a neighbour.
        random_pairs: pairs with random images.
        clusters: the cluster probe's loss.
        reconstruction: optional term, 0 where it is left out.
        contrastive_crf: optional term, 0 where it is left out.
    """

    step: int
    total: float
    self_pairs: float
    neighbour_pairs: float
    random_pairs: float
    clusters: float
    reconstruction: float = 0.0
    contrastive_crf: float = 0.0


OnStep = Callable[[StepRecord, Trainee, torch.optim.Adam], None]


def calibrate_shifts(
    maps: FeatureMaps,
    neighbours: torch.Tensor,
    preparation: FeaturePreparation,
    settings: FitSettings,
) -> Shifts:
    """Measure the shifts on a few batches, before training; see :func:`measured_shifts`."""
    measured = []
    for number in range(CALIBRATION_BATCHES):
        # Negative step numbers: batches that training never draws.
        batch = draw_batch(maps, neighbours, settings, step=-1 - number)
        anchors, positives, negatives = (
            interpolate(preparation(part.features.float()), part.weights)
            for part in (batch.anchors, batch.positives, batch.negatives)
        )
        measured.append(
            measured_shifts(anchors, positives, negatives, batch.partners[0], settings.objective)
        )

    return Shifts(
        self_pairs=fmean([shifts.self_pairs for shifts in measured]),
        neighbour_pairs=fmean([shifts.neighbour_pairs for shifts in measured]),
        random_pairs=fmean([shifts.random_pairs for shifts in measured]),
    )


def train(
    trainee: Trainee,
    optimiser: torch.optim.Adam,
    data: TrainingSet,
    settings: FitSettings,
    compute: Compute,
    *,
    first_step: int = 0,
    on_step: OnStep | None = None,
    progress: bool = False,
) -> None:
    """Train the head and the cluster probe.

    Args:
        trainee: changed in place.
        optimiser: of the trainee.
        data: what to learn from.
        settings: of the fit.
        compute: device and precision.
        first_step: where to go on, counted from 0.
        on_step: called after each step.
        progress: show a progress bar.
    """
    steps = settings.training.steps
    trainee.to(compute.device).train()
    data.preparation.to(compute.device)
    with progress_bar("Training", steps, shown=progress) as advance:
        advance(first_step)
        drawn = batches(data.maps, data.neighbours, settings, first_step=first_step)
        for step, batch in enumerate(drawn, start=first_step):
            # In full precision: head and loss cost little beside the backbone, and differences of
            # correlations are small numbers.
            with seeded(settings.seed, step, device=compute.device):
                terms, clusters = losses(
                    trainee, batch.to(compute.device), data.preparation, data.shifts, settings
                )
                total = terms.total(settings.objective)
            optimiser.zero_grad(set_to_none=True)
            (total + clusters).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            advance(1)
            if on_step is not None:
                on_step(_record(step + 1, total, terms, clusters), trainee, optimiser)
    trainee.eval()


@contextlib.contextmanager
def seeded(*numbers: int, device: torch.device | None = None) -> Iterator[None]:
    """Draw the same random numbers in the block each time, and leave the caller's alone.

    Args:
        numbers: what the draws depend on, such as seed and step; so a run that is resumed draws
            what it would have drawn.
        device: where numbers are drawn, beside the CPU.
    """
    on_gpu = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.manual_seed(random.Random(repr(numbers)).getrandbits(62))  # noqa: S311
        yield


def losses(
    trainee: Trainee,
    batch: Batch,
    preparation: FeaturePreparation,
    shifts: Shifts,
    settings: FitSettings,
) -> tuple[ObjectiveTerms, torch.Tensor]:
    """Return the terms of the objective and the cluster probe's loss for one batch.

    The head runs only on the cells around sampled places, which gives the same codes there as
    running it on whole maps and sampling those.
    """
    anchors, positives, negatives = (
        _sampled(part, trainee.head, preparation, settings.objective.feature_dropout)
        for part in (batch.anchors, batch.positives, batch.negatives)
    )
    terms = stego_objective(
        anchors, positives, negatives, batch.partners, shifts, settings.objective
    )
    if trainee.decoder is not None:
        decoded = trainee.decoder(anchors.codes)
        terms = replace(terms, reconstruction=reconstruction_loss(decoded, anchors.features).mean())
    if batch.guidance is not None:
        guidance = batch.guidance
        codes = _sampled(guidance.around, trainee.head, preparation, 0.0).codes
        crf = contrastive_crf_loss(guidance.colours, F.normalize(codes, dim=2), guidance.cells)
        terms = replace(terms, contrastive_crf=crf.mean())
    # The probe watches the codes without changing them.
    codes = anchors.codes.detach().mT.unsqueeze(-1)  # (b, places, d) -> (b, d, places, 1)
    clusters, _ = cluster_loss(cluster_similarity(codes, trainee.centres))
    return terms, clusters


def interpolate(cells: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weigh the four cells around each place.

    Args:
        cells: shape (batch, places, 4, channels).
        weights: shape (batch, places, 4).

    Returns:
        Tensor of shape (batch, places, channels).
    """
    return torch.einsum("bpnc,bpn->bpc", cells, weights)


def _sampled(
    part: Neighbourhoods,
    head: SegmentationHead,
    preparation: FeaturePreparation,
    feature_dropout: float,
) -> SampledMaps:
    with torch.no_grad():
        cells = preparation(part.features.float())
    return SampledMaps(
        features=drop_channels(interpolate(cells, part.weights), feature_dropout),
        codes=interpolate(head(cells).float(), part.weights),
    )


def _record(
    step: int, total: torch.Tensor, terms: ObjectiveTerms, clusters: torch.Tensor
) -> StepRecord:
    none = torch.zeros_like(total)
    values = torch.stack(
        [
            total,
            terms.self_pairs,
            terms.neighbour_pairs,
            terms.random_pairs,
            clusters,
            none if terms.reconstruction is None else terms.reconstruction,
            none if terms.contrastive_crf is None else terms.contrastive_crf,
        ]
    )
    return StepRecord(step, *values.detach().float().tolist())
