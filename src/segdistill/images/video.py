"""Videos through PyAV, an extra: frames one after the other, upright, with their times."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.errors import UserError

logger = logging.getLogger("segdistill")

USUAL_RATE = Fraction(25)
"""Frames a second, where a video does not say."""

MICROSECONDS = 1_000_000
"""In a second; FFmpeg's unit for whole files."""

MOST_MISSING = 0.1
"""A video that ends earlier than it says, by more than this share, was cut off."""


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a film.

    Attributes:
        number: from 1.
        pixels: upright, shape (height, width, 3).
        time: when it is shown, in units of the film's time base, from the start of the file.
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
        rate: frames a second, on average.
        time_base: seconds of a unit of time.
        pixel_aspect: width by height of a pixel; not 1 in films of DVDs and of many camcorders.

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
        # Phones, which turn their films, have square pixels: nothing is turned here.
        self.pixel_aspect: Fraction = self._stream.sample_aspect_ratio or Fraction(1)
        # Clocks of broadcasts and of some recorders count on from hours before. Of the shortest
        # films FFmpeg does not know it: then the first frame says.
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
        last = None
        for packet in self._container.demux(self._stream):
            try:
                decoded = packet.decode()
            except OSError:  # of which PyAV's errors of damaged data are
                damaged += 1
                continue
            except ValueError:
                damaged += 1
                continue
            for frame in decoded:
                number += 1
                time = self._since_start(frame.pts)
                if time is None or (last is not None and time <= last):
                    time = 0 if last is None else last + self._frame_time
                last = time
                yield VideoFrame(number, _upright(frame), time)
        if damaged:
            logger.warning("%s: %d parts are damaged and were left out", self.path, damaged)
        self._warn_if_cut_off(number, last)

    def _since_start(self, time: int | None) -> int | None:
        if time is None:
            return None
        if self._start is None:
            self._start = time
        return max(0, time - self._start)

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
    except (OSError, ValueError) as error:
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
        raise UserError(f"{path}: needs PyAV: pip install 'segdistill[video]'{instead}") from error


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Return a frame as it is meant to be seen, shape (height, width, 3)."""
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    # In degrees, anticlockwise; phones turn films by quarters.
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
