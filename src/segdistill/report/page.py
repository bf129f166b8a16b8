"""The self-contained page that shows what a fit found and how it came to be."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.files import write_text_atomically
from segdistill.images.folder import ImageFile
from segdistill.model.description import SegmentClass
from segdistill.model.segmenter import Segmenter
from segdistill.report import curves, text
from segdistill.report.class_count import count_section
from segdistill.report.examples import (
    APPEARS_SHARE,
    Sample,
    choose_examples,
    class_pixels,
    evenly_spread,
    segment_samples,
    shares_of,
)
from segdistill.report.figures import example_picture, image_uri, mask_uri
from segdistill.report.levels import ShownLevel, masks_of_levels, shown_levels
from segdistill.report.merging import merge_rows
from segdistill.report.rendering import render, skipped_files
from segdistill.training.early_stopping import AgreementRecord, end_of_training
from segdistill.training.loop import StepRecord
from segdistill.version import __version__

MEASURED_IMAGES = 40
SHOWN_IMAGES = 12
LISTED_SKIPS = 200
OPACITY_PERCENT = 55
# How far from square a picture may be laid out; what is narrower still gets empty borders.
NARROWEST, WIDEST = 0.5, 2.5


@dataclass(frozen=True)
class ShownImage:
    """A picture of the gallery.

    Attributes:
        name: of the file.
        alt: says which classes are in it.
        photo: address of the image.
        masks: name of each level, and the address of its mask.
        height: in pixels.
        width: in pixels.
        ratio: of width to height, within bounds, for the layout.
        parts: colour and share of each class in it.
    """

    name: str
    alt: str
    photo: str
    masks: list[tuple[str, str]]
    height: int
    width: int
    ratio: float
    parts: list[tuple[str, float]]


@dataclass(frozen=True)
class LevelChoice:
    """A choice of the gallery's switch.

    Attributes:
        name: of the level.
        is_in_use: whether these are the classes in use.
        legend: colour and name of each class.
    """

    name: str
    is_in_use: bool
    legend: list[tuple[str, str]]


@dataclass(frozen=True)
class ClassRow:
    """A row of the table of classes.

    Attributes:
        name: of the class.
        colour: as style sheets write it.
        share: of the pixels measured, in words.
        bar: length of the bar, from 0 to 1.
        images: number of images in which the class appears.
        examples: addresses of pictures, and what each shows.
    """

    name: str
    colour: str
    share: str
    bar: float
    images: int
    examples: list[tuple[str, str]]


def write_report(
    path: Path,
    segmenter: Segmenter,
    files: Sequence[ImageFile],
    *,
    history: Sequence[StepRecord],
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
    progress: bool = False,
) -> None:
    """Write one HTML file that needs no other file and no network.

    Args:
        path: of the file; the run is named after its folder.
        segmenter: what the fit gave.
        files: the images it learned from; a few dozen of them are segmented for the report.
        history: losses of every step; empty where nothing was trained.
        settings: of the fit, nested, as plain values.
        facts: what happened: ``images``, ``skipped``, ``seconds``, ``shifts``,
            ``maps_not_stored``, ``class_count`` and ``agreement_history``.
        progress: show a progress bar.

    Raises:
        UserError: the file cannot be written.
    """
    samples = segment_samples(segmenter, evenly_spread(files, MEASURED_IMAGES), progress=progress)
    pixels = class_pixels([sample.mask for sample in samples], len(segmenter.classes))
    run = path.parent
    levels = shown_levels(segmenter)
    rows = class_rows(samples, pixels, segmenter.classes)
    agreement = facts.get("agreement_history", facts.get("looks", []))
    page = render(
        "report.html.j2",
        {
            "page": "report",
            "title": run.resolve().name or "run",
            "run": shlex.quote(str(run)),
            "summary": summary(segmenter, settings, facts),
            "opacity": OPACITY_PERCENT,
            "measured": len(samples),
            "appears": text.percent(APPEARS_SHARE),
            "images": shown_images(samples, pixels, segmenter.classes, levels),
            "levels": [
                LevelChoice(
                    level.name,
                    level.is_in_use,
                    [(css_colour(each), each.name) for each in level.model.classes],
                )
                for level in levels
            ],
            "classes": rows,
            "merges": merge_rows(segmenter, rows, str(run)),
            "curves": curves.curves_of(history),
            "agreement": curves.agreement_curve(agreement),
            "end_of_training": end_of_training(
                history[-1].step if history else 0,
                [AgreementRecord(int(each["step"]), each["agreement"]) for each in agreement],
            ),
            "drawing": curves,
            "class_count": count_section(facts),
            "trained": settings.get("method") != "kmeans",
            **made_how(segmenter, settings, facts),
            **left_out(facts),
        },
        script="page.js",
    )
    write_text_atomically(path, page)


def summary(segmenter: Segmenter, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Say in one sentence what was done."""
    method = str(settings.get("method", "stego"))
    way = text.METHODS.get(method, method)
    seconds = sum(facts.get("seconds", {}).values())
    images = text.counted(int(facts.get("images", 0)), "image")
    classes = text.counted(len(segmenter.classes), "class", "classes")
    return (
        f"{images} without labels, sorted into {classes} by {way} with the"
        f" backbone {segmenter.backbone.name}, in {text.duration(seconds)}."
    )


