"""STEGO, DepthG as released, and DepthG with each form of its loss, side by side.

Fits every variant with several seeds on the toy world (exact depth) and, if SEGDISTILL_DATA names a
folder that contains `camvid` with imgs, labels and depth, on CamVid. Variants are scored on the
validation images; no label is used before. Prints a Markdown table of accuracy, mIoU and boundary
F-score, mean and standard deviation over the seeds, in percent. Finished fits are kept in --out, so
that an interrupted run can continue.

    python -m benchmarks.depth_guidance --out depth_guidance.jsonl
"""

from typing import Any

from benchmarks.side_by_side import Scene, Variant, run
from segdistill.config.settings import DepthSettings, FitSettings


def guided(**depth: Any) -> Variant:
    def settings(scene: Scene) -> FitSettings:
        folder = scene.root / "depth" / "train"
        return FitSettings(
            classes=scene.classes, depth=DepthSettings(folder=folder, invalid=(0.0,), **depth)
        )

    return Variant(settings)


VARIANTS: dict[str, Variant] = {
    "STEGO": Variant(lambda scene: FitSettings(classes=scene.classes)),
    "DepthG as released": guided(as_released=True, sampling="farthest"),
    "DepthG: product, random locations": guided(similarity="product", sampling="random"),
    "DepthG: product, farthest locations": guided(sampling="farthest", space="metric"),
    "product, farthest by perspective": guided(sampling="farthest", space="perspective"),
    "difference, random locations": guided(similarity="difference", sampling="random"),
    "distance, random locations": guided(similarity="distance", sampling="random"),
}


if __name__ == "__main__":
    run(__doc__, VARIANTS, out="depth_guidance.jsonl")
