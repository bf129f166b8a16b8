"""Setting the shifts of the losses from the images, before training."""

from statistics import fmean

from segdistill.config.settings import FitSettings
from segdistill.objective.stego import Shifts, measured_shifts
from segdistill.training.batches import draw_batch
from segdistill.training.depth_losses import depth_shift
from segdistill.training.losses import compared_features, features_at
from segdistill.training.training_set import TrainingSet

CALIBRATION_BATCHES = 8


def calibrate_shifts(data: TrainingSet, settings: FitSettings) -> Shifts:
    """Measure the shifts on a few batches, before training; see :func:`measured_shifts`.

    Args:
        data: what is learned from.
        settings: of the fit.
    """
    measured, depth_shifts = [], []
    for number in range(CALIBRATION_BATCHES):
        # Negative step numbers: batches that training never draws.
        batch = draw_batch(data, settings, step=-1 - number)
        features = [
            features_at(part, data.preparation)
            for part in (batch.anchors, batch.positives, batch.negatives)
        ]
        anchors, positives, negatives = compared_features(features, batch, data, settings)
        measured.append(
            measured_shifts(anchors, positives, negatives, batch.partners[0], settings.objective)
        )
        if batch.depth is not None:
            depth_shifts.append(depth_shift(batch.depth.anchors, settings))
    return Shifts(
        self_pairs=fmean([shifts.self_pairs for shifts in measured]),
        neighbour_pairs=fmean([shifts.neighbour_pairs for shifts in measured]),
        random_pairs=fmean([shifts.random_pairs for shifts in measured]),
        depth_pairs=fmean(depth_shifts) if depth_shifts else 0.0,
    )
