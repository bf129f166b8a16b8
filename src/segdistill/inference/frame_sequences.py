"""Videos, of a video or of a folder of frames: what they hold, and where their masks go."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.images.video import USUAL_RATE, Video
from segdistill.inference.masks import CLASSES_FILE
from segdistill.inference.options import MaskOptions
from segdistill.inference.video_writer import VideoFormat

FRAME_NAME = "frame_{:06d}.png"
FRAME_PATTERN = re.compile(r"frame_[0-9]{6,}(\.scores\.npy|\.png)")
"""Names of what is written of each frame of a video, and of no other file."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """A frame of a video, of a video or a folder.

    Attributes:
        mask: where its mask goes.
        pixels: gives the frame upright, shape (height, width, 3); called at most once.
        time: when it is shown, in units of the video's time base.
    """

    mask: Path
    pixels: Callable[[], Picture]
    time: int


@dataclass(frozen=True)
class FrameSequence:
    """What is segmented, and where to.

    Attributes:
        frames: in the order in which they are shown.
        folder: for masks and ``classes.json``.
        name: of the overlay, without ending.
        shown: how the video of its overlay is.
        count: number of frames, roughly.
    """

    frames: Iterable[Frame]
    folder: Path
    name: str
    shown: VideoFormat
    count: int

    @property
    def overlay(self) -> Path:
        """Where the overlay goes."""
        return self.folder / f"{self.name}.overlay.mp4"


def frames_of_video(video: Video, folder: Path, every: int) -> FrameSequence:
    """Return the video of a video, of which one frame in so many is taken.

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

    shown = VideoFormat(video.rate / every, video.time_base, video.pixel_aspect)
    return FrameSequence(frames(), folder, video.path.stem, shown, -(-video.frames // every))


def frames_of_files(
    files: Sequence[ImageFile],
    names: Sequence[Path],
    folder: Path,
    options: MaskOptions,
    read: Callable[[Path], Picture],
) -> FrameSequence:
    """Return the video that image files make in the order of their names.

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
    shown = VideoFormat(USUAL_RATE, 1 / USUAL_RATE)
    return FrameSequence(frames, folder, folder.resolve().name, shown, len(frames))


def check_video_options(options: MaskOptions, *, videos: bool) -> None:
    """Check that what only videos know is asked for where there are videos.

    Args:
        options: how to segment.
        videos: whether a video is segmented.

    Raises:
        UserError: an option is of no use.
    """
    if videos or options.video:
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
        UserError: masks exist already and neither ``overwrite`` nor ``resume`` is set.
    """
    if options.overwrite and options.resume:
        raise UserError("--overwrite and --resume: choose one")
    if options.overwrite or options.resume:
        return
    there = frame_outputs(folder)
    masks = sum(path.suffix == ".png" for path in there)
    if masks:
        raise UserError(
            f"{folder}: {masks} masks exist already; add --resume to write the others, --overwrite"
            " to replace them, or choose another --out"
        )
    scores = there if options.scores else []
    for path in (*scores, folder / CLASSES_FILE, folder / f"{name}.overlay.mp4"):
        if path.exists():
            raise UserError(f"{path}: exists already; add --overwrite or choose another --out")


def frame_outputs(folder: Path) -> list[Path]:
    """Return the masks and scores of frames of a video that are in a folder, if it exists."""
    return sorted(path for path in folder.glob("frame_*") if FRAME_PATTERN.fullmatch(path.name))


def _itself(pixels: Picture) -> Picture:
    return pixels
