"""Segmenting films, of a video or of a folder of frames: one mask a frame, steady over time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
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
from segdistill.images.video import USUAL_RATE, Video, open_video, video_library
from segdistill.inference.film_writer import FilmTiming, film_writer
from segdistill.inference.folder import SegmentedFiles
from segdistill.inference.masks import (
    CLASSES_FILE,
    overlay,
    write_classes,
    write_mask,
    write_scores,
)
from segdistill.inference.options import MaskOptions
from segdistill.inference.refinement import refined_mask
from segdistill.inference.smoothing import ScoreSmoother
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import upsampled_mask
from segdistill.overlap import in_threads, worker_threads
from segdistill.progress import progress_bar

FRAME_NAME = "frame_{:06d}.png"
FRAME_PATTERN = "frame_" + "[0-9]" * 6 + "*.png"

FORGOTTEN = 0.02
"""A frame that counts for less than this in an average is not needed to go on with it."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """A frame of a film, of a video or a folder.

    Attributes:
        mask: where its mask goes.
        pixels: gives the frame upright, shape (height, width, 3); called at most once.
        time: when it is shown, in units of the film's time base.
    """

    mask: Path
    pixels: Callable[[], Picture]
    time: int


@dataclass(frozen=True)
class Film:
    """What is segmented, and where to.

    Attributes:
        frames: in the order in which they are shown.
        folder: for masks and ``classes.json``.
        name: of the overlay, without ending.
        timing: how fast it runs.
        count: number of frames, roughly.
    """

    frames: Iterable[Frame]
    folder: Path
    name: str
    timing: FilmTiming
    count: int

    @property
    def overlay(self) -> Path:
        """Where the overlay goes."""
        return self.folder / f"{self.name}.overlay.mp4"


def film_of_video(video: Video, folder: Path, every: int) -> Film:
    """Return the film of a video, of which one frame in so many is taken.

    Args:
        video: that is open.
        folder: for masks, which are numbered as the frames of the video are, from 1.
        every: take the first frame and each that comes so many later.
    """

    def frames() -> Iterator[Frame]:
        for each in video:
            if (each.number - 1) % every == 0:
                path = folder / FRAME_NAME.format(each.number)
                yield Frame(path, partial(_itself, each.pixels), each.time)

    timing = FilmTiming(video.rate / every, video.time_base)
    return Film(frames(), folder, video.path.stem, timing, -(-video.frames // every))


def film_of_files(
    files: Sequence[ImageFile],
    names: Sequence[Path],
    folder: Path,
    options: MaskOptions,
    read: Callable[[Path], Picture],
) -> Film:
    """Return the film that image files make in the order of their names.

    Args:
        files: the frames.
        names: of their masks, in the folder.
        folder: for masks.
        options: say which frames are taken.
        read: reads a file.
    """
    chosen = list(zip(files, names, strict=True))[:: options.every]
    frames = [
        Frame(folder / name, partial(read, file.path), number)
        for number, (file, name) in enumerate(chosen)
    ]
    timing = FilmTiming(USUAL_RATE, 1 / USUAL_RATE)
    return Film(frames, folder, folder.resolve().name, timing, len(frames))


def check_film_options(options: MaskOptions, *, films: bool) -> None:
    """Check that what only films know is asked for where there are films.

    Args:
        options: how to segment.
        films: whether a video is segmented.

    Raises:
        UserError: an option is of no use.
    """
    if films or options.video:
        return
    for name, given in (("every", options.every != 1), ("smooth", options.smooth is not None)):
        if given:
            raise UserError(f"--{name}: is for videos; add --video if the images are its frames")


def check_video_folder(folder: Path, name: str, options: MaskOptions) -> None:
    """Check, before a model loads, that the masks of a video can be written.

    Args:
        folder: for them.
        name: of the overlay, without ending.
        options: how.

    Raises:
        UserError: masks are there already and neither ``overwrite`` nor ``resume`` is set.
    """
    if options.overwrite and options.resume:
        raise UserError("--overwrite and --resume: choose one")
    if options.overwrite or options.resume:
        return
    masks = sum(1 for _ in folder.glob(FRAME_PATTERN))
    if masks:
        raise UserError(
            f"{folder}: {masks} masks exist already; add --resume to write the others, --overwrite"
            " to replace them, or choose another --out"
        )
    for path in (folder / CLASSES_FILE, folder / f"{name}.overlay.mp4"):
        if path.exists():
            raise UserError(f"{path}: exists already; add --overwrite or choose another --out")


def _itself(pixels: Picture) -> Picture:
    return pixels


class _Job(NamedTuple):
    """A frame on its way to its mask.

    Attributes:
        frame: itself.
        pixels: as the backbone sees it; ``None`` where the mask is there already.
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
    """Segment a video; see :func:`segment_film`.

    Raises:
        UserError: it cannot be read, or something cannot be written.
    """
    with open_video(path) as video:
        film = film_of_video(video, folder, options.every)
        done = segment_film(segmenter, film, options, progress=progress)
    if not (done.written or done.kept):
        raise UserError(f"{path}: no frame of it can be decoded")
    return done