def shown_images(
    samples: Sequence[Sample],
    pixels: NDArray[np.int64],
    classes: Sequence[SegmentClass],
    levels: Sequence[ShownLevel],
) -> list[ShownImage]:
    """Prepare the gallery.

    Args:
        samples: all that were segmented; a spread of them is shown.
        pixels: of each class in each sample, shape (samples, classes).
        classes: in the order of their indices.
        levels: that the gallery can show.
    """
    shown = []
    for sample, shares in evenly_spread(
        list(zip(samples, shares_of(pixels).tolist(), strict=True)), SHOWN_IMAGES
    ):
        name = sample.file.name.as_posix()
        named = [(each.name, share) for each, share in zip(classes, shares, strict=True)]
        height, width = sample.mask.shape
        shown.append(
            ShownImage(
                name=name,
                alt=text.description_of_shares(name, named),
                photo=image_uri(sample.image),
                masks=masks_of(sample, levels),
                height=height,
                width=width,
                ratio=round(min(max(width / height, NARROWEST), WIDEST), 4),
                parts=[
                    (css_colour(each), round(share * 100, 2))
                    for each, share in zip(classes, shares, strict=True)
                    if share > 0
                ],
            )
        )
    return shown


def masks_of(sample: Sample, levels: Sequence[ShownLevel]) -> list[tuple[str, str]]:
    """Return the name and the address of a sample's mask at each level."""
    masks = masks_of_levels(sample, levels)
    return [(level.name, mask_uri(masks[level.name], level.model.classes)) for level in levels]


def class_rows(
    samples: Sequence[Sample], pixels: NDArray[np.int64], classes: Sequence[SegmentClass]
) -> list[ClassRow]:
    """Prepare the table of classes.

    Args:
        samples: on which shares are measured.
        pixels: of each class in each sample, shape (samples, classes).
        classes: in the order of their indices.
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
        bar = share / max(shares.max(), 1e-9)
        rows.append(
            ClassRow(
                each.name, css_colour(each), text.percent(share), round(bar, 4), images, examples
            )
        )
    return rows


def made_how(
    segmenter: Segmenter, settings: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Prepare the section that says how the model was made."""
    seconds: Mapping[str, float] = facts.get("seconds", {})
    shifts: Mapping[str, float] = facts.get("shifts") or {}
    return {
        "key_facts": [
            ("Images", f"{int(facts.get('images', 0)):,}"),
            ("Classes", str(len(segmenter.classes))),
            ("Shorter side as seen", f"{segmenter.settings.resolution} pixels"),
            ("Backbone", segmenter.backbone.name),
            ("Licence of its weights", segmenter.backbone.licence),
            ("segdistill", __version__),
            ("PyTorch", torch.__version__),
            ("Python", platform.python_version()),
        ],
        "timings": [(text.STAGES.get(key, key), text.duration(s)) for key, s in seconds.items()],
        "total_time": text.duration(sum(seconds.values())),
        "shifts": [
            (text.SHIFTS.get(key, key), text.number(value))
            for key, value in shifts.items()
            # Without depth there is no such shift, and it is 0.
            if value or key != "depth_pairs"
        ],
        "settings": text.flattened(settings),
    }


def left_out(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare what is said on images skipped and on the feature store."""
    skipped = [(str(each["file"]), str(each["reason"])) for each in facts.get("skipped", [])]
    return {
        **skipped_files(skipped, LISTED_SKIPS),
        "maps_not_stored": int(facts.get("maps_not_stored", 0)),
    }


def css_colour(each: SegmentClass) -> str:
    """Return the colour of a class as style sheets write it.

    Example:
        >>> css_colour(SegmentClass(0, "sky", (0, 128, 255)))
        '#0080ff'
    """
    red, green, blue = each.colour
    return f"#{red:02x}{green:02x}{blue:02x}"
