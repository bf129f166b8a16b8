"""Images a second of extraction and of `segment`, beside those of the backbone alone.

The backbone alone sees batches that lie in memory, at the best of several batch sizes. Extraction
reads image files and fills an empty feature store; `segment` reads them and writes masks. The three
are measured in turn, round by round, and the best round of each counts, so that other work on the
machine spoils little. Prints a Markdown table; a ratio of 1 means that reading, resizing and
writing are hidden behind the backbone.

Images are those of CamVid if SEGDISTILL_DATA names a folder that holds camvid/, else made ones.
Weights of the vision transformer are random: its speed does not depend on them.

    OMP_NUM_THREADS=1 python benchmarks/throughput.py
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image

from segdistill.backbones import Backbone, load_backbone
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.devices import Compute, choose_compute
from segdistill.features.extract import FeatureMaps
from segdistill.features.preparation import FeaturePreparation
from segdistill.features.store import FeatureStore
from segdistill.features.views import views_of
from segdistill.images.decode import read_image
from segdistill.images.folder import CheckedImage, check_images, find_images
from segdistill.images.resize import Viewing
from segdistill.inference.folder import MaskOptions, segment_files
from segdistill.model.description import SegmenterSettings, numbered_classes
from segdistill.model.head import SegmentationHead
from segdistill.model.segmenter import Segmenter
from segdistill.training.clustering import spherical_kmeans

CLASSES = 27
COMPONENTS = 128
CODE_CHANNELS = 70
BATCH_SIZES = {"cpu": (1, 2, 4), "cuda": (1, 4, 16, 64), "mps": (1, 4, 16)}
MADE_SIZE = (480, 640)
STORE_BYTES = 10**11


def vision_transformer(folder: Path) -> Backbone:
    """A ViT-S/8 with random weights, read from a local folder as a user's would be."""
    from transformers import ViTConfig, ViTModel  # noqa: PLC0415 - takes seconds

    config = ViTConfig(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
        image_size=224,
        patch_size=8,
    )
    torch.manual_seed(0)
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return load_backbone(str(folder))


def made_photos(folder: Path, count: int, suffix: str) -> None:
    """Write smooth noise with some grain, which compresses about as photos do."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 255, (15, 20, 3)).astype(np.uint8)
        smooth = Image.fromarray(coarse).resize(MADE_SIZE[::-1], Image.Resampling.BICUBIC)
        grain = random.normal(0, 8, (*MADE_SIZE, 3))
        pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}{suffix}", quality=90)


def photos(folder: Path, count: int, suffix: str) -> list[CheckedImage]:
    named = os.environ.get("SEGDISTILL_DATA")
    if named and (Path(named) / "camvid").is_dir():
        files = find_images(Path(named) / "camvid" / "imgs" / "train")[:count]
    else:
        made_photos(folder, count, suffix)
        files = find_images(folder)
    return check_images(files)[0]


def made_segmenter(
    backbone: Backbone, resolution: int, images: list[CheckedImage], compute: Compute
) -> Segmenter:
    """A model whose head is untrained, but whose clusters are its own: masks as quiet as usual."""
    torch.manual_seed(0)
    preparation = FeaturePreparation(backbone.channel_groups, COMPONENTS)
    segmenter = Segmenter(
        backbone,
        preparation,
        SegmentationHead(preparation.channels, CODE_CHANNELS),
        torch.randn(CLASSES, CODE_CHANNELS),
        SegmenterSettings(resolution, numbered_classes(CLASSES)),
    )
    segmenter.compute = compute
    segmenter.to(compute.device)
    codes = [segmenter.grid_codes(read_image(image.file.path)) for image in images[:4]]
    places = torch.cat([each[0].flatten(1).mT for each in codes])
    segmenter.centres = spherical_kmeans(places, CLASSES, seed=0).to(compute.device)
    return segmenter


class Measured:
    """The three ways of one backbone, each giving images a second."""

    def __init__(
        self, backbone: Backbone, resolution: int, images: list[CheckedImage], compute: Compute
    ) -> None:
        self.backbone = backbone.to(compute.device)
        self.images = images
        self.compute = compute
        self.views = views_of(images, Viewing(resolution, backbone.size_multiple))
        self.segmenter = made_segmenter(self.backbone, resolution, images, compute)

    def alone(self, batch_size: int) -> float:
        pixels = torch.from_numpy(self.views[0].load()).permute(2, 0, 1).float() / 255
        batch = pixels.expand(batch_size, -1, -1, -1).contiguous().to(self.compute.device)
        batches = max(1, len(self.views) // batch_size)

        def work() -> None:
            with torch.inference_mode(), self.compute.autocast():
                for _ in range(batches):
                    self.backbone(batch)
            self._wait()

        return batches * batch_size / seconds(work)

    def extraction(self, scratch: Path) -> float:
        store = FeatureStore(scratch / "store", max_bytes=STORE_BYTES)
        maps = FeatureMaps(self.views, self.backbone, store, self.compute)
        rate = len(maps) / seconds(maps.fill_store)
        store.clear()
        return rate

    def segment(self, scratch: Path) -> float:
        files = [image.file for image in self.images]
        options = MaskOptions(overwrite=True)
        masks = scratch / "masks"
        return len(files) / seconds(lambda: segment_files(self.segmenter, files, masks, options))

    def _wait(self) -> None:
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(name: str, measured: Measured, rounds: int, scratch: Path) -> str:
    sizes = BATCH_SIZES[measured.compute.device.type]
    alone = dict.fromkeys(sizes, 0.0)
    extraction = segment = 0.0
    for _ in range(rounds):
        for size in sizes:
            alone[size] = max(alone[size], measured.alone(size))
        extraction = max(extraction, measured.extraction(scratch))
        segment = max(segment, measured.segment(scratch))
    best = max(sizes, key=lambda size: alone[size])
    cells = [
        name,
        measured.compute.precision,
        f"{alone[best]:.2f} (batches of {best})",
        f"{extraction:.2f}",
        f"{segment:.2f}",
        f"{extraction / alone[best]:.2f}",
        f"{segment / alone[best]:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def cases(scratch: Path) -> Iterator[tuple[str, Backbone, int, float]]:
    """Name, network, resolution, and share of the images: transformers are slower by far."""
    embedded = load_backbone("efficientnet-lite0")
    yield "EfficientNet-Lite0 at 480", embedded, embedded.resolution, 1.0
    yield "ViT-S/8 at 224", vision_transformer(scratch / "vit"), 224, 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=get_args(DeviceName), default="auto")
    parser.add_argument("--precision", choices=get_args(PrecisionName), default="auto")
    parser.add_argument("--suffix", default=".jpg", help="of made images: .jpg or .png")
    options = parser.parse_args()
    compute = choose_compute(options.device, options.precision)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"torch {torch.__version__}, {compute.device.type}, {torch.get_num_threads()} threads of"
        f" {os.cpu_count()} cores, {platform.machine()}{load}; images a second, best of"
        f" {options.rounds}\n"
    )
    print("| backbone | precision | alone | extraction | segment | extraction / alone |", end="")
    print(" segment / alone |\n|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        images = photos(scratch / "photos", options.images, options.suffix)
        for name, backbone, resolution, share in cases(scratch):
            used = images[: max(1, round(share * len(images)))]
            measured = Measured(backbone, resolution, used, compute)
            print(row(name, measured, options.rounds, scratch), flush=True)


if __name__ == "__main__":
    main()