def segment_film(
    segmenter: Segmenter, film: Film, options: MaskOptions, *, progress: bool = False
) -> SegmentedFiles:
    """Segment a film and write a mask a frame, ``classes.json`` and, if wanted, an overlay.

    Frames come and go one by one: a film may be of any length. With ``resume`` masks that are there
    are left, and frames just before a missing one are looked at once more, so that labels go on as
    steadily as they began.

    Args:
        segmenter: on its device.
        film: what is segmented, and where to.
        options: how, and what else to write.
        progress: show a progress bar.

    Raises:
        UnreadableImageError: with ``strict``, for the first frame that cannot be read.
        UserError: something cannot be written.
    """
    done = SegmentedFiles(film.folder)
    pixels = np.zeros(len(segmenter.classes), np.int64)
    if options.overlay:
        video_library(film.overlay)
    if options.overwrite and is_output(film.folder, [CLASSES_FILE]):
        # Those of an earlier, longer film would be taken for masks of this one.
        for path in film.folder.glob(FRAME_PATTERN):
            path.unlink()
    draws = options.overlay and not (options.resume and film.overlay.exists())
    with ExitStack() as stack:
        writer = stack.enter_context(film_writer(film.overlay, film.timing)) if draws else None
        advance = stack.enter_context(progress_bar("Segmenting", film.count, shown=progress))
        for result in _results(segmenter, film, options, draws=draws):
            advance(1)
            if isinstance(result, SkippedImage):
                if options.strict:
                    raise UnreadableImageError(result.reason)
                done.skipped.append(result)
                continue
            pixels += result.counts
            done.written += result.written
            done.kept += not result.written
            if writer is not None and result.picture is not None:
                writer.add(result.picture, result.time)
    if done.written or done.kept:
        write_classes(film.folder, segmenter.classes, pixels)
    return done


def _results(
    segmenter: Segmenter, film: Film, options: MaskOptions, *, draws: bool
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
        return _finished(*each, segmenter, options, draws=draws)

    threads = worker_threads()
    planned = _planned(film.frames, options)
    loaded = in_threads(load, planned, threads=threads, ahead=2 * threads)
    scored = _scored(segmenter, loaded, options)
    return in_threads(finish, scored, threads=threads, ahead=threads)


def _planned(frames: Iterable[Frame], options: MaskOptions) -> Iterator[tuple[Frame, bool, bool]]:
    """Yield frames, whether the backbone sees each, and whether its mask is to be written."""
    # How many frames before a missing mask its average still remembers.
    memory = 0
    while options.resume and options.smoothing ** (memory + 1) > FORGOTTEN:
        memory += 1
    waiting: list[tuple[Frame, bool]] = []
    for frame in frames:
        waiting.append((frame, not (options.resume and frame.mask.exists())))
        if len(waiting) > memory:
            yield _plan(waiting)
            waiting.pop(0)
    while waiting:
        yield _plan(waiting)
        waiting.pop(0)


def _plan(waiting: Sequence[tuple[Frame, bool]]) -> tuple[Frame, bool, bool]:
    frame, writes = waiting[0]
    return frame, any(missing for _, missing in waiting), writes


def _scored(
    segmenter: Segmenter, jobs: Iterable[_Job | SkippedImage], options: MaskOptions
) -> Iterator[tuple[_Job, torch.Tensor | None] | SkippedImage]:
    """Work out class scores, of neighbouring frames together, and make them steady in turn."""
    smoother = ScoreSmoother(options.smoothing)

    def scored(batch: Sequence[_Job]) -> Iterator[tuple[_Job, torch.Tensor | None]]:
        seen = [job.pixels for job in batch if job.pixels is not None]
        if not seen:
            return
        scores = segmenter.scores_of_viewed(seen, mirror=options.mirror)
        for job, each, pixels in zip(batch, scores[:, None].unbind(), seen, strict=True):
            yield job, smoother.smoothed(each, pixels)

    batch: list[_Job] = []
    for job in jobs:
        if isinstance(job, SkippedImage) or job.pixels is None:
            yield from scored(batch)
            batch = []
            smoother.forget()
            yield job if isinstance(job, SkippedImage) else (job, None)
            continue
        first = batch[0].pixels if batch else None
        if first is not None and job.pixels.shape != first.shape:
            yield from scored(batch)
            batch = []
        batch.append(job)
        if len(batch) >= segmenter.budget.images(*job.pixels.shape[:2]):
            yield from scored(batch)
            batch = []
    yield from scored(batch)


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
        if options.crf:
            mask = refined_mask(scores, job.whole)
        else:
            mask = upsampled_mask(scores, job.whole, upsampling=options.upsampling)
        if options.scores:
            scores_path = job.frame.mask.with_suffix(".scores.npy")
            write_scores(scores_path, scores, job.whole, upsampling=options.upsampling)
        write_mask(job.frame.mask, mask, classes)
    else:
        mask = read_labels(job.frame.mask).clip(0, len(classes) - 1).astype(np.uint8)
    picture = overlay(job.whole, mask, classes) if draws and job.whole is not None else None
    counts = np.bincount(mask.ravel(), minlength=len(classes)).astype(np.int64)
    return _Result(counts, picture, job.frame.time, job.writes)
