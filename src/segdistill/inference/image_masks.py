"""Segmenting image files: each image becomes a mask and its sidecar files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.decoding.decode import UnreadableImageError, read_picture
from segdistill.decoding.geotiff import is_raster
from segdistill.decoding.pictures import Picture
from segdistill.decoding.tiff_header import read_tiff_header
from segdistill.engines.staging import run_staged
from segdistill.engines.work import Item, Job, Result
from segdistill.images.finding import check_output_names
from segdistill.images.tree import LEADS_NOWHERE, leads_nowhere
from segdistill.inference.mask_classes import ensure_classes_file, mask_classes
from segdistill.inference.masks import mask_from_scores, write_mask, write_overlay, write_scores
from segdistill.inference.options import RASTER_SUFFIX, MaskOptions
from segdistill.inference.raster import reading_for, segment_raster, tile_count
from segdistill.model.segmenter import Segmenter, mean_distance
from segdistill.passes import run_batches
from segdistill.prefetch import in_threads
from segdistill.progress import progress_bar
from segdistill.storage import Folder

MAX_BYTES_HELD = 2**26
"""Larger images are not kept while they wait for the backbone, but decoded again."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class MaskWork:
    """Writes the masks of images.

    The facts of each result are the ``pixels`` of each class in the mask, and the mean cosine
    ``distance`` of the codes to the nearest prototypes, ``None`` if it is unknown.

    Attributes:
        run: path of the run folder, accessible to all workers, or a model.
        out: output folder.
        options: segmentation options.
        backbone: new location of the run's backbone, if it has moved.
        device: device to compute on.
        precision: precision of matrix products.
        show_tiles: show the progress within GeoTIFFs.
    """

    run: str | Segmenter
    out: Folder
    options: MaskOptions
    backbone: str | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    show_tiles: bool = False

    def start(self, *, threads: int) -> Callable[[Sequence[Item]], Iterator[Result]]:
        """Load the model; see :class:`segdistill.engines.work.Work`."""
        segmenter = self.run
        if not isinstance(segmenter, Segmenter):
            segmenter = Segmenter.load(
                segmenter, backbone=self.backbone, device=self.device, precision=self.precision
            )

        classes = mask_classes(segmenter.classes, segmenter.centres)

        def process(jobs: Sequence[Job], folder: Path) -> Iterator[Result]:
            # It marks the folder as masks, and is written before the first of them. At a URL it
            # exists already.
            mark: Callable[[], None] = partial(ensure_classes_file, folder, classes)
            if self.out.path is None:
                mark = _do_nothing
            rasters: list[Job] = []
            images: list[Job] = []
            for job in jobs:
                # What a remote image is shows only once it has been downloaded.
                planned = job.output.suffix == RASTER_SUFFIX
                rastered = planned if job.item.path else is_raster(job.file.path)
                (rasters if rastered else images).append(job)
            yield from segment_images(
                segmenter, images, folder, self.options, threads=threads, before_writing=mark
            )
            yield from segment_rasters(
                segmenter,
                rasters,
                folder,
                self.options,
                before_writing=mark,
                progress=self.show_tiles,
            )

        return lambda items: run_staged(items, self.out, process)


class _LoadedImage(NamedTuple):
    """A decoded image, or the reason why there is none.

    Attributes:
        job: the image and its output.
        full_size: the image at full size; ``None`` if it is too large to keep.
        reason: why the image cannot be read.
    """

    job: Job
    full_size: Picture | None = None
    reason: str = ""


