"""Segmenting image files: each image becomes a mask and its sidecar files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

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
from segdistill.inference.stored_features import StoredFeatures
from segdistill.model.segmenter import Segmenter, mean_distance
from segdistill.passes import run_batches
from segdistill.prefetch import in_threads
from segdistill.progress import progress_bar
from segdistill.storage import Folder

MAX_BYTES_HELD = 2**26
"""Larger images are not kept while they wait for the backbone, but decoded again."""

Pixels = NDArray[np.uint8]
Maps = NDArray[np.float16]


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
        store: folder of a feature store; features that it holds are not computed again.
    """

    run: str | Segmenter
    out: Folder
    options: MaskOptions
    backbone: str | None = None
    device: DeviceName = "auto"
    precision: PrecisionName = "auto"
    show_tiles: bool = False
    store: Path | None = None

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
                segmenter,
                images,
                folder,
                self.options,
                threads=threads,
                before_writing=mark,
                store=self.store,
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


class _Scored(NamedTuple):
    """The class scores of an image, shape (1, classes, h, w), and its cells' distances."""

    scores: torch.Tensor
    distances: torch.Tensor | None


def segment_images(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    folder: Path,
    options: MaskOptions,
    *,
    threads: int,
    before_writing: Callable[[], None],
    store: Path | None = None,
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
        store: folder of a feature store; features that it holds are not computed again.

    Yields:
        A result for each image; see :class:`MaskWork`.

    Raises:
        UserError: the folder cannot be written.
    """
    stages = _Stages(segmenter, folder, options, StoredFeatures(segmenter, options, store))
    scored = run_batches(
        jobs,
        stages.load,
        stages.score,
        budget=segmenter.budget,
        threads=threads,
        count=len(jobs),
        size=stages.size,
    )

    def write(pair: tuple[_LoadedImage, _Scored | None]) -> Result:
        return stages.write(*pair, before_writing)

    # The CRF uses all cores by itself, and a lot of memory.
    writers = 0 if options.crf else threads
    return in_threads(write, scored, threads=writers, ahead=writers)


class _Stages:
    """What is done to each image, in threads of their own: decoding, the network, writing."""

    def __init__(
        self, segmenter: Segmenter, folder: Path, options: MaskOptions, stored: StoredFeatures
    ) -> None:
        self.segmenter = segmenter
        self.folder = folder
        self.options = options
        self.stored = stored
        self.reading = reading_for(segmenter, options)

    def load(self, job: Job) -> tuple[_LoadedImage, Pixels | Maps | None]:
        """Decode an image; return it with its stored feature map or the network's input."""
        path = job.file.path
        if leads_nowhere(path):
            return _LoadedImage(job, reason=f"{path}: {LEADS_NOWHERE}"), None
        try:
            check_output_names(path, _outputs(job, self.options))
            picture, features = self.stored.read(job.file, self.reading)
        except UnreadableImageError as error:
            return _LoadedImage(job, reason=str(error)), None
        loaded = _LoadedImage(job, picture if picture.pixels.nbytes <= MAX_BYTES_HELD else None)
        if features is not None:
            return loaded, features
        return loaded, self.segmenter.viewed(picture.pixels, resolution=self.options.resolution)

    def size(self, inputs: Pixels | Maps) -> tuple[int, int]:
        """Return the height and width, in pixels, of an image or of the image of a map."""
        scale = 1 if inputs.dtype == np.uint8 else self.segmenter.backbone.stride
        return inputs.shape[0] * scale, inputs.shape[1] * scale

    def score(self, inputs: list[Pixels] | list[Maps]) -> Iterator[_Scored]:
        """Score images or stored feature maps of one size."""
        segmenter = self.segmenter
        if inputs[0].dtype == np.uint8:
            images = cast("list[Pixels]", inputs)
            scores, distances = segmenter.scores_and_distances(images, mirror=self.options.mirror)
        else:
            maps = np.stack(cast("list[Maps]", inputs))
            scores, distances = segmenter.scores_and_distances_of_stored(maps)
        # (batch, classes, h, w) -> (1, classes, h, w) each
        return map(_Scored, scores[:, None].unbind(), distances)

    def write(
        self, loaded: _LoadedImage, scored: _Scored | None, before_writing: Callable[[], None]
    ) -> Result:
        """Write the mask of an image and its sidecar files."""
        job, segmenter, options = loaded.job, self.segmenter, self.options
        if scored is None:
            return Result(job.item.name, reason=loaded.reason)
        before_writing()
        picture = loaded.full_size
        if picture is None:
            picture = read_picture(job.file.path, self.reading, job.file.ignore)
        image, valid, _ = picture
        path, detail = self.folder / job.output, segmenter.settings.detail
        mask = mask_from_scores(scored.scores, image, options, valid, detail=detail)
        if options.overlay:
            overlay_path = path.with_suffix(".overlay.jpg")
            write_overlay(overlay_path, picture.displayed, mask, segmenter.classes)
        if options.scores:
            scores_path = path.with_suffix(".scores.npy")
            kind = options.upsampling
            write_scores(scores_path, scored.scores, image, upsampling=kind, detail=detail)
        # Written last: if a mask exists, its sidecar files do, too.
        write_mask(path, mask, segmenter.classes)
        # Unlike np.bincount, Pillow does not make a copy with a wider dtype.
        pixels = Image.fromarray(mask).histogram()[: len(segmenter.classes)]
        facts = {"pixels": pixels, "distance": mean_distance(scored.distances, valid)}
        return Result(job.item.name, job.item.output, facts=facts)


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
