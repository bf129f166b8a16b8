"""Feature extraction as work for an engine, for local or remote images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.backbones import Backbone, load_backbone
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.decoding.decode import UnreadableImageError, read_image
from segdistill.decoding.image_reading import AS_EACH_FILE_SAYS, ImageReading
from segdistill.devices import Compute, PixelBudget, choose_compute
from segdistill.engines.staging import run_staged
from segdistill.engines.work import Item, Job, Result
from segdistill.features.preparation import storage_format
from segdistill.files import atomic_path
from segdistill.images.finding import check_output_names
from segdistill.images.resize import Viewing
from segdistill.model.segmenter import TILE_SIDES, Segmenter
from segdistill.passes import run_batches
from segdistill.prefetch import in_threads
from segdistill.refinement.dense import Encode, encode_images
from segdistill.storage import Folder

Maps = NDArray[np.float16]


@dataclass(frozen=True)
class FeatureExtractor:
    """Computes maps of features or codes.

    Attributes:
        backbone: backbone on the device of ``compute``.
        transform: maps backbone features, shape (batch, channels, h, w), to the output maps.
        compute: device and precision.
        resolution: shorter side of the backbone's input, in pixels.
        channels: number of channels of the maps.
        reading: how images are read.
    """

    backbone: Backbone
    transform: Encode
    compute: Compute
    resolution: int
    channels: int
    reading: ImageReading = AS_EACH_FILE_SAYS

    @property
    def viewing(self) -> Viewing:
        """Resizing of images for the backbone."""
        return Viewing(self.resolution, self.backbone.size_multiple)

    def maps(self, images: Sequence[NDArray[np.uint8]], budget: PixelBudget) -> Maps:
        """Compute maps of images of the same size, each of shape (height, width, 3).

        Returns:
            Array of shape (images, h, w, channels).
        """

        def network(parts: torch.Tensor) -> torch.Tensor:
            with self.compute.autocast():
                maps = self.backbone(parts)
            # Rounded, as the features that masks are made of.
            return self.transform(storage_format(maps).permute(0, 3, 1, 2).float())

        batch = torch.from_numpy(np.stack(images)).to(self.compute.device)
        with torch.inference_mode():
            maps = encode_images(
                batch.permute(0, 3, 1, 2),  # (b, h, w, 3) -> (b, 3, h, w)
                lambda parts: budget.run(network, parts),
                stride=self.backbone.stride,
                multiple=self.backbone.size_multiple,
                tile=TILE_SIDES * self.resolution,
            )
        array: Maps = storage_format(maps).cpu().numpy()
        return array


def load_feature_extractor(
    backbone: str | None,
    run: str | None,
    resolution: int | None,
    device: DeviceName,
    precision: PrecisionName,
    value_range: str | None = None,
) -> FeatureExtractor:
    """Load a backbone or a run for feature extraction.

    Args:
        backbone: backbone to extract features with; with a run, the new location of its backbone,
            if it has moved.
        run: run folder, to extract the codes of its head instead.
        resolution: shorter side of the backbone's input; by default the backbone's own, or as in
            training.
        device: device to compute on.
        precision: precision of matrix products.
        value_range: values that become black and white, for runs without a range of their own.

    Raises:
        UserError: the backbone or run cannot be loaded.
    """
    compute = choose_compute(device, precision)
    if run is None:
        loaded = load_backbone() if backbone is None else load_backbone(backbone)
        loaded.to(compute.device)
        channels = sum(loaded.channel_groups)
        return FeatureExtractor(
            loaded,
            lambda maps: maps,
            compute,
            resolution or loaded.resolution,
            channels,
            ImageReading.chosen(None, value_range),
        )
    segmenter = Segmenter.load(run, backbone=backbone, device="cpu").place_on(compute)
    settings = segmenter.settings
    return FeatureExtractor(
        segmenter.backbone,
        segmenter.codes_of_maps,
        compute,
        resolution or settings.resolution,
        segmenter.centres.shape[1],
        settings.reading.with_options(None, value_range),
    )


@dataclass(frozen=True)
class FeatureWork:
    """Writes a NumPy map for each image, float16 of shape (height, width, channels).

    Attributes:
        out: output folder.
        backbone: backbone to extract features with; with a run, the new location of its backbone,
            if it has moved.
        run: run folder, accessible to each worker, to write the codes of its head instead.
        resolution: shorter side of the backbone's input.
        device: device to compute on.
        precision: precision of matrix products.
        value_range: values that become black and white, for runs without a range of their own.
        extractor: the extractor, if it is already loaded.
    """

    out: Folder
    backbone: str | None = None
    run: str | None = None
    resolution: int | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    value_range: str | None = None
    extractor: FeatureExtractor | None = None

    def start(self, *, threads: int) -> Callable[[Sequence[Item]], Iterator[Result]]:
        """Load the network; see :class:`segdistill.engines.work.Work`."""
        extractor = self.extractor or load_feature_extractor(
            self.backbone,
            self.run,
            self.resolution,
            self.device,
            self.precision,
            self.value_range,
        )

        def process(jobs: Sequence[Job], folder: Path) -> Iterator[Result]:
            return write_feature_maps(extractor, jobs, folder, threads=threads)

        return lambda items: run_staged(items, self.out, process)


def write_feature_maps(
    extractor: FeatureExtractor, jobs: Sequence[Job], folder: Path, *, threads: int
) -> Iterator[Result]:
    """Write the maps of images; consecutive images of the same size are batched.

    Args:
        extractor: computes the maps.
        jobs: images and names of maps.
        folder: output folder.
        threads: number of threads that decode images and write maps; 0 uses the calling thread.

    Yields:
        A result for each image.
    """
    budget = PixelBudget(extractor.compute.device, thread_safe=extractor.backbone.thread_safe)

    def load(job: Job) -> tuple[tuple[Job, str], NDArray[np.uint8] | None]:
        try:
            check_output_names(job.file.path, [job.output])
            image = read_image(job.file.path, extractor.reading)
        except UnreadableImageError as error:
            return (job, str(error)), None
        return (job, ""), extractor.viewing.apply(image)

    def write(extracted: tuple[tuple[Job, str], NDArray[np.float16] | None]) -> Result:
        (job, reason), feature_map = extracted
        if feature_map is None:
            return Result(job.item.name, reason=reason)
        with atomic_path(folder / job.output) as temporary, temporary.open("wb") as file:
            np.save(file, feature_map)
        return Result(job.item.name, job.item.output)

    extracted = run_batches(
        jobs,
        load,
        lambda images: extractor.maps(images, budget),
        budget=budget,
        threads=threads,
        count=len(jobs),
    )
    return in_threads(write, extracted, threads=threads, ahead=threads)
