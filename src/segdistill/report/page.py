"""Self-contained HTML report of a fit."""

import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.clustering.proposals import proposals_for
from segdistill.config.settings import FitSettings
from segdistill.files import write_text_atomically
from segdistill.images.folder import ImageFile
from segdistill.images.palette import css_colour
from segdistill.inference.samples import (
    Sample,
    class_pixels,
    evenly_spread,
    segment_samples,
    shares_of,
)
from segdistill.model.class_sets import ClassSet
from segdistill.model.description import SegmentClass
from segdistill.model.segmenter import Segmenter
from segdistill.report import text
from segdistill.report.data_uri import image_uri
from segdistill.report.examples import choose_examples, example_picture
from segdistill.report.gallery import shown_images, shown_levels
from segdistill.report.rendering import render, skipped_files
from segdistill.runs.facts import ClassCount, Facts
from segdistill.runs.history import StepRecord
from segdistill.training.early_stopping import end_of_training
from segdistill.version import __version__

MEASURED_IMAGES = 24
OPACITY_PERCENT = 55

APPEARS_SHARE = 0.01
"""Minimum share of an image's pixels for a class to count as present."""


def write_report(
    path: Path,
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    history: Sequence[StepRecord],
    settings: FitSettings,
    facts: Facts,
    progress: bool = False,
) -> None:
    """Write a self-contained HTML report of a fit.

    Args:
        path: path of the HTML file; the name of its folder is the name of the run.
        segmenter: result of the fit.
        files: training images, of which a few dozen are segmented for the report.
        history: losses of every step; empty if nothing was trained.
        settings: settings of the fit.
        facts: facts of the fit.

    Raises:
        UserError: the file cannot be written.
    """
    # matplotlib is slow to import and caches fonts, so import it only to draw charts.
    from segdistill.report.charts import curve_cards  # noqa: PLC0415

    samples = segment_samples(
        segmenter,
        evenly_spread(files, MEASURED_IMAGES),
        label="Segmenting examples",
        progress=progress,
    )
    pixels = class_pixels([sample.mask for sample in samples], len(segmenter.classes))
    run, levels = path.parent, shown_levels(segmenter)
    rows = class_rows(samples, pixels, segmenter.classes)
    skipped = [(each.file, each.reason) for each in facts.skipped]
    context = {
        "page": "report",
        "title": run.resolve().name or "run",
        "run": shlex.quote(str(run)),
        "summary": summary(segmenter, settings, facts),
        "maps_not_stored": facts.maps_not_stored,
        "opacity": OPACITY_PERCENT,
        "measured": len(samples),
        "appears": text.percent(APPEARS_SHARE),
        "images": shown_images(samples, pixels, segmenter.classes, levels, progress=progress),
        "levels": levels,
        "classes": rows,
        "merges": merges(segmenter, rows, str(run)),
        "curves": curve_cards(history, facts),
        "end_of_training": _end_of_training(history, facts),
        "class_count": class_count(facts.class_count),
        "trained": settings.method != "kmeans",
        **details(segmenter, settings, facts),
        **skipped_files(skipped),
    }
    write_text_atomically(path, render("report.html.j2", context, script="page.js"))


def summary(segmenter: Segmenter, settings: FitSettings, facts: Facts) -> str:
    """Summarise the fit in one sentence."""
    seconds = sum(facts.seconds.values())
    images = text.counted(facts.images, "image")
    classes = text.counted(len(segmenter.classes), "class", "classes")
    return (
        f"{images} without labels, sorted into {classes} by {text.method(settings)}"
        f" with the backbone {segmenter.backbone.name}, in {text.duration(seconds)}."
    )


def class_rows(
    samples: Sequence[Sample], pixels: NDArray[np.int64], classes: Sequence[SegmentClass]
) -> list[dict[str, Any]]:
    """Return the name, colour, share, bar, images and examples of each class.

    Args:
        samples: samples on which shares are measured.
        pixels: number of pixels of each class in each sample, shape (samples, classes).
        classes: classes in order of index.
    """
    shares = shares_of(pixels.sum(axis=0))
    appears = (shares_of(pixels) >= APPEARS_SHARE).sum(axis=0)
    masks = [sample.mask for sample in samples]
    rows = []
    for each, share, images in zip(classes, shares.tolist(), appears.tolist(), strict=True):
        examples = [
            (
                image_uri(example_picture(samples[window.sample], window, each.index)),
                f"{each.name} in {samples[window.sample].file.name.as_posix()}",
            )
            for window in choose_examples(masks, pixels, each.index)
        ]
        rows.append(
            {
                "name": each.name,
                "colour": css_colour(each.colour),
                "share": text.percent(share),
                "bar": round(share / max(shares.max(), 1e-9), 4),
                "images": images,
                "examples": examples,
            }
        )
    return rows


def merges(segmenter: Segmenter, rows: Sequence[dict[str, Any]], run: str) -> list[dict[str, Any]]:
    """Return the rows, reason and command of each pair of classes that are probably the same.

    Args:
        segmenter: result of the fit.
        rows: result of :func:`class_rows`.
    """
    classes = ClassSet(segmenter.classes, segmenter.centres.cpu())
    return [
        {
            "classes": [rows[index] for index in each.classes],
            "reason": text.merge_reason(each),
            "command": shlex.join(
                ["segdistill", "classes", run, "--merge", *map(str, each.classes)]
            ),
        }
        for each in proposals_for(segmenter.prototypes, segmenter.code_maps, classes)
    ]


def class_count(count: ClassCount | None) -> dict[str, Any] | None:
    """Return the section on the number of classes, if it was estimated."""
    if count is None:
        return None
    from segdistill.report.charts import class_count_chart  # noqa: PLC0415

    level_of = {count.coarse: "coarse", count.chosen: "medium"} if count.coarse else {}
    return {
        "chosen": count.chosen,
        "coarse": count.coarse,
        "confidence": count.confidence,
        "reached": f"{count.stability_of_chosen:.2f}",
        "needed": f"{count.needed:g}",
        "chart": class_count_chart(count),
        "rows": [
            (number, level_of.get(number, ""), f"{agreement:.2f}", f"{separation:.2f}")
            for number, agreement, separation in zip(
                count.candidates, count.stability, count.silhouette, strict=True
            )
        ],
    }


def details(segmenter: Segmenter, settings: FitSettings, facts: Facts) -> dict[str, Any]:
    """Return the section on the details of the fit."""
    seconds = facts.seconds
    shifts = {} if facts.shifts is None else asdict(facts.shifts)
    return {
        "key_facts": [
            ("Images", f"{facts.images:,}"),
            ("Classes", str(len(segmenter.classes))),
            ("Shorter side of the input", f"{segmenter.settings.resolution} pixels"),
            ("Backbone", segmenter.backbone.name),
            ("Licence of the weights", segmenter.backbone.licence),
            ("segdistill", __version__),
            ("PyTorch", torch.__version__),
            ("Python", platform.python_version()),
        ],
        "timings": [(text.STAGES.get(key, key), text.duration(s)) for key, s in seconds.items()],
        "total_time": text.duration(sum(seconds.values())),
        "shifts": [
            (text.SHIFTS.get(key, key), text.number(value))
            for key, value in shifts.items()
            # A shift that is not used is 0: that by depth, or that of neighbours.
            if value or key in {"self_pairs", "random_pairs"}
        ],
        "settings": text.setting_rows(settings),
    }


def _end_of_training(history: Sequence[StepRecord], facts: Facts) -> str:
    """Describe when training ended; empty without early stopping."""
    agreement = facts.agreement_history
    return end_of_training(history[-1].step, agreement) if history and agreement else ""
