"""Segmenting videos: frames come and go one by one, each with a mask, steady over time."""

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
    FrameSequence,
    Picture,
    frame_outputs,
    frames_of_video,
)
from segdistill.inference.masks import (
    CLASSES_FILE,
    check_same_classes,
    ensure_classes,
    mask_of_scores,
    overlay,
    write_classes,
    write_mask,
    write_scores,
)
from segdistill.inference.options import MaskOptions, files_beside
from segdistill.inference.smoothing import ScoreSmoother
from segdistill.inference.video_writer import VideoWriter, video_writer
from segdistill.model.segmenter import Segmenter
from segdistill.prefetch import in_batches, in_threads, worker_threads
from segdistill.progress import progress_bar

FORGOTTEN = 0.02
"""A frame that counts for less than this in an average is not needed to continue with it."""

MOST_REMEMBERED = 30
"""Frames before a missing one that are segmented once more, however strong the smoothing: they are
held decoded until it is known whether one is missing, 6 MB each at 1080p."""


class _Job(NamedTuple):
    """A frame on its way to its mask.

    Attributes:
        frame: itself.
        pixels: as the backbone sees it; ``None`` where the mask exists already.
        whole: the frame's pixels; ``None`` where they are not needed.
        writes: whether the mask is to be written.
    """

    frame: Frame
    pixels: Picture | None
    whole: Picture | None
    writes: bool


class _Result(NamedTuple):
    """What became of a frame.

    Attributes:
        counts: pixels of each class.
        picture: its overlay, if one is wanted.
        time: when it is shown.
        written: whether its mask was written now.
    """

    counts: NDArray[np.int64]
    picture: Picture | None
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
        UserError: it cannot be read, or something cannot be written.
    """
    with open_video(path) as video:
        sequence = frames_of_video(video, folder, options.every)
        done = segment_frames(segmenter, sequence, options, progress=progress)
    if not (done.written or done.kept):
        raise UserError(f"{path}: no frame of it can be decoded")
    return done


def segment_frames(
    segmenter: Segmenter, video: FrameSequence, options: MaskOptions, *, progress: bool = False
) -> SegmentedFiles:
    """Segment a video and write a mask a frame, ``classes.json`` and, if wanted, an overlay.

    Frames come and go one by one: a video may be of any length. With ``resume`` existing masks
    are left, and frames just before a missing one are segmented once more, so that labels go on as
    steadily as they began.

    Args:
        segmenter: on its device.
        video: what is segmented, and where to.
        options: how, and what else to write.
        progress: show a progress bar.

    Raises:
        UnreadableImageError: with ``strict``, for the first frame that cannot be read.
        UserError: something cannot be written.
    """
    done = SegmentedFiles(video.folder)
    pixels = np.zeros(len(segmenter.classes), np.int64)
    if options.overlay:
        video_library(video.overlay)
    if options.resume:
        check_same_classes(video.folder / CLASSES_FILE, str(video.folder), segmenter.classes)
    draws = options.overlay and not (options.resume and video.overlay.exists())
    with ExitStack() as stack:
        writer: VideoWriter | None = None
        advance = stack.enter_context(progress_bar("Segmenting", video.count, shown=progress))
        for result in _results(segmenter, video, options, draws=draws):
            advance(1)
            if isinstance(result, SkippedImage):
                if options.strict:
                    raise UnreadableImageError(result.reason)
                done.skipped.append(result)
                continue
            pixels += result.counts
            done.written += result.written
            done.kept += not result.written
            if result.picture is None:
                continue
            if writer is None:  # not before: where no frame can be read there is no video to write
                writer = stack.enter_context(video_writer(video.overlay, video.shown))
            writer.add(result.picture, result.time)
    if done.written or done.kept:
        write_classes(video.folder, segmenter.classes, pixels)
    return done


def _results(
    segmenter: Segmenter, video: FrameSequence, options: MaskOptions, *, draws: bool
) -> Iterator[_Result | SkippedImage]:
    """Segment frames; threads decode ahead of the backbone, and others write behind it."""

    def load(planned: tuple[Frame, bool, bool]) -> _Job | SkippedImage:
        frame, is_seen, writes = planned
        try:
            whole = frame.pixels() if is_seen or draws else None
        except UnreadableImageError as error:
            return SkippedImage(ImageFile(frame.mask, Path(frame.mask.name)), str(error))
        pixels = None
        if is_seen and whole is not None:
            pixels = segmenter.viewed(whole, resolution=options.resolution)
        return _Job(frame, pixels, whole if writes or draws else None, writes)

    def finish(each: tuple[_Job, torch.Tensor | None] | SkippedImage) -> _Result | SkippedImage:
        if isinstance(each, SkippedImage):
            return each
        ensure_classes(video.folder, segmenter.classes)
        return _finished(*each, segmenter, options, draws=draws)

    threads = worker_threads()
    planned = _planned(video.frames, options)
    loaded = in_threads(load, planned, threads=threads, ahead=2 * threads)
    scored = _replacing(_scored(segmenter, loaded, options), video, options)
    return in_threads(finish, scored, threads=threads, ahead=threads)


def _replacing(
    scored: Iterable[tuple[_Job, torch.Tensor | None] | SkippedImage],
    video: FrameSequence,
    options: MaskOptions,
) -> Iterator[tuple[_Job, torch.Tensor | None] | SkippedImage]:
    """Pass on frames; with ``overwrite`` remove what is there before the first is written.

    What an earlier, longer video left would be taken for this one's. It stays until a frame of this
    one has been segmented: a video that cannot be decoded replaces nothing.
    """
    old = options.overwrite and is_output(video.folder, [CLASSES_FILE])
    for each in scored:
        if old and not isinstance(each, SkippedImage):
            old = False
            for path in (*frame_outputs(video.folder), video.overlay):
                path.unlink(missing_ok=True)
        yield each


def _planned(frames: Iterable[Frame], options: MaskOptions) -> Iterator[tuple[Frame, bool, bool]]:
    """Yield frames, whether the backbone sees each, and whether its mask is to be written."""
    # How many frames before a missing mask its average still remembers.
    memory = 0
    if options.resume:
        within = range(1, MOST_REMEMBERED + 1)
        memory = sum(options.smoothing**before > FORGOTTEN for before in within)
    waiting: list[tuple[Frame, bool]] = []
    for frame in frames:
        waiting.append((frame, not (options.resume and _is_there(frame, options))))
        if len(waiting) > memory:
            yield _plan(waiting)
            waiting.pop(0)
    while waiting:
        yield _plan(waiting)
        waiting.pop(0)


def _is_there(frame: Frame, options: MaskOptions) -> bool:
    """Whether all that is to be written of a frame is; the overlay is the whole video's."""
    beside = files_beside(frame.mask, replace(options, overlay=False))
    return all(path.exists() for path in (frame.mask, *beside))


