"""Frame sequences from a video or a folder of frames, and the paths of their masks."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.ignore_masks import with_ignored
from segdistill.decoding.image_reading import AS_EACH_FILE_SAYS, ImageReading
from segdistill.decoding.pictures import Picture, StoredImage
from segdistill.decoding.video import USUAL_RATE, Video
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.inference.options import MaskOptions
from segdistill.inference.plan import check_own
from segdistill.inference.video_writer import VideoFormat
from segdistill.layout import CLASSES_FILE

FRAME_NAME = "frame_{:06d}.png"
FRAME_PATTERN = re.compile(r"frame_[0-9]{6,}(\.scores\.npy|\.png)")
"""Names of the output files of video frames, which no other files have."""

FramePixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """A frame of a video or a folder.

    Attributes:
        mask: path of its mask.
        picture: returns the upright frame; called at most once.
        time: presentation time, in units of the video's time base.
    """

    mask: Path
    picture: Callable[[], Picture]
    time: int


@dataclass(frozen=True)
class FrameSequence:
    """Frames to segment, and where to write the outputs.

    Attributes:
        frames: frames in presentation order.
        folder: folder for masks and ``classes.json``.
        name: name of the overlay video, without suffix.
        video_format: format of the overlay video.
        count: approximate number of frames.
    """

    frames: Iterable[Frame]
    folder: Path
    name: str
    video_format: VideoFormat
    count: int

    @property
    def overlay(self) -> Path:
        """Path of the overlay video."""
        return self.folder / f"{self.name}.overlay.mp4"


def frames_of_video(
    video: Video,
    folder: Path,
    every: int,
    reading: ImageReading = AS_EACH_FILE_SAYS,
    ignore: Path | None = None,
) -> FrameSequence:
    """Return every n-th frame of a video.

    Args:
        video: an open video.
        folder: folder for masks, which are numbered like the frames of the video, from 1.
        every: step between frames, starting with the first.
        reading: of the run.
        ignore: mask of pixels to be ignored in every frame.
    """

    def frames() -> Iterator[Frame]:
        for each in video:
            if (each.number - 1) % every == 0:
                path = folder / FRAME_NAME.format(each.number)
                yield Frame(path, partial(_picture, each.pixels, reading, ignore), each.time)

    video_format = VideoFormat(video.rate / every, video.time_base, video.pixel_aspect)
    count = -(-video.frames // every)
    return FrameSequence(frames(), folder, video.path.stem, video_format, count)


def frames_of_files(
    files: Sequence[ImageFile],
    names: Sequence[Path],
    folder: Path,
    options: MaskOptions,
    read: Callable[[ImageFile], Picture],
) -> FrameSequence:
    """Return image files as a frame sequence.

    Args:
        files: the frames, in order.
        names: names of their masks.
        folder: folder for masks.
        options: segmentation options.
        read: reads a file.
    """
    chosen = list(zip(files, names, strict=True))[:: options.every]
    frames = [
        Frame(folder / name, partial(read, file), number)
        for number, (file, name) in enumerate(chosen)
    ]
    video_format = VideoFormat(USUAL_RATE, 1 / USUAL_RATE)
    return FrameSequence(frames, folder, folder.resolve().name, video_format, len(frames))


def check_video_options(options: MaskOptions, *, videos: bool) -> None:
    """Check that video options are only used with videos.

    Args:
        options: segmentation options.
        videos: whether the inputs include videos.

    Raises:
        UserError: a video option is set, but there is no video.
    """
    if videos or options.video:
        return
    for name, given in (("every", options.every != 1), ("smooth", options.smooth is not None)):
        if given:
            raise UserError(
                f"--{name}: only for videos; add --video if the images are frames of one"
            )


def check_video_folder(folder: Path, name: str, options: MaskOptions) -> None:
    """Check that the masks of a video can be written; called before the model is loaded.

    Args:
        folder: folder for masks.
        name: name of the overlay video, without suffix.
        options: segmentation options.

    Raises:
        UserError: masks already exist and neither ``overwrite`` nor ``resume`` is set; or the
            folder holds files that segdistill did not write.
    """
    if options.overwrite and options.resume:
        raise UserError("--overwrite and --resume: give only one of them")
    check_own(folder, CLASSES_FILE, "masks")
    if options.overwrite or options.resume:
        return
    existing = frame_outputs(folder)
    masks = sum(path.suffix == ".png" for path in existing)
    if masks:
        raise UserError(
            f"{folder}: {masks} {'mask' if masks == 1 else 'masks'} of frames already"
            f" {'exists' if masks == 1 else 'exist'}; add --resume to write those that are missing,"
            " --overwrite to replace all, or choose another --out"
        )
    scores = existing if options.scores else []
    for path in (*scores, folder / CLASSES_FILE, folder / f"{name}.overlay.mp4"):
        if path.exists():
            raise UserError(f"{path}: already exists; add --overwrite or choose another --out")


def frame_outputs(folder: Path) -> list[Path]:
    """List the masks and scores of video frames in a folder, which need not exist."""
    return sorted(path for path in folder.glob("frame_*") if FRAME_PATTERN.fullmatch(path.name))


def _picture(pixels: FramePixels, reading: ImageReading, ignore: Path | None) -> Picture:
    """Return a frame of a video without its constant border, as a letterbox leaves it."""
    picture = StoredImage("frame", pixels).shown(reading)
    return picture if ignore is None else with_ignored(picture, ignore, "the video", reading)
