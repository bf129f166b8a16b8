"""The whole job: from a folder of JPEGs to a mask of each, compared with STEGO's own way.

The library fits with its defaults, from an empty feature store, and segments all images. The plain
way is that of STEGO's scripts: in each of 600 steps it decodes 16 images and a neighbour of each,
resizes them to nearest pixels, runs the network on them in single precision, and takes the loss on
whole maps; then it segments each image and its mirror image at its size and upsamples bilinearly.
Its neighbours take one more pass over all images. A share of its steps and images is measured, and
the rest reckoned from these, which the row says. The floor is one pass of the network, as the
library runs it, over images in memory.

The two find different clusters, so there is no agreement to compute: other rows compare the parts.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tests.plain.backbones import PlainEfficientNetLite, PlainVisionTransformer
from tests.plain.step_case import StepCase, StepShape, made_case, plain_total
from torch import nn

import segdistill
from benchmarks.material import SMALL, SMALLEST, made_photos, photos, write_transformer
from benchmarks.table import Conditions, Row
from segdistill.backbones import load_backbone
from segdistill.config.settings import (
    CacheSettings,
    FitSettings,
    ObjectiveSettings,
    TrainingSettings,
)
from segdistill.devices import PixelBudget
from segdistill.images.folder import CheckedImage

NAME = "job"
IMAGES = 367
STEPS = 600
CLASSES = 11
BATCH = 16


class Case(NamedTuple):
    name: str
    plain: nn.Module
    source: str
    """The backbone, as ``--backbone`` takes it."""
    side: int
    """The shorter side of images, and in the plain way also the longer one."""
    stride: int
    share: int
    """One in so many steps, and images to segment, of the plain way is measured."""


def rows(conditions: Conditions) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = scratch / "photos"
        images = made_photos(folder, 8, (64, 48)) if conditions.smallest else photos(folder, IMAGES)
        for case in cases(scratch, conditions):
            yield row(case, images, scratch, conditions)


def cases(scratch: Path, conditions: Conditions) -> Iterator[Case]:
    side = 64 if conditions.smallest else 480
    yield Case(
        "EfficientNet-Lite0", PlainEfficientNetLite(), "efficientnet-lite0", side, 16, share=10
    )
    sizes = SMALLEST if conditions.smallest else SMALL
    folder = write_transformer(scratch / "vit", sizes)
    yield Case(sizes.name, PlainVisionTransformer(folder), str(folder), sizes.side, 8, share=100)


def row(case: Case, images: Sequence[CheckedImage], scratch: Path, conditions: Conditions) -> Row:
    steps = 4 if conditions.smallest else STEPS
    job = PlainJob(case, images, conditions)
    share = 1 if conditions.smallest else case.share
    plain = job.neighbours(images[::share]) * share
    plain += job.steps(steps // share) * share
    plain += job.segment(images[::share]) * share
    size = f"{len(images)} images, shorter side {case.side}; in all"
    return Row(
        NAME,
        f"fit and segment, {case.name}",
        size,
        f"other clusters; 1 in {share} of {steps} plain steps measured",
        plain=plain * 1000,
        this=this_job(case, images, scratch, conditions) * 1000,
        floor=floor(case, images, conditions) * 1000,
    )


def this_job(
    case: Case, images: Sequence[CheckedImage], scratch: Path, conditions: Conditions
) -> float:
    """Return the seconds of the library's job."""
    folder = images[0].file.path.parent
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        work = Path(name)
        settings = FitSettings(
            classes=CLASSES,
            backbone=case.source,
            resolution=case.side,
            device="cpu" if conditions.device.type == "cpu" else "auto",
            cache=CacheSettings(work / "store"),
            training=TrainingSettings(steps=4 if conditions.smallest else None),
        )

        def job() -> None:
            chosen = [image.file.path for image in images]
            segdistill.fit(
                folder if len(chosen) > 8 else chosen, settings=settings, out=work / "run"
            )
            segdistill.segment(work / "run", chosen, work / "masks")

        return seconds(job)


