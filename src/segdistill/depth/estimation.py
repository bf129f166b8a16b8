"""Depth estimation for files: one map per image, in a mirrored folder tree."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from segdistill.decoding.decode import UnreadableImageError, read_image
from segdistill.depth.estimator import DepthEstimator
from segdistill.depth.maps import (
    description_of,
    encode_depth,
    read_encoded_depth,
    write_depth,
    write_description,
    write_preview,
)
from segdistill.depth.outputs import DepthOptions, DepthOutput, check_same_kind, preview_folder
from segdistill.files import remove_leftovers
from segdistill.images.depth_files import read_depth_file
from segdistill.images.finding import check_output_names
from segdistill.images.folder import SkippedImage
from segdistill.layout import DEPTH_FILE
from segdistill.prefetch import in_threads
from segdistill.progress import Advance, progress_bar

IMAGES_AHEAD = 4
BATCHES_WAITING = 4
"""Maximum number of batches of images that wait for others of the same size."""


@dataclass
class EstimatedDepth:
    """The result of depth estimation.

    Attributes:
        folder: folder of the depth maps.
        previews: folder of the preview images, if requested.
        written: number of maps written.
        kept: number of maps that already existed.
        skipped: images that could not be read.
    """

    folder: Path
    previews: Path | None = None
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)


@dataclass(frozen=True)
class PreparedImage:
    """An image as ``pixels`` of shape (3, rows, columns), and its original height and width."""

    output: DepthOutput
    pixels: torch.Tensor
    size: tuple[int, int]


def estimate_files(
    estimator: DepthEstimator | None,
    outputs: Sequence[DepthOutput],
    folder: Path,
    options: DepthOptions,
    *,
    progress: bool = False,
) -> EstimatedDepth:
    """Estimate the depth of images and write the maps with a ``depth.json``.

    Args:
        estimator: the depth network; not needed if every map already exists.
        outputs: output files from :func:`segdistill.depth.outputs.plan_outputs`.
        folder: root folder of the maps.
        options: depth options.
        progress: show a progress bar.

    Raises:
        UnreadableImageError: an image cannot be read, with ``strict``.
        UserError: the folder cannot be written, or has maps of another kind.
    """
    done = EstimatedDepth(folder, preview_folder(folder) if options.preview else None)
    missing = [output for output in outputs if not output.kept]
    done.kept = len(outputs) - len(missing)
    paths = [path for output in outputs for path in (output.path, output.preview) if path]
    for parent in {path.parent for path in paths}:
        remove_leftovers(parent)
    if estimator is not None:
        _estimate(estimator, missing, outputs, options, done, progress=progress)
    _preview_kept(folder, outputs)
    return done


def _estimate(
    estimator: DepthEstimator,
    missing: Sequence[DepthOutput],
    outputs: Sequence[DepthOutput],
    options: DepthOptions,
    done: EstimatedDepth,
    *,
    progress: bool,
) -> None:
    description = description_of(estimator)
    check_same_kind(done.folder, description, outputs)
    count = 1 if estimator.single_image_batches else options.batch
    with progress_bar("Estimating depth", len(missing), shown=progress) as advance:
        images = _readable_images(missing, estimator, options, done, advance)
        for batch in batches_of_equal_size(images, count):
            if not done.written:
                # First, so that an interrupted run never leaves maps without it.
                for folder in filter(None, (done.folder, done.previews)):
                    write_description(folder, description)
            _estimate_batch(estimator, batch)
            done.written += len(batch)
            advance(len(batch))


def batches_of_equal_size(
    images: Iterable[PreparedImage], count: int
) -> Iterator[list[PreparedImage]]:
    """Group images into batches of at most ``count`` of equal size, with bounded buffering."""
    waiting: dict[torch.Size, list[PreparedImage]] = {}
    for image in images:
        waiting.setdefault(image.pixels.shape, []).append(image)
        largest = max(waiting, key=lambda size: len(waiting[size]))
        everything = sum(len(batch) for batch in waiting.values())
        if len(waiting[largest]) == count or everything > count * BATCHES_WAITING:
            yield waiting.pop(largest)
    yield from waiting.values()


def _readable_images(
    outputs: Iterable[DepthOutput],
    estimator: DepthEstimator,
    options: DepthOptions,
    done: EstimatedDepth,
    advance: Advance,
) -> Iterator[PreparedImage]:
    """Decode the next images while the network is running; skip those that cannot be read."""

    def prepare(output: DepthOutput) -> PreparedImage | SkippedImage:
        try:
            outputs = filter(None, (output.path, output.preview))
            check_output_names(output.file.path, outputs)
            image = read_image(output.file.path)
        except UnreadableImageError as error:
            if options.strict:
                raise
            return SkippedImage(output.file, str(error))
        pixels = estimator.preprocessing.preprocess(image)
        return PreparedImage(output, pixels, (image.shape[0], image.shape[1]))

    for image in in_threads(prepare, outputs, threads=1, ahead=IMAGES_AHEAD):
        if isinstance(image, PreparedImage):
            yield image
        else:
            done.skipped.append(image)
            advance(1)


def _estimate_batch(estimator: DepthEstimator, batch: Sequence[PreparedImage]) -> None:
    predictions = estimator.predict(torch.stack([image.pixels for image in batch]))
    for image, prediction in zip(batch, predictions, strict=True):
        depth = estimator.preprocessing.restore(prediction, image.size)
        steps = encode_depth(depth.numpy(), estimator.kind)
        if image.output.preview is not None:
            write_preview(image.output.preview, steps, estimator.kind, estimator.source)
        # Last, so that every existing map has its preview.
        write_depth(image.output.path, steps, estimator.source)


def _preview_kept(folder: Path, outputs: Iterable[DepthOutput]) -> None:
    """Write the missing previews of existing maps."""
    stored = read_depth_file(folder / DEPTH_FILE)
    for output in outputs:
        if (
            stored is not None
            and output.kept
            and output.preview is not None
            and not output.preview.exists()
        ):
            steps = read_encoded_depth(output.path)
            write_preview(output.preview, steps, stored.kind, stored.model)
