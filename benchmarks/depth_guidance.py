"""STEGO, DepthG as released, and DepthG with each form of its loss, side by side.

Fits every variant with several seeds on the toy world (exact depth) and, where SEGDISTILL_DATA
names a folder that holds `camvid` with imgs, labels and depth, on CamVid. Scores are counted on
the validation images; no label is touched before. Prints a Markdown table of accuracy and mIoU,
mean and standard deviation over the seeds, in percent. What is done is kept in --out, so that a run
that was broken off goes on.

    python benchmarks/depth_guidance.py --out depth_guidance.jsonl
"""

import argparse
import json
import os
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import segdistill
from segdistill.config.settings import DepthSettings, FitSettings
from segdistill.sample.dataset import write_sample

VARIANTS: dict[str, dict[str, Any] | None] = {
    "STEGO": None,
    "DepthG as released": {"as_released": True, "sampling": "farthest"},
    "DepthG: product, random places": {"similarity": "product", "sampling": "random"},
    "DepthG: product, farthest places": {"sampling": "farthest", "space": "metric"},
    "product, farthest by perspective": {"sampling": "farthest", "space": "perspective"},
    "difference, random places": {"similarity": "difference", "sampling": "random"},
    "distance, random places": {"similarity": "distance", "sampling": "random"},
}


class Scene(NamedTuple):
    """A data set in STEGO's layout, with depth."""

    name: str
    root: Path
    classes: int


def scenes(world: Path) -> Iterator[Scene]:
    if not world.exists():
        write_sample(world)
    yield Scene("toy world", world, 6)
    data = os.environ.get("SEGDISTILL_DATA")
    if data is None:
        print("CamVid is left out: SEGDISTILL_DATA is not set")
    else:
        yield Scene("CamVid", Path(data) / "camvid", 11)


def scored(scene: Scene, depth: dict[str, Any] | None, seed: int) -> tuple[float, float]:
    settings = FitSettings(classes=scene.classes, seed=seed)
    if depth is not None:
        folder = scene.root / "depth" / "train"
        settings = replace(settings, depth=DepthSettings(folder=folder, invalid=0.0, **depth))
    segmenter = segdistill.fit(scene.root / "imgs" / "train", settings=settings)
    result = segdistill.evaluate(
        segmenter, scene.root / "imgs" / "val", scene.root / "labels" / "val"
    )
    scores = result.scores["cluster"]
    return 100 * scores.accuracy, 100 * scores.mean_iou


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("depth_guidance.jsonl"))
    parser.add_argument("--world", type=Path, default=Path("toy_world"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", type=int, default=len(VARIANTS), help="the first so many")
    parser.add_argument("--only", choices=["toy world", "CamVid"], help="one of the data sets")
    options = parser.parse_args()
    done: dict[tuple[str, str, int], tuple[float, float]] = {}
    if options.out.exists():
        for line in options.out.read_text().splitlines():
            row = json.loads(line)
            done[row["data"], row["variant"], row["seed"]] = (row["accuracy"], row["mean_iou"])
    names = []
    for scene in scenes(options.world):
        if options.only not in {None, scene.name}:
            continue
        names.append(scene.name)
        for seed in range(options.seeds):
            for variant, depth in list(VARIANTS.items())[: options.variants]:
                if (scene.name, variant, seed) in done:
                    continue
                accuracy, mean_iou = scored(scene, depth, seed)
                done[scene.name, variant, seed] = (accuracy, mean_iou)
                row = {"data": scene.name, "variant": variant, "seed": seed}
                with options.out.open("a") as file:
                    file.write(json.dumps({**row, "accuracy": accuracy, "mean_iou": mean_iou}))
                    file.write("\n")
                print(
                    f"{scene.name}, {variant}, seed {seed}: {accuracy:.1f} / {mean_iou:.1f}",
                    flush=True,
                )
    print(f"\n| accuracy / mIoU, % | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for variant in VARIANTS:
        cells = []
        for name in names:
            seeds = [seed for seed in range(options.seeds) if (name, variant, seed) in done]
            pairs = [done[name, variant, seed] for seed in seeds]
            columns = [
                f"{statistics.mean(values):.1f}"
                + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else " (one seed)")
                for values in zip(*pairs, strict=True)
            ]
            cells.append(" / ".join(columns))
        print(f"| {variant} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