def floor(case: Case, images: Sequence[CheckedImage], conditions: Conditions) -> float:
    """Return the seconds of one pass of the network over as many images in memory."""
    backbone = load_backbone(case.source).to(conditions.device)
    multiple = backbone.size_multiple
    height = case.side // multiple * multiple
    width = round(case.side * images[0].width / images[0].height / multiple) * multiple
    batch = PixelBudget(conditions.device).images(height, width)
    pixels = torch.rand(batch, 3, height, width).to(conditions.device)

    def job() -> None:
        with torch.inference_mode(), conditions.compute.autocast():
            for _ in range(-(-len(images) // batch)):
                backbone(pixels)

    return seconds(job)


class PlainJob:
    """STEGO's way, written plainly."""

    def __init__(self, case: Case, images: Sequence[CheckedImage], conditions: Conditions) -> None:
        self.side = case.side
        self.network = case.plain.to(conditions.device)
        self.device = conditions.device
        self.images = images
        self.cells = case.side // case.stride
        self.random = np.random.default_rng(0)
        self.batch = min(BATCH, len(images) // 2)
        channels = self.encode([images[0]]).shape[1]
        self.case: StepCase = made_case(
            StepShape(
                self.cells,
                self.cells,
                (channels,),
                batch=self.batch,
                objective=ObjectiveSettings(samples=3 if conditions.smallest else 11),
            ),
            device=conditions.device,
        )
        self.optimiser = torch.optim.Adam(self.case.head.parameters(), 5e-4)

    def decoded(self, image: CheckedImage) -> torch.Tensor:
        """Return a square of an image, shape (3, side, side), in 0..1."""
        with Image.open(image.file.path) as opened:
            size = (self.side, self.side)
            pixels = np.asarray(opened.convert("RGB").resize(size, Image.Resampling.NEAREST))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255

    def encode(self, images: Sequence[CheckedImage]) -> torch.Tensor:
        pixels = torch.stack([self.decoded(image) for image in images])
        with torch.no_grad():
            maps: torch.Tensor = self.network(pixels.to(self.device))
        return maps

    def neighbours(self, images: Sequence[CheckedImage]) -> float:
        """Return the seconds of a pass over images, for their neighbours."""
        return seconds(lambda: [self.encode([image]) for image in images])

    def steps(self, count: int) -> float:
        """Return the seconds of so many steps."""

        def job() -> None:
            for _ in range(count):
                drawn = self.random.choice(len(self.images), 2 * self.batch, replace=False)
                maps = self.encode([self.images[index] for index in drawn])
                total = plain_total(self.case, maps.permute(0, 2, 3, 1))
                self.optimiser.zero_grad(set_to_none=True)
                total.backward()  # type: ignore[no-untyped-call]
                self.optimiser.step()

        return seconds(job)

    def segment(self, images: Sequence[CheckedImage]) -> float:
        """Return the seconds to segment images: each and its mirror image, upsampled."""
        centres = torch.randn(CLASSES, 70, device=self.device)

        def codes(pixels: torch.Tensor) -> torch.Tensor:
            maps = self.case.preparation(self.network(pixels).permute(0, 2, 3, 1))
            result: torch.Tensor = self.case.head(maps).permute(0, 3, 1, 2)
            return result

        def job() -> None:
            self.case.head.eval()
            for image in images:
                pixels = self.decoded(image)[None].to(self.device)
                with torch.no_grad():
                    both = (codes(pixels) + codes(pixels.flip(3)).flip(3)) / 2
                    wide = F.interpolate(both, (image.height, image.width), mode="bilinear")
                    scores = torch.einsum("bchw,kc->bkhw", F.normalize(wide, dim=1), centres)
                scores.argmax(dim=1)

        return seconds(job)


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start
