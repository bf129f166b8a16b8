"""Segmenting videos frame by frame, with temporal smoothing."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.labels import read_labels
from segdistill.images.tree import is_output
from segdistill.images.video import open_video, video_library
from segdistill.inference.folder import SegmentedFiles
from segdistill.inference.frame_sequences import (
    Frame,
    FramePixels,
    FrameSequence,
    frame_outputs,
    frames_of_video,
)
from segdistill.inference.masks import (
    CLASSES_FILE,
    check_same_classes,
    ensure_classes_file,
    mask_from_scores,
    overlay,
    write_classes,
    write_mask,
    write_scores,
)
from segdistill.inference.options import MaskOptions, sidecar_files
from segdistill.inference.smoothing import ScoreSmoother
from segdistill.inference.video_writer import VideoWriter, video_writer
from segdistill.model.segmenter import Segmenter
from segdistill.prefetch import in_batches, in_threads, worker_threads
from segdistill.progress import progress_bar

NEGLIGIBLE_WEIGHT = 0.02
"""Frames with a smaller weight in the average are not needed to resume it."""

MAX_REPLAYED_FRAMES = 30
"""Maximum number of frames segmented again before a missing one, however strong the smoothing. They
are kept in memory until it is known whether a frame is missing, 6 MB each at 1080p."""


class _Job(NamedTuple):
    """A decoded frame.

    Attributes:
        frame: the frame.
        pixels: the frame resized for the backbone; ``None`` if the backbone does not need it.
        full_size: the frame at full size; ``None`` if it is not needed.
        writes_mask: whether to write the mask.
    """

    frame: Frame
    pixels: FramePixels | None
    full_size: FramePixels | None
    writes_mask: bool


class _Result(NamedTuple):
    """Result of a frame.

    Attributes:
        counts: number of pixels of each class.
        overlay: the overlay, if requested.
        time: presentation time.
        written: whether the mask was written.
    """

    counts: NDArray[np.int64]
    overlay: FramePixels | None
    time: int
    written: bool


def segment_video(
    segmenter: Segmenter,
    path: Path,
    folder: Path,
    options: MaskOptions,
    *,
    progress: bool = False,
) -> SegmentedFiles:
    """Segment a video; see :func:`segment_frames`.

    Raises:
        UserError: the video cannot be read, or an output cannot be written.
    """
    with open_video(path) as video:
        sequence = frames_of_video(video, folder, options.every)
        done = segment_frames(segmenter, sequence, options, progress=progress)
    if not (done.written or done.kept):
        raise UserError(f"{path}: no frame can be decoded")
    return done


def segment_frames(
    segmenter: Segmenter, video: FrameSequence, options: MaskOptions, *, progress: bool = False
) -> SegmentedFiles:
    """Segment a video and write a mask per frame, ``classes.json`` and, optionally, an overlay.

    Frames are streamed, so a video may have any length. With ``resume``, existing masks are kept,
    and the frames just before a missing one are segmented again to restore the temporal average.

    Args:
        segmenter: the model.
        video: the frames, and where to write the outputs.
        options: segmentation options.
        progress: show a progress bar.

    Raises:
        UnreadableImageError: with ``strict``, for the first frame that cannot be read.
        UserError: an output cannot be written.
    """
    done = SegmentedFiles(video.folder)
    pixels = np.zeros(len(segmenter.classes), np.int64)
    if options.overlay:
        video_library(video.overlay)
    if options.resume:
        check_same_classes(video.folder / CLASSES_FILE, str(video.folder), segmenter.classes)
    with_overlay = options.overlay and not (options.resume and video.overlay.exists())
    with ExitStack() as stack:
        writer: VideoWriter | None = None
        advance = stack.enter_context(progress_bar("Segmenting", video.count, shown=progress))
        for result in _results(segmenter, video, options, with_overlay=with_overlay):
            advance(1)
            if isinstance(result, SkippedImage):
                if options.strict:
                    raise UnreadableImageError(result.reason)
                done.skipped.append(result)
                continue
            pixels += result.counts
            done.written += result.written
            done.kept += not result.written
            if result.overlay is None:
                continue
            if writer is None:  # opened late: without readable frames, no video is written
                writer = stack.enter_context(video_writer(video.overlay, video.video_format))
            writer.add(result.overlay, result.time)
    if done.written or done.kept:
        write_classes(video.folder, segmenter.classes, pixels)
    return done


def _results(
    segmenter: Segmenter, video: FrameSequence, options: MaskOptions, *, with_overlay: bool
) -> Iterator[_Result | SkippedImage]:
    """Segment frames; decoding and writing overlap with the backbone."""

    def load(planned: tuple[Frame, bool, bool]) -> _Job | SkippedImage:
        frame, is_encoded, writes_mask = planned
        try:
            full_size = frame.pixels() if is_encoded or with_overlay else None
        except UnreadableImageError as error:
            return SkippedImage(ImageFile(frame.mask, Path(frame.mask.name)), str(error))
        pixels = None
        if is_encoded and full_size is not None:
            pixels = segmenter.viewed(full_size, resolution=options.resolution)
        kept = full_size if writes_mask or with_overlay else None
        return _Job(frame, pixels, kept, writes_mask)

    def finish(each: tuple[_Job, torch.Tensor | None] | SkippedImage) -> _Result | SkippedImage:
        if isinstance(each, SkippedImage):
            return each
        ensure_classes_file(video.folder, segmenter.classes)
        return _finish(*each, segmenter, options, with_overlay=with_overlay)

    threads = worker_threads()
    planned = _planned(video.frames, options)
    loaded = in_threads(load, planned, threads=threads, ahead=2 * threads)
    scored = _remove_old_outputs(_scored(segmenter, loaded, options), video, options)
    return in_threads(finish, scored, threads=threads, ahead=threads)


def _remove_old_outputs(
    scored: Iterable[tuple[_Job, torch.Tensor | None] | SkippedImage],
    video: FrameSequence,
    options: MaskOptions,
) -> Iterator[tuple[_Job, torch.Tensor | None] | SkippedImage]:
    """Pass frames through; with ``overwrite``, remove old outputs before the first is written.

    Otherwise, masks of a longer earlier video would remain. Outputs are only removed once a frame
    has been segmented, so a video that cannot be decoded replaces nothing.
    """
    old = options.overwrite and is_output(video.folder, [CLASSES_FILE])
    for each in scored:
        if old and not isinstance(each, SkippedImage):
            old = False
            for path in (*frame_outputs(video.folder), video.overlay):
                path.unlink(missing_ok=True)
        yield each


def _planned(frames: Iterable[Frame], options: MaskOptions) -> Iterator[tuple[Frame, bool, bool]]:
    """Yield frames, whether each is encoded, and whether its mask is written."""
    # Number of frames before a missing mask that still contribute to its average.
    memory = 0
    if options.resume:
        within = range(1, MAX_REPLAYED_FRAMES + 1)
        memory = sum(options.smoothing**before > NEGLIGIBLE_WEIGHT for before in within)
    waiting: list[tuple[Frame, bool]] = []
    for frame in frames:
        waiting.append((frame, not (options.resume and _is_complete(frame, options))))
        if len(waiting) > memory:
            yield _plan(waiting)
            waiting.pop(0)
    while waiting:
        yield _plan(waiting)
        waiting.pop(0)


def _is_complete(frame: Frame, options: MaskOptions) -> bool:
    """Return whether all outputs of a frame exist; the overlay belongs to the whole video."""
    sidecars = sidecar_files(frame.mask, replace(options, overlay=False))
    return all(path.exists() for path in (frame.mask, *sidecars))


def _plan(waiting: Sequence[tuple[Frame, bool]]) -> tuple[Frame, bool, bool]:
    frame, writes_mask = waiting[0]
    return frame, any(missing for _, missing in waiting), writes_mask


def _scored(
    segmenter: Segmenter, jobs: Iterable[_Job | SkippedImage], options: MaskOptions
) -> Iterator[tuple[_Job, torch.Tensor | None] | SkippedImage]:
    """Compute class scores in batches, and smooth them over time."""
    smoother = ScoreSmoother(options.smoothing)

    def size(job: _Job | SkippedImage) -> tuple[int, int] | None:
        if isinstance(job, SkippedImage) or job.pixels is None:
            return None
        return job.pixels.shape[:2]

    def max_batch(job: _Job | SkippedImage) -> int:
        sides = size(job)
        return 1 if sides is None else segmenter.budget.images(*sides)

    for batch in in_batches(jobs, size, max_batch):
        encoded = [job for job in batch if isinstance(job, _Job) and job.pixels is not None]
        if not encoded:
            smoother.reset()
            yield from (job if isinstance(job, SkippedImage) else (job, None) for job in batch)
            continue
        pixels = [job.pixels for job in encoded if job.pixels is not None]
        scores = segmenter.scores_of_viewed(pixels, mirror=options.mirror)
        for job, each, image in zip(encoded, scores[:, None].unbind(), pixels, strict=True):
            yield job, smoother.smoothed(each, image)


def _finish(
    job: _Job,
    scores: torch.Tensor | None,
    segmenter: Segmenter,
    options: MaskOptions,
    *,
    with_overlay: bool,
) -> _Result:
    classes = segmenter.classes
    if job.writes_mask and job.full_size is not None and scores is not None:
        mask = mask_from_scores(scores, job.full_size, options)
        if options.scores:
            scores_path = job.frame.mask.with_suffix(".scores.npy")
            write_scores(scores_path, scores, job.full_size, upsampling=options.upsampling)
        write_mask(job.frame.mask, mask, classes)
    else:
        mask = read_labels(job.frame.mask).clip(0, len(classes) - 1).astype(np.uint8)
    blended = None
    if with_overlay and job.full_size is not None:
        blended = overlay(job.full_size, mask, classes)
    counts = np.bincount(mask.ravel(), minlength=len(classes)).astype(np.int64)
    return _Result(counts, blended, job.frame.time, job.writes_mask)