def segment_images(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    folder: Path,
    options: MaskOptions,
    *,
    threads: int,
    before_writing: Callable[[], None],
) -> Iterator[Result]:
    """Write the masks of images; decoding and writing overlap with the backbone.

    Args:
        segmenter: the model.
        jobs: images and names of masks.
        folder: root folder of the masks.
        options: segmentation options.
        threads: number of threads that decode and write while the network runs; 0 uses the calling
            thread.
        before_writing: called before each mask is written.

    Yields:
        A result for each image; see :class:`MaskWork`.

    Raises:
        UserError: the folder cannot be written.
    """

    def load(job: Job) -> tuple[_LoadedImage, Pixels | None]:
        path = job.file.path
        if leads_nowhere(path):
            return _LoadedImage(job, reason=f"{path}: {LEADS_NOWHERE}"), None
        try:
            check_output_names(path, _outputs(job, options))
            picture = read(job)
        except UnreadableImageError as error:
            return _LoadedImage(job, reason=str(error)), None
        kept = picture if picture.pixels.nbytes <= MAX_BYTES_HELD else None
        viewed = segmenter.viewed(picture.pixels, resolution=options.resolution)
        return _LoadedImage(job, kept), viewed

    def read(job: Job) -> Picture:
        return read_picture(job.file.path, reading, job.file.ignore)

    def score(images: list[Pixels]) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        scores, distances = segmenter.scores_and_distances(images, mirror=options.mirror)
        # (batch, classes, h, w) -> (1, classes, h, w) each
        return zip(scores[:, None].unbind(), distances, strict=True)

    def write(
        scored: tuple[_LoadedImage, tuple[torch.Tensor, torch.Tensor | None] | None],
    ) -> Result:
        (job, full_size, reason), found = scored
        if found is None:
            return Result(job.item.name, reason=reason)
        scores, distances = found
        before_writing()
        picture = read(job) if full_size is None else full_size
        image, valid, _ = picture
        path, detail = folder / job.output, segmenter.settings.detail
        mask = mask_from_scores(scores, image, options, valid, detail=detail)
        if options.overlay:
            overlay_path = path.with_suffix(".overlay.jpg")
            write_overlay(overlay_path, picture.displayed, mask, segmenter.classes)
        if options.scores:
            scores_path = path.with_suffix(".scores.npy")
            write_scores(scores_path, scores, image, upsampling=options.upsampling, detail=detail)
        # Written last: if a mask exists, its sidecar files do, too.
        write_mask(path, mask, segmenter.classes)
        # Unlike np.bincount, Pillow does not make a copy with a wider dtype.
        pixels = Image.fromarray(mask).histogram()[: len(segmenter.classes)]
        facts = {"pixels": pixels, "distance": mean_distance(distances, valid)}
        return Result(job.item.name, job.item.output, facts=facts)

    reading = reading_for(segmenter, options)
    scored = run_batches(
        jobs,
        load,
        score,
        budget=segmenter.budget,
        threads=threads,
        count=len(jobs),
    )
    # The CRF uses all cores by itself, and a lot of memory.
    writers = 0 if options.crf else threads
    return in_threads(write, scored, threads=writers, ahead=writers)


def segment_rasters(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    folder: Path,
    options: MaskOptions,
    *,
    before_writing: Callable[[], None],
    progress: bool = False,
) -> Iterator[Result]:
    """Write the masks of GeoTIFFs, window by window; like :func:`segment_images`."""
    tiles = 0
    for job in jobs:
        header = read_tiff_header(job.file.path)
        if header is not None and header.is_possible:
            tiles += tile_count(segmenter, header.upright_size, options.resolution)
    with progress_bar("Segmenting tiles", tiles, shown=progress and bool(jobs)) as advance:

        def on_tile(count: int) -> None:
            before_writing()
            advance(count)

        for job in jobs:
            output = job.output.with_suffix(RASTER_SUFFIX)
            try:
                check_output_names(job.file.path, [output])
                pixels = segment_raster(
                    segmenter,
                    job.file.path,
                    folder / output,
                    options,
                    on_tile=on_tile,
                    ignore=job.file.ignore,
                )
            except UnreadableImageError as error:
                yield Result(job.item.name, reason=str(error))
                continue
            facts = {"pixels": pixels.tolist(), "distance": None}
            yield Result(job.item.name, output.as_posix(), facts=facts)


def _outputs(job: Job, options: MaskOptions) -> list[Path]:
    suffixes = [".overlay.jpg"] * options.overlay + [".scores.npy"] * options.scores
    return [job.output, *map(job.output.with_suffix, suffixes)]


def _do_nothing() -> None:
    pass
