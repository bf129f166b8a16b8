"""Estimating the depth of files: one map an image, in the same tree, under the same names."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from segdistill.depth.estimator import DepthEstimator, EstimateKind
from segdistill.depth.outputs import (
    DepthOptions,
    DepthOutput,
    check_same_kind,
    preview_folder,
)
from segdistill.depth.writing import (
    DepthDescription,
    description_of,
    encode_depth,
    read_steps,
    write_depth,
    write_description,
    write_preview,
)
from segdistill.files import remove_leftovers
from segdistill.images.decode import UnreadableImageError, read_image
from segdistill.images.depth_files import DEPTH_FILE, read_depth_file
from segdistill.images.folder import SkippedImage
from segdistill.progress import Advance, progress_bar

IMAGES_AHEAD = 4
BATCHES_WAITING = 4
"""Images wait for others of their size, up to this many batches in all."""


@dataclass
class EstimatedDepth:
    """What was written.

    Attributes:
        folder: of the depth maps.
        previews: folder of the pictures for display, if any were asked for.
        written: number of maps written now.
        kept: number of maps that existed already.
        skipped: images that could not be read.
    """

    folder: Path
    previews: Path | None = None
    written: int = 0
    kept: int = 0
    skipped: list[SkippedImage] = field(default_factory=list)


@dataclass(frozen=True)
class PreparedImage:
    """An image as the network is to see it.

    Attributes:
        output: where its depth goes.
        pixels: shape (3, rows, columns).
        size: height and width of the image.
    """

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
    """Estimate the depth of images and write it as it comes, with ``depth.json`` beside it.

    Args:
        estimator: not needed if every map exists already.
        outputs: what :func:`segdistill.depth.outputs.plan_outputs` gives.
        folder: where the tree of maps begins.
        options: how, and what else to write.
        progress: show a progress bar.

    Raises:
        UnreadableImageError: with ``strict``, for the first image that cannot be read.
        UserError: the folder cannot be written, or would hold maps of two kinds.
    """
    done = EstimatedDepth(folder, preview_folder(folder) if options.preview else None)
    missing = [output for output in outputs if not output.kept]
    done.kept = len(outputs) - len(missing)
    _remove_leftovers(outputs)
    if estimator is not None:
        description = description_of(estimator)
        check_same_kind(folder, description, outputs)
        with progress_bar("Estimating depth", len(missing), shown=progress) as advance:
            readable = _readable(_prepared_ahead(missing, estimator), options, done, advance)
            count = 1 if estimator.alone else options.batch
            for batch in batches_of_equal_size(readable, count):
                if not done.written:
                    # First, so that maps are never without it, wherever this is interrupted.
                    _describe(done, description)
                _estimate_batch(estimator, batch)
                done.written += len(batch)
                advance(len(batch))
    _preview_kept(folder, outputs)
    return done


def batches_of_equal_size(
    images: Iterable[PreparedImage], count: int
) -> Iterator[list[PreparedImage]]:
    """Yield images in batches of one size each, not much later than they come.

    Args:
        images: of any sizes, in any order.
        count: the most in a batch.
    """
    waiting: dict[torch.Size, list[PreparedImage]] = {}
    for image in images:
        waiting.setdefault(image.pixels.shape, []).append(image)
        largest = max(waiting, key=lambda size: len(waiting[size]))
        everything = sum(len(batch) for batch in waiting.values())
        if len(waiting[largest]) == count or everything > count * BATCHES_WAITING:
            yield waiting.pop(largest)
    yield from waiting.values()


def _remove_leftovers(outputs: Sequence[DepthOutput]) -> None:
    paths = [path for output in outputs for path in (output.path, output.preview) if path]
    for folder in {path.parent for path in paths}:
        remove_leftovers(folder)


def _describe(done: EstimatedDepth, description: DepthDescription) -> None:
    for folder in (done.folder, done.previews):
        if folder is not None:
            write_description(folder, description)


def _estimate_batch(estimator: DepthEstimator, batch: Sequence[PreparedImage]) -> None:
    answers = estimator.answer(torch.stack([image.pixels for image in batch]))
    for image, answer in zip(batch, answers, strict=True):
        depth = estimator.preparation.restore(answer, image.size)
        steps = encode_depth(depth.numpy(), estimator.kind)
        if image.output.preview is not None:
            write_preview(image.output.preview, steps, estimator.kind, estimator.source)
        # Last: where a map exists, its picture does.
        write_depth(image.output.path, steps, estimator.source)


def _preview_kept(folder: Path, outputs: Iterable[DepthOutput]) -> None:
    """Draw the maps that existed already and have no picture yet."""
    said = read_depth_file(folder / DEPTH_FILE) or {}
    kind: EstimateKind = "inverse" if said.get("kind") == "inverse" else "depth"
    for output in outputs:
        if output.kept and output.preview is not None and not output.preview.exists():
            steps = read_steps(output.path)
            write_preview(output.preview, steps, kind, str(said.get("model")))


def _readable(
    images: Iterable[tuple[DepthOutput, PreparedImage | UnreadableImageError]],
    options: DepthOptions,
    done: EstimatedDepth,
    advance: Advance,
) -> Iterator[PreparedImage]:
    for output, image in images:
        if isinstance(image, PreparedImage):
            yield image
        elif options.strict:
            raise image
        else:
            done.skipped.append(SkippedImage(output.file, str(image)))
            advance(1)


def _prepared_ahead(
    outputs: Iterable[DepthOutput], estimator: DepthEstimator
) -> Iterator[tuple[DepthOutput, PreparedImage | UnreadableImageError]]:
    """Decode the next few images while the network is busy."""

    def prepare(output: DepthOutput) -> PreparedImage | UnreadableImageError:
        try:
            image = read_image(output.file.path)
        except UnreadableImageError as error:
            return error
        pixels = estimator.preparation.prepare(image)
        return PreparedImage(output, pixels, (image.shape[0], image.shape[1]))

    remaining = iter(outputs)
    with ThreadPoolExecutor(1) as loader:
        waiting: list[tuple[DepthOutput, Future[PreparedImage | UnreadableImageError]]] = [
            (output, loader.submit(prepare, output)) for output in islice(remaining, IMAGES_AHEAD)
        ]
        while waiting:
            output, image = waiting.pop(0)
            yield output, image.result()
            waiting += [(each, loader.submit(prepare, each)) for each in islice(remaining, 1)]