def _plan(waiting: Sequence[tuple[Frame, bool]]) -> tuple[Frame, bool, bool]:
    frame, writes = waiting[0]
    return frame, any(missing for _, missing in waiting), writes


def _scored(
    segmenter: Segmenter, jobs: Iterable[_Job | SkippedImage], options: MaskOptions
) -> Iterator[tuple[_Job, torch.Tensor | None] | SkippedImage]:
    """Compute class scores, of neighbouring frames together, and make them steady in turn."""
    smoother = ScoreSmoother(options.smoothing)

    def size(job: _Job | SkippedImage) -> tuple[int, int] | None:
        if isinstance(job, SkippedImage) or job.pixels is None:
            return None
        return job.pixels.shape[:2]

    def most(job: _Job | SkippedImage) -> int:
        sides = size(job)
        return 1 if sides is None else segmenter.budget.images(*sides)

    for batch in in_batches(jobs, size, most):
        seen = [job for job in batch if isinstance(job, _Job) and job.pixels is not None]
        if not seen:
            smoother.forget()
            yield from (job if isinstance(job, SkippedImage) else (job, None) for job in batch)
            continue
        pixels = [job.pixels for job in seen if job.pixels is not None]
        scores = segmenter.scores_of_viewed(pixels, mirror=options.mirror)
        for job, each, image in zip(seen, scores[:, None].unbind(), pixels, strict=True):
            yield job, smoother.smoothed(each, image)


def _finished(
    job: _Job,
    scores: torch.Tensor | None,
    segmenter: Segmenter,
    options: MaskOptions,
    *,
    draws: bool,
) -> _Result:
    classes = segmenter.classes
    if job.writes and job.whole is not None and scores is not None:
        mask = mask_of_scores(scores, job.whole, options)
        if options.scores:
            scores_path = job.frame.mask.with_suffix(".scores.npy")
            write_scores(scores_path, scores, job.whole, upsampling=options.upsampling)
        write_mask(job.frame.mask, mask, classes)
    else:
        mask = read_labels(job.frame.mask).clip(0, len(classes) - 1).astype(np.uint8)
    picture = overlay(job.whole, mask, classes) if draws and job.whole is not None else None
    counts = np.bincount(mask.ravel(), minlength=len(classes)).astype(np.int64)
    return _Result(counts, picture, job.frame.time, job.writes)
