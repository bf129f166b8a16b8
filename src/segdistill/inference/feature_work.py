"""Feature extraction as work for an engine, for local or remote images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.backbones import Backbone, load_backbone
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.devices import Compute, PixelBudget, choose_compute
from segdistill.engines.staging import Job, run_staged
from segdistill.engines.work import Row
from segdistill.features.extract import FLOAT16_MAX
from segdistill.files import atomic_path
from segdistill.images.decode import UnreadableImageError, read_image
from segdistill.images.raster_reading import RasterReading
from segdistill.images.resize import Viewing
from segdistill.model.dense import Encode, encode_images
from segdistill.model.segmenter import TILE_SIDES, Segmenter
from segdistill.prefetch import in_batches, in_threads
from segdistill.storage import Folder

Maps = NDArray[np.float16]


class _LoadedImage(NamedTuple):
    job: Job
    pixels: NDArray[np.uint8]


class _UnreadableImage(NamedTuple):
    job: Job
    reason: str


@dataclass(frozen=True)
class FeatureExtractor:
    """Computes maps of features or codes.

    Attributes:
        backbone: backbone on the device of ``compute``.
        transform: maps backbone features, shape (batch, channels, h, w), to the output maps.
        compute: device and precision.
        resolution: shorter side of the backbone's input, in pixels.
        channels: number of channels of the maps.
        raster: how GeoTIFFs are read.
    """

    backbone: Backbone
    transform: Encode
    compute: Compute
    resolution: int
    channels: int
    raster: RasterReading | None = None

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
            return self.transform(maps.float())

        batch = torch.from_numpy(np.stack(images)).to(self.compute.device)
        with torch.inference_mode():
            maps = encode_images(
                batch.permute(0, 3, 1, 2),  # (b, h, w, 3) -> (b, 3, h, w)
                lambda parts: budget.run(network, parts),
                stride=self.backbone.stride,
                multiple=self.backbone.size_multiple,
                tile=TILE_SIDES * self.resolution,
            )
            # (b, c, h, w) -> (b, h, w, c); the float16 maximum is 65504.
            half = maps.permute(0, 2, 3, 1).clamp(-FLOAT16_MAX, FLOAT16_MAX).half()
        array: Maps = half.contiguous().cpu().numpy()
        return array


def load_feature_extractor(
    backbone: str | None,
    run: str | None,
    resolution: int | None,
    device: DeviceName,
    precision: PrecisionName,
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

    Raises:
        UserError: the backbone or run cannot be loaded.
    """
    compute = choose_compute(device, precision)
    if run is None:
        loaded = load_backbone() if backbone is None else load_backbone(backbone)
        loaded.to(compute.device)
        channels = sum(loaded.channel_groups)
        return FeatureExtractor(
            loaded, lambda maps: maps, compute, resolution or loaded.resolution, channels
        )
    segmenter = Segmenter.load(run, backbone=backbone, device="cpu").place_on(compute)
    settings = segmenter.settings
    return FeatureExtractor(
        segmenter.backbone,
        segmenter.codes_of_maps,
        compute,
        resolution or settings.resolution,
        segmenter.centres.shape[1],
        settings.raster,
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
        extractor: the extractor, if it is already loaded.
    """

    out: Folder
    backbone: str | None = None
    run: str | None = None
    resolution: int | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    extractor: FeatureExtractor | None = None

    def start(self, *, threads: int) -> Callable[[Sequence[Row]], Iterator[Row]]:
        """Load the network; see :class:`segdistill.engines.work.Work`.

        Returns:
            A function that writes the maps for rows from
            :func:`segdistill.engines.staging.item_row`; the rows it yields include the ``shape`` of
            the map.

        Raises:
            UserError: the backbone or run cannot be loaded.
        """
        extractor = self.extractor or load_feature_extractor(
            self.backbone, self.run, self.resolution, self.device, self.precision
        )

        def process(jobs: Sequence[Job], folder: Path) -> Iterator[Row]:
            return write_feature_maps(extractor, jobs, folder, threads=threads)

        return lambda rows: run_staged(rows, self.out, process)


def write_feature_maps(
    extractor: FeatureExtractor, jobs: Sequence[Job], folder: Path, *, threads: int
) -> Iterator[Row]:
    """Write the maps of images; consecutive images of the same size are batched.

    Args:
        extractor: computes the maps.
        jobs: images and names of maps.
        folder: output folder.
        threads: number of threads that decode images and write maps; 0 uses the calling thread.

    Yields:
        A row for each image: its ``name``, and the name and ``shape`` of the ``output`` or an error
        ``reason``.
    """
    budget = PixelBudget(extractor.compute.device)

    def load(job: Job) -> _LoadedImage | _UnreadableImage:
        try:
            image = read_image(job.file.path, extractor.raster)
        except UnreadableImageError as error:
            return _UnreadableImage(job, str(error))
        return _LoadedImage(job, extractor.viewing.apply(image))

    def size(each: _LoadedImage | _UnreadableImage) -> tuple[int, int] | None:
        return None if isinstance(each, _UnreadableImage) else each.pixels.shape[:2]

    def max_batch(each: _LoadedImage | _UnreadableImage) -> int:
        sides = size(each)
        return 1 if sides is None else budget.images(*sides)

    def extracted() -> Iterator[tuple[Job, Maps] | _UnreadableImage]:
        loaded = in_threads(load, jobs, threads=threads, ahead=2 * threads)
        for batch in in_batches(loaded, size, max_batch):
            yield from (each for each in batch if isinstance(each, _UnreadableImage))
            images = [each for each in batch if isinstance(each, _LoadedImage)]
            if images:
                maps = extractor.maps([each.pixels for each in images], budget)
                yield from zip((each.job for each in images), maps, strict=True)

    def write(each: tuple[Job, Maps] | _UnreadableImage) -> Row:
        name = each[0].file.name.as_posix()
        if isinstance(each, _UnreadableImage):
            return {"name": name, "reason": each.reason}
        job, maps = each
        with atomic_path(folder / job.output) as temporary, temporary.open("wb") as file:
            np.save(file, maps)
        return {"name": name, "output": job.output.as_posix(), "shape": list(maps.shape)}

    return in_threads(write, extracted(), threads=threads, ahead=threads)
