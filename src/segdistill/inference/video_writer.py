"""Writing videos frame by frame, at the times at which they are to be shown."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.files import atomic_path
from segdistill.images.resize import resize_image
from segdistill.images.video import video_library

# H.264 is what every browser and phone plays; where FFmpeg was built without it, MPEG-4 part 2.
VIDEO_CODECS = ("libx264", "mpeg4")
# For MPEG-4, whose default is coarse; H.264 keeps a constant quality instead.
BITS_PER_SECOND = 6_000_000

# MPEG-4 counts time in 16 bits. In this unit the frames of all usual rates have whole times.
FINEST_OF_MPEG4 = Fraction(1, 60_000)
MOST_UNITS_OF_MPEG4 = 65_535

PIXEL_FORMAT = "yuv420p"
# FFmpeg's numbers of BT.709, for its matrix, primaries and transfer alike, and of levels 16 to 235.
COLOUR_SPACE = 1
LIMITED_RANGE = 1


@dataclass(frozen=True)
class VideoFormat:
    """How a video is shown.

    Attributes:
        rate: frames per second, on average.
        time_base: seconds of a unit in which times are given.
        pixel_aspect: width by height of a pixel.
    """

    rate: Fraction
    time_base: Fraction
    pixel_aspect: Fraction = Fraction(1)


class VideoWriter:
    """Writes frames of a video that is open.

    Args:
        av: PyAV.
        container: of PyAV, open for writing.
        shown: how the video is.
    """

    def __init__(self, av: Any, container: Any, shown: VideoFormat) -> None:
        self._av = av
        self._container = container
        self._shown = shown
        self._stream: Any = None
        self._size = (0, 0)
        self._time_base = shown.time_base
        self._earliest = 0

    def add(self, pixels: NDArray[np.uint8], time: int) -> None:
        """Write a frame.

        Args:
            pixels: shape (height, width, 3); brought to the size of the first frame if it is
                another. An odd side gets one more pixel.
            time: when it is shown, in units of the time base; later than that of the frame before.
        """
        if self._stream is None:
            self._begin(pixels.shape[0], pixels.shape[1])
        pixels = resize_image(pixels, self._size)
        odd = ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0))
        padded = np.pad(pixels, odd, mode="edge")
        picture = self._av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
            format=PIXEL_FORMAT, dst_colorspace=COLOUR_SPACE, dst_color_range=LIMITED_RANGE
        )
        # In coarser units two frames may fall on one time, which no encoder takes.
        rescaled = max(self._earliest, round(time * self._shown.time_base / self._time_base))
        self._earliest = rescaled + 1
        picture.pts, picture.time_base = rescaled, self._time_base
        self._container.mux(self._stream.encode(picture))

    def end(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def _begin(self, height: int, width: int) -> None:
        known = self._av.codecs_available
        codec = next((name for name in VIDEO_CODECS if name in known), VIDEO_CODECS[-1])
        self._stream = self._container.add_stream(codec, rate=self._shown.rate)
        self._stream.pix_fmt = PIXEL_FORMAT
        if codec == "mpeg4":
            self._stream.bit_rate = BITS_PER_SECOND
            if self._time_base.denominator > MOST_UNITS_OF_MPEG4:
                self._time_base = FINEST_OF_MPEG4
        # 4:2:0 keeps colour for every other row and column, so sides are even.
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        context = self._stream.codec_context
        context.time_base = self._time_base
        context.sample_aspect_ratio = self._shown.pixel_aspect
        # Said in the file: players guess it by the size otherwise, not all alike.
        context.colorspace = context.color_primaries = context.color_trc = COLOUR_SPACE
        context.color_range = LIMITED_RANGE
        self._size = (height, width)


@contextlib.contextmanager
def video_writer(path: Path, shown: VideoFormat) -> Iterator[VideoWriter]:
    """Open an MP4 file for writing; it appears when the block is done.

    Args:
        path: where to.
        shown: how the video is.

    Raises:
        UserError: PyAV is not installed, or the file cannot be written.
    """
    av = video_library(path)
    # With the index first, a browser plays the file while it loads.
    options = {"movflags": "faststart"}
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        writer = VideoWriter(av, container, shown)
        yield writer
        writer.end()
