"""Extraction and `segment`, compared with the backbone alone, which is their floor.

The backbone alone processes batches in memory, at the best of several batch sizes. Extraction reads
image files and fills an empty feature store; `segment` reads them and writes masks, with each kind
of upsampling. All are measured in turn and the best run of each counts, so that other work on the
machine has little effect. Times are wall-clock times, since reading and writing run in parallel
with the network. A ratio of 1 means that reading and writing are hidden behind the backbone.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F

import segdistill
from benchmarks import material
from benchmarks.table import Agreement, Conditions, Row, best_of
from segdistill.backbones import Backbone, load_backbone
from segdistill.clustering.code_clusters import spherical_kmeans
from segdistill.decoding.decode import read_image, to_tensor
from segdistill.devices import Compute, PixelBudget
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.features.store import FeatureStore
from segdistill.features.views import views_of
from segdistill.images.folder import CheckedImage
from segdistill.images.resize import Viewing
from segdistill.inference.options import MaskOptions
from segdistill.labels.label_files import read_labels
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.head import SegmentationHead
from segdistill.model.segmenter import Segmenter
from segdistill.refinement.upsampling import Upsampling

NAME = "throughput"
CLASSES = 27
COMPONENTS = 128
CODE_CHANNELS = 70
BATCH_SIZES = {"cpu": (1, 2, 4), "cuda": (1, 4, 16, 64), "mps": (1, 4, 16)}
PHOTOS = {"cpu": 32, "cuda": 256, "mps": 64}
STORE_BYTES = 10**11
RUNS = 3
CHECKED = 2
"""Number of images whose features and masks are compared with those of a single image."""


class Case(NamedTuple):
    name: str
    backbone: Backbone
    resolution: int
    images: list[CheckedImage]


def rows(conditions: Conditions) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for case in cases(scratch, conditions):
            yield from rows_of(Bench(case, conditions, scratch))


def cases(scratch: Path, conditions: Conditions) -> Iterator[Case]:
    embedded = load_backbone()
    if conditions.smallest:
        images = material.made_photos(scratch / "photos", 3, (48, 64))
        yield Case("EfficientNet-Lite0", embedded, 64, images)
        return
    images = material.photos(scratch / "photos", PHOTOS[conditions.device.type])
    yield Case("EfficientNet-Lite0", embedded, embedded.resolution, images)
    # Transformers are much slower.
    small = material.transformer(scratch / "vit", material.SMALL)
    yield Case(material.SMALL.name, small, material.SMALL.side, images[: len(images) // 4])


def rows_of(bench: "Bench") -> Iterator[Row]:
    conditions, count = bench.conditions, len(bench.case.images)
    sizes = (1,) if conditions.smallest else BATCH_SIZES[conditions.device.type]
    sizes = tuple(size for size in sizes if size <= count)
    ways = {"extraction": bench.extraction}
    checks = {"extraction": bench.extraction_check()}
    for upsampling in get_args(Upsampling):
        way = f"`segment`, {upsampling}"
        ways[way] = partial(bench.segment, upsampling)
        checks[way] = bench.segment_check(upsampling)
    times = best_of(
        conditions.at_most(RUNS),
        *(partial(bench.alone, bench.batch(size)) for size in sizes),
        *ways.values(),
        device=conditions.device,
        overlapped=True,
    )
    floor = min(time / (size * bench.turns(size)) for size, time in zip(sizes, times, strict=False))
    height, width = bench.views[0].size
    for way, time in zip(ways, times[len(sizes) :], strict=True):
        yield Row(
            NAME,
            f"{way}, {bench.case.name}",
            f"{count} images of {width}x{height} pixels; per image",
            checks[way],
            this=time / count,
            floor=floor,
        )


class Bench:
    """The measurements of one backbone."""

    def __init__(self, case: Case, conditions: Conditions, scratch: Path) -> None:
        self.case = case
        self.conditions = conditions
        self.scratch = scratch
        self.backbone = case.backbone.to(conditions.device)
        self.views = views_of(case.images, Viewing(case.resolution, self.backbone.size_multiple))
        self.segmenter = made_segmenter(case, conditions.compute)
        self.photos = [image.file.path for image in case.images]
        self.masks = scratch / "masks"

    def batch(self, size: int) -> torch.Tensor:
        """Return the first image repeated to a batch, shape (size, 3, height, width)."""
        pixels = to_tensor(self.views[0].load()).expand(size, -1, -1, -1)
        return pixels.contiguous().to(self.conditions.device)

    def turns(self, batch_size: int) -> int:
        return len(self.views) // batch_size

    def alone(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the backbone on about as many images as there are; return the last features."""
        with torch.inference_mode(), self.conditions.compute.autocast():
            for _ in range(self.turns(len(batch))):
                features: torch.Tensor = self.backbone(batch)
        return features

    def extraction(self) -> None:
        self.extracted()

    def extracted(self) -> FeatureMaps:
        store = FeatureStore(self.scratch / "store", max_bytes=STORE_BYTES)
        store.clear()
        maps = FeatureMaps(self.views, self.backbone, store, self.conditions.compute)
        maps.fill_store()
        return maps

    def segment(self, upsampling: Upsampling) -> None:
        options = MaskOptions(overwrite=True, upsampling=upsampling)
        segdistill.segment(self.segmenter, self.photos, self.masks, options=options)

    def extraction_check(self) -> Agreement:
        stored = torch.from_numpy(self.extracted()[0].copy()).double()  # (h, w, c)
        alone = self.alone(self.batch(1))[0].permute(1, 2, 0)  # (1, c, h, w) -> (h, w, c)
        alike = F.cosine_similarity(stored, alone.cpu().double(), dim=2).mean().item()
        return Agreement("1 - mean cosine of stored features", 1 - alike, 0.01)

    def segment_check(self, upsampling: Upsampling) -> Agreement:
        self.segment(upsampling)
        differing = []
        for photo in self.photos[:CHECKED]:
            written = read_labels(self.masks / f"{photo.stem}.png")
            alone = self.segmenter.segment(photo, upsampling=upsampling)
            differing.append((written != alone).mean())
        share = float(np.mean(differing))
        return Agreement("share of pixels that differ from a single image's", share, 0.01)


def made_segmenter(case: Case, compute: Compute) -> Segmenter:
    """Return a model with an untrained head but fitted clusters: masks are as smooth as usual."""
    torch.manual_seed(0)
    preparation = FeaturePreparation(case.backbone.channel_groups, COMPONENTS)
    segmenter = Segmenter(
        case.backbone,
        preparation,
        SegmentationHead(preparation.channels, CODE_CHANNELS),
        torch.randn(CLASSES, CODE_CHANNELS),
        SegmenterSettings(case.resolution, numbered_classes(CLASSES)),
    )
    segmenter.compute = compute
    segmenter.budget = PixelBudget(compute.device)
    segmenter.to(compute.device)
    codes = [segmenter.grid_codes(read_image(image.file.path)) for image in case.images[:4]]
    locations = torch.cat([each[0].flatten(1).mT for each in codes])
    segmenter.centres = spherical_kmeans(locations, CLASSES, seed=0).to(compute.device)
    return segmenter
