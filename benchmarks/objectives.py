"""STEGO and the objectives of later work on the same frozen features, side by side.

Fits every objective with several seeds on the toy world and, if SEGDISTILL_DATA names a folder that
contains `camvid` with imgs and labels, on CamVid. All use the embedded backbone, the same head and
early stopping; clusters come from k-means on the codes, or, where a row says so, are the
prototypes of the objective. Variants are scored on the validation images; no label is used before.
Prints a Markdown table of accuracy, mIoU and boundary F-score, mean and standard deviation over the
seeds, in percent. Finished fits are kept in --out, so that an interrupted run can continue.

With --held-out PREFIX, the images of CamVid's training set whose names begin with the prefix are
scored instead, and left out of the training: nothing is chosen by the validation images.

    python -m benchmarks.objectives --out objectives.jsonl
"""

from typing import Any

from benchmarks.side_by_side import Scene, Variant, run
from segdistill.config.settings import FitSettings, ObjectiveSettings
from segdistill.training.objectives.registry import BUILT_IN

WITH_PROTOTYPES = ("smooseg", "primaps")


def trained_by(name: str, **settings: Any) -> Variant:
    def fit_settings(scene: Scene) -> FitSettings:
        objective = ObjectiveSettings(name=name)
        return FitSettings(classes=scene.classes, objective=objective, **settings)

    return Variant(fit_settings)


VARIANTS: dict[str, Variant] = {
    **{name: trained_by(name) for name in BUILT_IN},
    **{f"{name}, own prototypes": trained_by(name, clustering="probe") for name in WITH_PROTOTYPES},
}


if __name__ == "__main__":
    run(__doc__, VARIANTS, out="objectives.jsonl")
