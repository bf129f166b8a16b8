"""Fit several variants with several seeds, score them on validation images, and print one table.

Shared by the benchmarks of quality. Finished fits are kept in a file, so that an interrupted run
can continue. No label is used before scoring.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import segdistill
from segdistill.config.settings import FitSettings
from segdistill.evaluation.protocol import Protocol
from segdistill.images.finding import ImageFile, find_images
from segdistill.model.segmenter import Segmenter
from segdistill.sample.dataset import write_sample

CAMVID = "CamVid"
COLUMNS = ("accuracy", "mean_iou", "boundary_f")

Scores = dict[str, float]
Done = dict[tuple[str, str, int], Scores]


class Scene(NamedTuple):
    """A data set in STEGO's layout, with depth."""

    name: str
    root: Path
    classes: int
    held_out: str = ""

    @property
    def learned(self) -> list[ImageFile]:
        """The images to learn from: those of the training set that are not held out."""
        files = find_images(self.root / "imgs" / "train")
        if not self.held_out:
            return files
        return [file for file in files if not file.path.name.startswith(self.held_out)]

    @property
    def scored(self) -> tuple[Path, Path]:
        """The images to score, and the folder of their labels."""
        split = "train" if self.held_out else "val"
        images = self.root / "imgs" / split
        if self.held_out:
            images /= f"{self.held_out}*"
        return images, self.root / "labels" / split


Adjust = Callable[[Segmenter, Scene], Segmenter]


@dataclass(frozen=True)
class Variant:
    """How to fit and score.

    Attributes:
        settings: returns the settings of the fit.
        adjust: changes the model before scoring, for instance to another level.
        best_class: give each cluster its best class instead of matching one to one.
        protocol: how to score; by default masks at full size.
    """

    settings: Callable[[Scene], FitSettings]
    adjust: Adjust = lambda segmenter, _scene: segmenter
    best_class: bool = False
    protocol: Protocol | None = None


class Fits:
    """Fit models, and keep the last one for variants with the same settings."""

    def __init__(self) -> None:
        self._key: tuple[str, FitSettings] | None = None
        self._segmenter: Segmenter | None = None

    def fit(self, scene: Scene, settings: FitSettings) -> Segmenter:
        if self._segmenter is None or self._key != (scene.name, settings):
            self._segmenter = segdistill.fit(scene.learned, settings=settings)
            self._key = (scene.name, settings)
        return self._segmenter


def scenes(world: Path, held_out: str = "") -> Iterator[Scene]:
    if not world.exists():
        write_sample(world)
    yield Scene("toy world", world, 6)
    data = os.environ.get("SEGDISTILL_DATA")
    if data is None:
        print("Skipping CamVid: SEGDISTILL_DATA is not set")
    else:
        root = Path(data) / "camvid"
        yield Scene(f"{CAMVID} {held_out}".rstrip(), root, 11, held_out)


def scored(scene: Scene, variant: Variant, seed: int, fits: Fits) -> Scores:
    fitted = fits.fit(scene, replace(variant.settings(scene), seed=seed))
    segmenter = variant.adjust(fitted, scene)
    result = segdistill.evaluate(segmenter, *scene.scored, protocol=variant.protocol)
    scores, boundaries = result.scores["cluster"], result.boundary_scores("cluster")
    if variant.best_class:
        scores, boundaries = result.best_class_scores("cluster"), None
    found = {
        "accuracy": 100 * scores.accuracy,
        "mean_iou": 100 * scores.mean_iou,
        "classes": len(segmenter.classes),
    }
    if boundaries is not None:
        found["boundary_f"] = 100 * boundaries.mean_f
    return found


def read_done(path: Path) -> Done:
    done: Done = {}
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            done[row.pop("data"), row.pop("variant"), row.pop("seed")] = row
    return done


def table(done: Done, names: list[str], variants: Mapping[str, Variant]) -> Iterator[str]:
    """Yield the lines of a Markdown table: mean and standard deviation over the seeds."""
    titles = " | ".join(f"{name}: accuracy / mIoU / boundary F, %" for name in names)
    yield f"| | {titles} |"
    yield f"|{'---|' * (len(names) + 1)}"
    for variant in variants:
        cells = []
        for name in names:
            rows = [
                row for (data, which, _), row in done.items() if (data, which) == (name, variant)
            ]
            columns = [[row[column] for row in rows if column in row] for column in COLUMNS]
            cells.append(" / ".join(mean_and_spread(values) for values in columns if values))
        if any(cells):
            yield f"| {variant} | {' | '.join(cells)} |"


def mean_and_spread(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else " (one seed)"
    return f"{statistics.mean(values):.1f}{spread}"


def run(description: str | None, variants: Mapping[str, Variant], *, out: str) -> None:
    """Read the command line, fit and score what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--world", type=Path, default=Path("toy_world"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", choices=list(variants), default=list(variants))
    parser.add_argument("--only", choices=["toy world", CAMVID], help="use only this data set")
    parser.add_argument(
        "--held-out",
        default="",
        metavar="PREFIX",
        help="score the training images of CamVid whose names begin so, and learn from the others",
    )
    options = parser.parse_args()
    done = read_done(options.out)
    names = []
    fits = Fits()
    for scene in scenes(options.world, options.held_out):
        if options.only is not None and not scene.name.startswith(options.only):
            continue
        names.append(scene.name)
        for seed in range(options.seeds):
            for variant in options.variants:
                if (scene.name, variant, seed) in done:
                    continue
                scores = scored(scene, variants[variant], seed, fits)
                done[scene.name, variant, seed] = scores
                row = {"data": scene.name, "variant": variant, "seed": seed, **scores}
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                numbers = " / ".join(f"{scores[each]:.1f}" for each in COLUMNS if each in scores)
                print(f"{scene.name}, {variant}, seed {seed}: {numbers}", flush=True)
    print()
    for line in table(done, names, variants):
        print(line)
