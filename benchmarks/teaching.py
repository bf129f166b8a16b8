"""Teach runs by a simulated person, who answers from labels, and score them on other images.

For each seed, a run is fitted to the training images without labels. Then a simulated person
answers its questions: a region is the class that most of its labelled pixels have, or "several
things" where that is less than 60 % of them. Every answer counts as an act, "several things"
included. After some numbers of acts, masks of the validation images are scored; a class that was
never named has an IoU of 0. No setting is chosen here.

Beside it, the same number of clicks on random labelled pixels, on the same features: with a
logistic regression, and with a random forest, as interactive segmentation programs use it.

Uses the toy world and, if SEGDISTILL_DATA names a folder that contains `camvid`, CamVid. Prints a
Markdown table of accuracy / mIoU in percent, mean and standard deviation over the seeds; beside
ours, how accurate the run believes itself to be, from answers held back in turn.

    python -m benchmarks.teaching --out teaching.jsonl
"""

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import segdistill
from benchmarks.side_by_side import Scene, scenes
from segdistill.api.labelled import LabelledSet, labelled_folders
from segdistill.api.teacher import Teacher, open_teacher
from segdistill.config.settings import FitSettings
from segdistill.evaluation.confusion import ConfusionMatrix
from segdistill.model.segmenter import Segmenter
from segdistill.refinement.upsampling import upsampled_mask
from segdistill.teaching.cells import Cells
from segdistill.teaching.taught_model import DETAIL, codes_of_reduced

ACTS = (10, 25, 50, 100, 200)
MAJORITY = 0.6

Scores = Callable[[torch.Tensor], torch.Tensor]
"""Maps reduced features (1, channels, h, w) to class scores (1, classes, h, w)."""


class Labels:
    """The labels of the images of a session.

    Args:
        teacher: the session.
        labelled: its images with labels.
    """

    def __init__(self, teacher: Teacher, labelled: LabelledSet) -> None:
        self.pool = teacher.session.pool
        paths = {image.name.as_posix(): path for image, path in labelled.pairs}
        self.maps = [labelled.read(paths[each.name]) for each in teacher.session.images]
        self.names = list(labelled.names)

    def majority(self, cells: Cells) -> tuple[int, float]:
        """Return the class that most labelled pixels of a region have, and their share."""
        image = int(self.pool.image_of(cells[:1])[0])
        labels, (height, width) = self.maps[image], self.pool.grids[image]
        rows = np.arange(labels.shape[0]) * height // labels.shape[0]
        columns = np.arange(labels.shape[1]) * width // labels.shape[1]
        inside = np.zeros(height * width, np.bool_)
        inside[cells - self.pool.starts[image]] = True
        values = labels[inside.reshape(height, width)[np.ix_(rows, columns)]]
        counts = np.bincount(values[values != 255], minlength=len(self.names))
        best = int(counts.argmax())
        return best, float(counts[best] / max(counts.sum(), 1))

    def clicks(self, count: int, random: np.random.Generator) -> tuple[Cells, NDArray[np.int64]]:
        """Return the cells and classes of random labelled pixels."""
        cells: list[int] = []
        classes: list[int] = []
        while len(cells) < count:
            image = int(random.integers(len(self.maps)))
            labels, (height, width) = self.maps[image], self.pool.grids[image]
            y, x = (int(random.integers(side)) for side in labels.shape)
            if labels[y, x] != 255:
                row, column = y * height // labels.shape[0], x * width // labels.shape[1]
                cells.append(int(self.pool.starts[image]) + row * width + column)
                classes.append(int(labels[y, x]))
        return np.array(cells), np.array(classes)


@dataclass(frozen=True)
class Validation:
    """Validation images, with the features of their cells."""

    images: list[NDArray[np.uint8]]
    labels: list[NDArray[np.int64]]
    features: list[torch.Tensor]
    classes: int
    detail: float = DETAIL

    @classmethod
    def of(cls, teacher: Teacher, labelled: LabelledSet) -> "Validation":
        images = [teacher.segmenter.read(file.path) for file, _ in labelled.pairs]
        return cls(
            images,
            [labelled.read(path) for _, path in labelled.pairs],
            [teacher.reduced_features(image) for image in images],
            len(labelled.names),
        )

    def score(self, scores: Scores, label_of: Sequence[int]) -> tuple[float, float]:
        """Return accuracy and mIoU in percent.

        Args:
            scores: maps features to class scores.
            label_of: label class of each predicted class; those beyond it count as wrong.
        """
        matrix = ConfusionMatrix(self.classes + 1, self.classes)
        table = np.full(256, self.classes, np.uint8)
        table[: len(label_of)] = label_of
        for image, labels, features in zip(self.images, self.labels, self.features, strict=True):
            matrix.update(
                table[upsampled_mask(scores(features), image, detail=self.detail)], labels
            )
        counts = matrix.counts[:-1]
        right = np.diag(counts)
        either = matrix.counts.sum(axis=0) + counts.sum(axis=1) - right
        iou = np.divide(right, either, out=np.zeros(self.classes), where=either > 0)
        return 100 * right.sum() / matrix.counts.sum(), 100 * float(iou.mean())


