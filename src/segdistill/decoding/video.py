"""Videos through PyAV (an extra): upright frames in order, with their times."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError, missing_extra
from segdistill.files import check_regular

logger = logging.getLogger("segdistill")

USUAL_RATE = Fraction(25)
"""Frames per second where a video does not state its rate."""

# FFmpeg's time unit for files, per second.
MICROSECONDS = 1_000_000
# A video that is shorter than stated by more than this share is truncated.
MOST_MISSING = 0.1
# A video has a constant rate if this share of its frames follow at that rate; then a gap of so many
# frames' time means missing frames.
STEADY = 0.9
LONG_GAP = 5

DISPLAY_MATRIX = "DISPLAYMATRIX"
"""PyAV's name of the side data that says how a frame is turned and mirrored."""


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video: its number from 1, and its upright pixels, shape (height, width, 3).

    The presentation time counts from the start of the file, in units of the video's time base.
    """

    number: int
    pixels: NDArray[np.uint8]
    time: int


class Video:
    """An open video.

    Args:
        path: path of the file, for error messages.
        container: PyAV container.

    Attributes:
        path: path of the file.
        rate: average number of frames per second.
        time_base: seconds per unit of time.
        pixel_aspect: width divided by height of a pixel; not 1 on DVDs and for many camcorders.

    Raises:
        UserError: the file has no video stream.
    """

    def __init__(self, path: Path, container: Any) -> None:
        self.path = path
        self._container = container
        if not container.streams.video:
            raise UserError(f"{path}: has no video stream, only sound")
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"  # decodes frames in the background
        self.rate: Fraction = self._stream.average_rate or USUAL_RATE
        self.time_base: Fraction = self._stream.time_base or 1 / USUAL_RATE
        # Rotated videos come from phones, which have square pixels: no need to swap the aspect.
        self.pixel_aspect: Fraction = self._stream.sample_aspect_ratio or Fraction(1)
        # Broadcasts and some recorders start their clock hours earlier. FFmpeg does not know the
        # start of very short videos: then the first frame's time is used.
        self._start: int | None = None
        if container.start_time is not None:
            self._start = round(Fraction(container.start_time, MICROSECONDS) / self.time_base)

    @property
    def frames(self) -> int:
        """Number of frames if known without decoding, for a progress bar; else 0."""
        if self._stream.frames:
            return int(self._stream.frames)
        if self._stream.duration:
            return int(self._stream.duration * self.time_base * self.rate)
        return int(self._file_seconds * self.rate)

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield all frames in presentation order; damaged ones are left out."""
        number = damaged = 0
        last, step = None, 0
        steps: Counter[int] = Counter()
        for decoded in self._decoded():
            if decoded is None:
                damaged += 1
                continue
            number += 1
            clock, pixels = decoded
            time = self._since_start(clock)
            if time is None or (last is not None and time <= last):
                time = 0 if last is None else last + self._frame_time
            # The last interval is not counted: the last frame may be late on purpose.
            if step:
                steps[step] += 1
            step = 0 if last is None else time - last
            last = time
            yield VideoFrame(number, pixels, time)
        self._warn(number, damaged, last, steps)

    def _decoded(self) -> Iterator[tuple[int | None, NDArray[np.uint8]] | None]:
        """Yield the time and the pixels of each frame; ``None`` for a damaged part."""
        # A pixel format that cannot be converted raises a plain ValueError.
        errors = (video_library(self.path).FFmpegError, ValueError)
        packets = iter(self._container.demux(self._stream))
        while True:
            try:
                packet = next(packets, None)
            except errors:
                yield None  # Nothing after it can be read.
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except errors:
                yield None
                continue
            for frame in frames:
                try:
                    pixels = _upright(frame)
                except errors:
                    yield None
                    continue
                yield frame.pts, pixels

    def _since_start(self, time: int | None) -> int | None:
        if time is None:
            return None
        if self._start is None:
            self._start = time
        return max(0, time - self._start)

    def _warn(self, number: int, damaged: int, last: int | None, steps: Counter[int]) -> None:
        """Warn about damage and truncation, as interrupted copies and recordings leave them."""
        # If the file states the number of frames and all were found, its rate is not constant.
        complete = 0 < self._stream.frames <= number
        missing = 0 if complete else missing_frames(steps, self._frame_time)
        messages = []
        if damaged:
            messages.append(f"{damaged} parts are damaged and were skipped")
        if missing:
            # Some containers skip damaged parts without an error.
            messages.append(f"about {missing} frames are missing")
        if messages:
            logger.warning("%s: %s", self.path, "; ".join(messages))
        if last is None or complete:
            return
        # Matroska's duration includes the time before the start.
        seconds = float(((self._start or 0) + last) * self.time_base + 1 / self.rate)
        if seconds < (1 - MOST_MISSING) * self._file_seconds:
            logger.warning(
                "%s: ends after %.1f of %.1f seconds; the file may be truncated",
                *(self.path, seconds, self._file_seconds),
            )

    @property
    def _file_seconds(self) -> float:
        return (self._container.duration or 0) / MICROSECONDS

    @property
    def _frame_time(self) -> int:
        return max(1, round(1 / (self.rate * self.time_base)))


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Open a video.

    Raises:
        UserError: the file cannot be read as a video, or PyAV is not installed.
    """
    av = video_library(path)
    try:
        check_regular(path)
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: cannot be read as a video ({reason}); check that the file is complete"
        ) from error
    with container:
        yield Video(path, container)


def video_library(path: Path, instead: str = "") -> Any:
    """Return PyAV.

    Args:
        path: path of the video, for the error message.
        instead: alternative, appended to the error message.

    Raises:
        UserError: PyAV is not installed.
    """
    try:
        return import_module("av")
    except ImportError as error:
        raise UserError(f"{path}: {missing_extra('PyAV', 'video')}{instead}") from error


def missing_frames(steps: Mapping[int, int], frame_time: int) -> int:
    """Estimate the number of missing frames; 0 if the frame rate is not constant.

    Args:
        steps: number of frames for each interval to the previous frame.
        frame_time: duration of a frame, in the same units.

    Example:
        >>> missing_frames({10: 50, 320: 1}, 10)
        31
        >>> missing_frames({10: 20, 20: 15, 320: 1}, 10)
        0
    """
    steady = sum(count for step, count in steps.items() if abs(step - frame_time) < frame_time / 2)
    if steady < STEADY * sum(steps.values()):
        return 0
    long = {step: count for step, count in steps.items() if step > LONG_GAP * frame_time}
    return sum(count * (round(step / frame_time) - 1) for step, count in long.items())


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Return a frame's pixels upright, shape (height, width, 3)."""
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    matrix = next((each for each in frame.side_data if each.type.name == DISPLAY_MATRIX), None)
    if matrix is None:
        return pixels
    return np.ascontiguousarray(displayed(pixels, np.frombuffer(matrix, np.int32)))


def displayed(pixels: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turn and mirror a frame as its display matrix says, to the nearest of eight orientations.

    Args:
        pixels: stored frame, shape (height, width, 3).
        matrix: nine numbers in the layout of FFmpeg's libavutil/display.h: a stored pixel (x, y)
            is shown at (a x + c y, b x + d y), of which (a, b, c, d) are the first, second,
            fourth and fifth numbers. The other numbers shift the picture, which is not needed.

    Example:
        >>> picture = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
        >>> mirrored = np.array([-1, 0, 0, 0, 1, 0, 0, 0, 1], np.int32)
        >>> displayed(picture, mirrored)[:, :, 0].tolist()
        [[2, 1, 0], [5, 4, 3]]
    """
    a, b, c, d = (int(matrix[index]) for index in (0, 1, 3, 4))
    across, down = a, d
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
