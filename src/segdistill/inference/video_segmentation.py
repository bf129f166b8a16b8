"""Segmenting videos frame by frame, with temporal smoothing."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.decoding.decode import UnreadableImageError
from segdistill.decoding.pictures import Picture
from segdistill.decoding.video import open_video, video_library
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile, SkippedImage
from segdistill.images.palette import VOID
from segdistill.images.tree import is_output
from segdistill.inference.frame_sequences import (
    Frame,
    FramePixels,
    FrameSequence,
    frame_outputs,
    frames_of_video,
)
from segdistill.inference.mask_classes import (
    check_same_classes,
    ensure_classes_file,
    mask_classes,
    write_classes,
)
from segdistill.inference.mask_folder import SegmentedFiles
from segdistill.inference.masks import mask_from_scores, overlay, write_mask, write_scores
from segdistill.inference.options import MaskOptions, sidecar_files
from segdistill.inference.video_writer import VideoWriter, video_writer
from segdistill.labels.label_files import read_labels
from segdistill.layout import CLASSES_FILE
from segdistill.model.segmenter import Segmenter
from segdistill.passes import run_batches
from segdistill.prefetch import in_threads, worker_threads
from segdistill.progress import progress_bar
from segdistill.refinement.smoothing import ScoreSmoother
from segdistill.storage import LocalFolder

NEGLIGIBLE_WEIGHT = 0.02
"""Frames with a smaller weight in the average are not needed to resume it."""

MAX_REPLAYED_FRAMES = 30
"""Maximum number of frames segmented again before a missing one, however strong the smoothing. They
are kept in memory until it is known whether a frame is missing, 6 MB each at 1080p."""


class _LoadedFrame(NamedTuple):
    """A decoded frame, or the reason why there is none.

    Attributes:
        frame: the frame.
        pixels: the frame resized for the backbone; ``None`` if the backbone does not need it.
        full_size: the frame at full size; ``None`` if it is not needed.
        writes_mask: whether to write the mask.
        reason: why the frame cannot be read.
    """

    frame: Frame
    pixels: FramePixels | None = None
    full_size: Picture | None = None
    writes_mask: bool = False
    reason: str = ""


_ScoredFrame = tuple[_LoadedFrame, torch.Tensor | None]


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
    ignore: Path | None = None,
    progress: bool = False,
) -> SegmentedFiles:
    """Segment a video; see :func:`segment_frames`.

    With ``ignore``, the pixels that this mask marks get no class in any frame.

    Raises:
        UserError: the video cannot be read, or an output cannot be written.
    """
    with open_video(path) as video:
        reading = segmenter.settings.reading
        sequence = frames_of_video(video, folder, options.every, reading, ignore)
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
    classes = mask_classes(segmenter.classes, segmenter.centres)
    pixels = np.zeros(len(segmenter.classes), np.int64)
    if options.overlay:
        video_library(video.overlay)
    if options.resume:
        check_same_classes(LocalFolder(video.folder), classes)
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
        write_classes(video.folder, classes, pixels)
    return done


def _results(
    segmenter: Segmenter, video: FrameSequence, options: MaskOptions, *, with_overlay: bool
) -> Iterator[_Result | SkippedImage]:
    """Segment frames; decoding and writing overlap with the backbone."""

    def load(planned: tuple[Frame, bool, bool]) -> tuple[_LoadedFrame, FramePixels | None]:
        frame, is_encoded, writes_mask = planned
        try:
            full_size = frame.picture() if is_encoded or with_overlay else None
        except UnreadableImageError as error:
            return _LoadedFrame(frame, reason=str(error)), None
        pixels = None
        if is_encoded and full_size is not None:
            pixels = segmenter.viewed(full_size.pixels, resolution=options.resolution)
        kept = full_size if writes_mask or with_overlay else None
        return _LoadedFrame(frame, pixels, kept, writes_mask), pixels

    def score(images: list[FramePixels]) -> Iterable[torch.Tensor]:
        # (batch, classes, h, w) -> (1, classes, h, w) each
        return segmenter.scores_of_viewed(images, mirror=options.mirror)[:, None].unbind()

    def finish(scored: _ScoredFrame) -> _Result | SkippedImage:
        mask = scored[0].frame.mask
        if scored[0].reason:
            return SkippedImage(ImageFile(mask, Path(mask.name)), scored[0].reason)
        ensure_classes_file(video.folder, classes)
        return _finish(*scored, segmenter, options, with_overlay=with_overlay)

    classes = mask_classes(segmenter.classes, segmenter.centres)
    threads = worker_threads()
    planned = _planned(video.frames, options)
    scored = run_batches(planned, load, score, budget=segmenter.budget, threads=threads)
    steady = _remove_old_outputs(_smoothed(scored, options.smoothing), video, options)
    return in_threads(finish, steady, threads=threads, ahead=threads)


def _smoothed(scored: Iterable[_ScoredFrame], smoothing: float) -> Iterator[_ScoredFrame]:
    """Smooth class scores over time, anew after each frame without scores."""
    smoother = ScoreSmoother(smoothing)
    for loaded, scores in scored:
        if scores is None or loaded.pixels is None:
            smoother.reset()
            yield loaded, None
        else:
            yield loaded, smoother.smoothed(scores, loaded.pixels)


def _remove_old_outputs(
    scored: Iterable[_ScoredFrame], video: FrameSequence, options: MaskOptions
) -> Iterator[_ScoredFrame]:
    """Pass frames through; with ``overwrite``, remove old outputs before the first is written.

    Otherwise, masks of a longer earlier video would remain. Outputs are only removed once a frame
    has been segmented, so a video that cannot be decoded replaces nothing.
    """
    old = options.overwrite and is_output(video.folder, [CLASSES_FILE])
    for each in scored:
        if old and not each[0].reason:
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


def _finish(
    loaded: _LoadedFrame,
    scores: torch.Tensor | None,
    segmenter: Segmenter,
    options: MaskOptions,
    *,
    with_overlay: bool,
) -> _Result:
    classes, detail = segmenter.classes, segmenter.settings.detail
    if loaded.writes_mask and loaded.full_size is not None and scores is not None:
        pixels, valid, _ = loaded.full_size
        mask = mask_from_scores(scores, pixels, options, valid, detail=detail)
        if options.scores:
            scores_path = loaded.frame.mask.with_suffix(".scores.npy")
            write_scores(scores_path, scores, pixels, upsampling=options.upsampling, detail=detail)
        write_mask(loaded.frame.mask, mask, classes)
    else:
        kept = read_labels(loaded.frame.mask)
        mask = np.where(kept == VOID, VOID, kept.clip(0, len(classes) - 1)).astype(np.uint8)
    blended = None
    if with_overlay and loaded.full_size is not None:
        blended = overlay(loaded.full_size.displayed, mask, classes)
    counts = np.bincount(mask.ravel(), minlength=VOID + 1)[: len(classes)].astype(np.int64)
    return _Result(counts, blended, loaded.frame.time, loaded.writes_mask)
