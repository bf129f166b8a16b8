"""Writing feature maps or codes of images as work for an engine, wherever the images lie."""

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


class _Seen(NamedTuple):
    job: Job
    pixels: NDArray[np.uint8]


class _Failed(NamedTuple):
    job: Job
    reason: str


@dataclass(frozen=True)
class MapMaker:
    """What turns images into maps.

    Attributes:
        backbone: on the device of ``compute``.
        finish: from the backbone's maps, shape (batch, channels, h, w), to what is wanted.
        compute: device and precision.
        resolution: shorter side, in pixels, at which images are seen.
        channels: of the maps.
        raster: how GeoTIFFs are read.
    """

    backbone: Backbone
    finish: Encode
    compute: Compute
    resolution: int
    channels: int
    raster: RasterReading | None = None

    @property
    def viewing(self) -> Viewing:
        """How the backbone sees images."""
        return Viewing(self.resolution, self.backbone.size_multiple)

    def maps(self, images: Sequence[NDArray[np.uint8]], budget: PixelBudget) -> Maps:
        """Return maps of images of one size, each shape (rows, columns, 3).

        Returns:
            Array of shape (images, h, w, channels).
        """

        def network(parts: torch.Tensor) -> torch.Tensor:
            with self.compute.autocast():
                maps = self.backbone(parts)
            return self.finish(maps.float())

        batch = torch.from_numpy(np.stack(images)).to(self.compute.device)
        with torch.inference_mode():
            maps = encode_images(
                batch.permute(0, 3, 1, 2),  # (b, h, w, 3) -> (b, 3, h, w)
                lambda parts: budget.run(network, parts),
                stride=self.backbone.stride,
                multiple=self.backbone.size_multiple,
                tile=TILE_SIDES * self.resolution,
            )
            # (b, c, h, w) -> (b, h, w, c); half precision ends at 65504.
            half = maps.permute(0, 2, 3, 1).clamp(-FLOAT16_MAX, FLOAT16_MAX).half()
        array: Maps = half.contiguous().cpu().numpy()
        return array


def map_maker(
    backbone: str | None,
    run: str | None,
    resolution: int | None,
    device: DeviceName,
    precision: PrecisionName,
) -> MapMaker:
    """Load what makes maps.

    Args:
        backbone: whose own maps are wanted; with a run, where its backbone lies now, if it has
            moved.
        run: run folder, if the codes of its head are wanted instead.
        resolution: shorter side at which images are seen; by default what suits the backbone, or
            as in training.
        device: where to compute.
        precision: of matrix products.

    Raises:
        UserError: something is not there.
    """
    compute = choose_compute(device, precision)
    if run is None:
        loaded = load_backbone() if backbone is None else load_backbone(backbone)
        loaded.to(compute.device)
        channels = sum(loaded.channel_groups)
        return MapMaker(
            loaded, lambda maps: maps, compute, resolution or loaded.resolution, channels
        )
    segmenter = Segmenter.load(run, backbone=backbone, device="cpu").place_on(compute)
    settings = segmenter.settings
    return MapMaker(
        segmenter.backbone,
        segmenter.codes_of_maps,
        compute,
        resolution or settings.resolution,
        segmenter.centres.shape[1],
        settings.raster,
    )


@dataclass(frozen=True)
class FeatureWork:
    """Writes a map for each image: NumPy, float16, shape (height, width, channels).

    Attributes:
        out: where maps go.
        backbone: whose features are written; with a run, where its backbone lies now, if it has
            moved.
        run: run folder that each worker sees, whose codes are written in place of features.
        resolution: shorter side at which images are seen.
        device: where to compute.
        precision: of matrix products.
        maker: what makes the maps, if it is loaded already.
    """

    out: Folder
    backbone: str | None = None
    run: str | None = None
    resolution: int | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    maker: MapMaker | None = None

    def start(self, *, threads: int) -> Callable[[Sequence[Row]], Iterator[Row]]:
        """Load the network; see :class:`segdistill.engines.work.Work`.

        Returns:
            A function that writes the maps of rows by
            :func:`segdistill.engines.staging.item_row`. To each row it yields belongs the map's
            ``shape``.

        Raises:
            UserError: something is not there.
        """
        maker = self.maker or map_maker(
            self.backbone, self.run, self.resolution, self.device, self.precision
        )

        def make(jobs: Sequence[Job], folder: Path) -> Iterator[Row]:
            return make_maps(maker, jobs, folder, threads=threads)

        return lambda rows: run_staged(rows, self.out, make)


def make_maps(maker: MapMaker, jobs: Sequence[Job], folder: Path, *, threads: int) -> Iterator[Row]:
    """Write the maps of images, neighbours of one size together.

    Args:
        maker: makes them.
        jobs: images and names of maps.
        folder: where maps go.
        threads: that decode ahead and write behind; 0 for the caller's alone.

    Yields:
        A row for each image: its ``name``, the ``output``'s and its ``shape``, or the ``reason``
        why there is none.
    """
    budget = PixelBudget(maker.compute.device)

    def load(job: Job) -> _Seen | _Failed:
        try:
            image = read_image(job.file.path, maker.raster)
        except UnreadableImageError as error:
            return _Failed(job, str(error))
        return _Seen(job, maker.viewing.apply(image))

    def size(each: _Seen | _Failed) -> tuple[int, int] | None:
        return None if isinstance(each, _Failed) else each.pixels.shape[:2]

    def most(each: _Seen | _Failed) -> int:
        sides = size(each)
        return 1 if sides is None else budget.images(*sides)

    def made() -> Iterator[tuple[Job, Maps] | _Failed]:
        loaded = in_threads(load, jobs, threads=threads, ahead=2 * threads)
        for batch in in_batches(loaded, size, most):
            yield from (each for each in batch if isinstance(each, _Failed))
            seen = [each for each in batch if isinstance(each, _Seen)]
            if seen:
                maps = maker.maps([each.pixels for each in seen], budget)
                yield from zip((each.job for each in seen), maps, strict=True)

    def write(each: tuple[Job, Maps] | _Failed) -> Row:
        name = each[0].file.name.as_posix()
        if isinstance(each, _Failed):
            return {"name": name, "reason": each.reason}
        job, maps = each
        with atomic_path(folder / job.output) as temporary, temporary.open("wb") as file:
            np.save(file, maps)
        return {"name": name, "output": job.output.as_posix(), "shape": list(maps.shape)}

    return in_threads(write, made(), threads=threads, ahead=threads)