def taught(teacher: Teacher, labels: Labels, validation: Validation) -> Iterator[dict[str, float]]:
    """Answer questions from labels; yield the scores after some numbers of acts."""
    session = teacher.session
    session.change(session.answers.with_classes(labels.names))
    several = 0
    for act in range(1, max(ACTS) + 1):
        question = session.question()
        if question is None:
            return
        best, share = labels.majority(question.cells)
        several += share < MAJORITY
        if share < MAJORITY:
            session.answer(question, "several")
        else:
            session.answer(question, "class", labels.names[best])
        if act in ACTS:
            model = teacher.taught

            def scores(features: torch.Tensor, model: Segmenter = model) -> torch.Tensor:
                return model.scores_of_codes(codes_of_reduced(features))

            accuracy, mean_iou = validation.score(scores, range(len(labels.names)))
            estimate = session.estimate()
            found = {"acts": act, "accuracy": accuracy, "mean_iou": mean_iou, "several": several}
            if estimate is not None:
                found["estimate"] = 100 * estimate.accuracy
            yield found


def clicked(
    labels: Labels, validation: Validation, *, forest: bool, seed: int
) -> Iterator[dict[str, float]]:
    """Click on random pixels; yield the scores after some numbers of clicks."""
    random = np.random.default_rng(seed)
    cells, classes = labels.clicks(max(ACTS), random)
    for act in ACTS:
        features = labels.pool.features[torch.from_numpy(cells[:act])].numpy()
        model: Any = LogisticRegression(max_iter=1000)
        if forest:
            model = RandomForestClassifier(100, random_state=seed, n_jobs=1)
        # Features have a mean squared length of 1; logistic regression expects that of channels.
        scale = features.shape[1] ** 0.5
        model.fit(features * scale, classes[:act])

        def scores(maps: torch.Tensor, model: Any = model, scale: float = scale) -> torch.Tensor:
            cells = maps[0].flatten(1).mT.numpy() * scale  # (1, c, h, w) -> (cells, c)
            likely = torch.from_numpy(model.predict_proba(cells)).float()
            return likely.mT.reshape(1, -1, *maps.shape[2:])

        accuracy, mean_iou = validation.score(scores, model.classes_.tolist())
        yield {"acts": act, "accuracy": accuracy, "mean_iou": mean_iou}


METHODS = ("taught", "random clicks, logistic regression", "random clicks, random forest")


def curves(scene: Scene, seed: int, runs: Path) -> Iterator[dict[str, Any]]:
    """Yield the scores of all methods on a scene, after each number of acts."""
    run = runs / f"{scene.name.replace(' ', '_')}-{seed}"
    segdistill.fit(
        scene.root / "imgs" / "train", settings=FitSettings(seed=seed), out=run, resume=True
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        shutil.copytree(run, folder)
        teacher = open_teacher(folder, scene.root / "imgs" / "train", untaught="nearest")
        labels = Labels(teacher, labelled(scene, "train"))
        validation = Validation.of(teacher, labelled(scene, "val"))
        for method in METHODS:
            if method == "taught":
                rows = taught(teacher, labels, validation)
            else:
                rows = clicked(labels, validation, forest=method.endswith("forest"), seed=seed)
            for row in rows:
                yield {"data": scene.name, "method": method, "seed": seed, **row}


def labelled(scene: Scene, split: str) -> LabelledSet:
    return labelled_folders(scene.root / "imgs" / split, scene.root / "labels" / split)


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "| data | method | " + " | ".join(f"{act} acts" for act in ACTS) + " |"
    yield f"|{'---|' * (2 + len(ACTS))}"
    names = list(dict.fromkeys(row["data"] for row in rows))
    for name in names:
        for method in METHODS:
            cells = []
            for act in ACTS:
                own = [
                    r for r in rows if (r["data"], r["method"], r["acts"]) == (name, method, act)
                ]
                cell = " / ".join(spread([r[c] for r in own]) for c in ("accuracy", "mean_iou"))
                beliefs = [r["estimate"] for r in own if "estimate" in r]
                cells.append(cell + (f" (believes {spread(beliefs)})" if beliefs else ""))
            yield f"| {name} | {method} | {' | '.join(cells)} |"


def spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("teaching.jsonl"))
    parser.add_argument("--world", type=Path, default=Path("toy_world"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["toy world", "CamVid"], help="use only this data set")
    parser.add_argument("--runs", type=Path, default=Path("teaching_runs"), help="fitted runs")
    options = parser.parse_args()
    rows = []
    if options.out.exists():
        rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    done = {(row["data"], row["seed"]) for row in rows if row["method"] == METHODS[-1]}
    for scene in scenes(options.world):
        if options.only not in {None, scene.name}:
            continue
        for seed in range(options.seeds):
            if (scene.name, seed) in done:
                continue
            rows = [r for r in rows if (r["data"], r["seed"]) != (scene.name, seed)]
            for row in curves(scene, seed, options.runs):
                rows.append(row)
                print(json.dumps(row), flush=True)
            options.out.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    print()
    for line in table(rows):
        print(line)


if __name__ == "__main__":
    main()
