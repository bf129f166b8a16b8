"""Features and codes at the sampled locations of a batch, and the shifts measured on them."""

from statistics import fmean

import torch

from segdistill.config.settings import FitSettings, Interpolated
from segdistill.model.head import SegmentationHead, drop_channels
from segdistill.objective.correspondence import correspondence
from segdistill.objective.fused_interpolation import interpolate_cells
from segdistill.objective.optional_terms import label_features
from segdistill.objective.stego import SampledMaps, Shifts, measured_shifts
from segdistill.training.batches import Batch, draw_batch
from segdistill.training.depth_losses import depth_shift
from segdistill.training.drawing import Parts
from segdistill.training.grid import NEEDS_PAIRS, Needs
from segdistill.training.neighbourhoods import Neighbourhoods
from segdistill.training.training_set import TrainingSet

CALIBRATION_BATCHES = 8


def sample_batch(
    head: SegmentationHead, batch: Batch, data: TrainingSet, settings: FitSettings
) -> Parts[SampledMaps]:
    """Return features and codes at the locations of a batch, on the head's device.

    To interpolate codes, the head runs once on each cell around the sampled locations, which gives
    the same codes as running it on whole maps and sampling the result. As in STEGO's code, the same
    channels are dropped for both sets of locations of an image.
    """
    features, codes = [], []
    for part in batch.parts_read:
        sampled = sample_at(part, head, data, interpolate=settings.objective.interpolate)
        features.append(drop_channels(sampled.features, settings.objective.feature_dropout))
        codes.append(sampled.codes)
    pairs = zip(batch.in_parts(*features), batch.in_parts(*codes), strict=True)
    return Parts(*(SampledMaps(*each) for each in pairs))


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


def calibrate_shifts(
    data: TrainingSet, settings: FitSettings, needs: Needs = NEEDS_PAIRS
) -> Shifts:
    """Measure the shifts on a few batches before training; see :func:`measured_shifts`."""
    measured, depth_shifts = [], []
    for number in range(CALIBRATION_BATCHES):
        # Negative step numbers give batches that training never draws.
        batch = draw_batch(data, settings, needs._replace(grid=0), step=-1 - number)
        features = batch.in_parts(
            *(
                interpolate_cells(part.prepared(data.preparation).cells, part.nearest, part.weights)
                for part in batch.parts_read
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


def pair_correlations(parts: Parts[SampledMaps], batch: Batch) -> dict[str, torch.Tensor]:
    """Return the correlations of features and of codes for each kind of pair, by name."""
    others = {
        "self": parts.anchors,
        "neighbour": parts.positives,
        "random": parts.negatives.paired(batch.partners[0]),
    }
    return {
        f"correlation/{name}_{kind}_pairs": correspondence(
            getattr(parts.anchors, name), getattr(other, name)
        )
        for kind, other in others.items()
        for name in ("features", "codes")
    }


def sample_at(
    part: Neighbourhoods,
    head: SegmentationHead,
    data: TrainingSet,
    *,
    interpolate: Interpolated = "codes",
) -> SampledMaps:
    """Return prepared features and codes at locations, each (batch, locations, channels).

    Args:
        part: features around the locations.
        head: the head.
        data: the training set, with the preparation of features and the type of matrix products.
        interpolate: interpolate the codes of the cells around each location; or their features,
            and run the head on the result, once for each location.
    """
    part = part.prepared(data.preparation)
    features = interpolate_cells(part.cells, part.nearest, part.weights)
    if interpolate == "features":
        return SampledMaps(features, head(features, matrix_type=data.maps.compute.matrix_type))
    return SampledMaps(features, codes_at(part, head, data))


def codes_at(part: Neighbourhoods, head: SegmentationHead, data: TrainingSet) -> torch.Tensor:
    """Return the codes at locations, shape (batch, locations, code channels)."""
    compute = data.maps.compute
    return head.at_locations(
        part.prepared(data.preparation).cells,
        part.nearest,
        part.weights,
        matrix_type=compute.matrix_type,
        threads=compute.threads,
    )
