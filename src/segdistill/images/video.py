"""Videos through PyAV, an extra: frames one after the other, upright, with their times."""

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

logger = logging.getLogger("segdistill")

USUAL_RATE = Fraction(25)
"""Frames a second, where a video does not say."""

MICROSECONDS = 1_000_000
"""In a second; FFmpeg's unit for whole files."""

MOST_MISSING = 0.1
"""A video that ends earlier than it says, by more than this share, was cut off."""

STEADY = 0.9
"""A video of which this share of the frames follow each other at its rate has a steady one."""

LONG_GAP = 5
"""In a video of a steady rate, frames are missing where none comes for so many frames' time."""


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video.

    Attributes:
        number: from 1.
        pixels: upright, shape (height, width, 3).
        time: when it is shown, in units of the video's time base, from the start of the file.
    """

    number: int
    pixels: NDArray[np.uint8]
    time: int


class Video:
    """An open video.

    Args:
        path: named in errors.
        container: of PyAV.

    Attributes:
        path: of the file.
        rate: frames per second, on average.
        time_base: seconds of a unit of time.
        pixel_aspect: width by height of a pixel; not 1 in videos of DVDs and of many camcorders.

    Raises:
        UserError: it holds no pictures.
    """

    def __init__(self, path: Path, container: Any) -> None:
        self.path = path
        self._container = container
        if not container.streams.video:
            raise UserError(f"{path}: holds no pictures, only sound")
        self._stream = container.streams.video[0]
        # Frames are decoded while others are worked on.
        self._stream.thread_type = "AUTO"
        self.rate: Fraction = self._stream.average_rate or USUAL_RATE
        self.time_base: Fraction = self._stream.time_base or 1 / USUAL_RATE
        # Phones, which turn their videos, have square pixels: nothing is turned here.
        self.pixel_aspect: Fraction = self._stream.sample_aspect_ratio or Fraction(1)
        # Clocks of broadcasts and of some recorders count on from hours before. Of the shortest
        # videos FFmpeg does not know it: then the first frame says.
        self._start: int | None = None
        if container.start_time is not None:
            self._start = round(Fraction(container.start_time, MICROSECONDS) / self.time_base)

    @property
    def frames(self) -> int:
        """Number of frames as far as it is known without decoding, for a progress bar; 0 if not."""
        if self._stream.frames:
            return int(self._stream.frames)
        if self._stream.duration:
            return int(self._stream.duration * self.time_base * self.rate)
        return int(self._file_seconds * self.rate)

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield all frames in the order in which they are shown; damaged ones are left out."""
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
            # The step to the last frame is not counted: it may be shown late on purpose.
            if step:
                steps[step] += 1
            step = 0 if last is None else time - last
            last = time
            yield VideoFrame(number, pixels, time)
        # Where the file knows how many there are and all came, its rate is not steady.
        complete = 0 < self._stream.frames <= number
        missing = 0 if complete else missing_frames(steps, self._frame_time)
        self._warn_if_damaged(damaged, missing)
        self._warn_if_cut_off(number, last)

    def _decoded(self) -> Iterator[tuple[int | None, NDArray[np.uint8]] | None]:
        """Yield the clock and the pixels of each frame; ``None`` for a damaged part."""
        # PyAV's errors have nothing else in common; a format that cannot be converted is a
        # ValueError of Python's own.
        errors = (video_library(self.path).FFmpegError, ValueError)
        packets = iter(self._container.demux(self._stream))
        while True:
            try:
                packet = next(packets, None)
            except errors:
                yield None  # Nothing can be read after it.
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

    def _warn_if_damaged(self, damaged: int, missing: int) -> None:
        told = []
        if damaged:
            told.append(f"{damaged} parts are damaged and were left out")
        if missing:
            # Some containers pass over what is damaged without an error.
            told.append(f"about {missing} frames are missing in between")
        if told:
            logger.warning("%s: %s", self.path, "; ".join(told))

    def _warn_if_cut_off(self, number: int, last: int | None) -> None:
        """Tell of a file that ends before it should, as broken-off copies and recordings do.

        Args:
            number: of frames that were found.
            last: time of the last.
        """
        if last is None or 0 < self._stream.frames <= number:
            return
        # Matroska counts what comes before the start to the duration.
        seconds = float(((self._start or 0) + last) * self.time_base + 1 / self.rate)
        if seconds < (1 - MOST_MISSING) * self._file_seconds:
            logger.warning(
                "%s: ends after %.1f of %.1f seconds; it may be cut off",
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
        UserError: it cannot be read as one, or PyAV is not installed.
    """
    av = video_library(path)
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as a video ({reason}); is it whole?") from error
    with container:
        yield Video(path, container)


def video_library(path: Path, instead: str = "") -> Any:
    """Return PyAV.

    Args:
        path: of the video, named in the error.
        instead: what else can be done, for the error.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module("av")
    except ImportError as error:
        raise UserError(f"{path}: {missing_extra('PyAV', 'video')}{instead}") from error


def missing_frames(steps: Mapping[int, int], frame_time: int) -> int:
    """Return about how many frames are missing in between.

    Frames come as late as they please where the rate is not steady: then none are.

    Args:
        steps: how often a frame came so long after the one before.
        frame_time: of a frame, in the same units.

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
    """Return a frame as it is meant to be seen, shape (height, width, 3)."""
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    # In degrees, anticlockwise; phones turn videos by quarters.
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
