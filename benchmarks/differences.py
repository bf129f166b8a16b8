"""Undo the differences from STEGO's released code one by one, and measure what each does.

Every variant is the default with the right number of classes, and one setting as in STEGO's code
(except the number of steps, since these features need fewer). Two more differ from both: products
of matrices in float32, and features interpolated in place of codes.

Fits each with several seeds on the toy world and, if SEGDISTILL_DATA names a folder that contains
`camvid` with imgs and labels, on CamVid, with the embedded backbone. No label is used before
scoring. Prints a Markdown table of accuracy, mIoU and boundary F-score, mean and standard deviation
over the seeds, in percent. Finished fits are kept in --out, so that an interrupted run can
continue.

    python -m benchmarks.differences --out differences.jsonl
"""

from typing import Any

from benchmarks.side_by_side import Variant, run
from segdistill.config.settings import FitSettings, ObjectiveSettings, TrainingSettings
from segdistill.evaluation.protocol import STEGO_2022, Protocol

# Of STEGO's default configuration, for images of one's own.
HAND_SET = ObjectiveSettings(shift_self=0.18, shift_neighbour=0.12, shift_random=0.46)
STEPS = 300
"""Not STEGO's 5000: the embedded backbone's codes get worse long before that."""


def changed(protocol: Protocol | None = None, **changes: Any) -> Variant:
    return Variant(lambda scene: FitSettings(classes=scene.classes, **changes), protocol=protocol)


VARIANTS: dict[str, Variant] = {
    "default": changed(),
    "masks upsampled bilinearly": changed(Protocol(upsampling="bilinear")),
    "STEGO's protocol": changed(STEGO_2022),
    "separate pairs": changed(training=TrainingSettings(pairs="separate")),
    "features interpolated": changed(objective=ObjectiveSettings(interpolate="features")),
    "products in float32": changed(precision="32-true"),
    "shifts set by hand": changed(objective=HAND_SET),
    "300 steps, last codes": changed(training=TrainingSettings(steps=STEPS)),
    "centres of the cluster probe": changed(clustering="probe"),
    "nearest resampling": changed(resampling="nearest"),
    "centre squares": changed(square=True),
    "five crops": changed(crops="five"),
    "feature dropout in the loss": changed(objective=ObjectiveSettings(feature_dropout=0.1)),
}


if __name__ == "__main__":
    run(__doc__, VARIANTS, out="differences.jsonl")
