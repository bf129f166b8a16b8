"""Writing videos frame by frame, with presentation times."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.video import video_library
from segdistill.files import atomic_path
from segdistill.images.resize import resize_image

# H.264 plays in every browser and on every phone; MPEG-4 part 2 if FFmpeg was built without it.
VIDEO_CODECS = ("libx264", "mpeg4")
# For MPEG-4, whose default quality is low; H.264 uses a constant quality instead.
BITS_PER_SECOND = 6_000_000

# MPEG-4 has a 16-bit time base. All common frame rates have integer times in this unit.
MPEG4_TIME_BASE = Fraction(1, 60_000)
MAX_MPEG4_UNITS = 65_535

PIXEL_FORMAT = "yuv420p"
# FFmpeg constants: BT.709 (matrix, primaries and transfer function), and levels 16 to 235.
COLOUR_SPACE = 1
LIMITED_RANGE = 1


@dataclass(frozen=True)
class VideoFormat:
    """Frame rate, time base and pixel aspect ratio of a video.

    Attributes:
        rate: average frames per second.
        time_base: unit of presentation times, in seconds.
        pixel_aspect: ratio of width to height of a pixel.
    """

    rate: Fraction
    time_base: Fraction
    pixel_aspect: Fraction = Fraction(1)


class VideoWriter:
    """Writes frames to an open video.

    Args:
        av: the PyAV module.
        container: PyAV container, open for writing.
        video_format: format of the video.
    """

    def __init__(self, av: Any, container: Any, video_format: VideoFormat) -> None:
        self._av = av
        self._container = container
        self._format = video_format
        self._stream: Any = None
        self._size = (0, 0)
        self._time_base = video_format.time_base
        self._earliest = 0

    def add(self, pixels: NDArray[np.uint8], time: int) -> None:
        """Write a frame.

        Args:
            pixels: shape (height, width, 3); resized to the size of the first frame if it differs.
                Odd sides are padded by one pixel.
            time: presentation time in units of the time base; must increase from frame to frame.
        """
        if self._stream is None:
            self._begin(pixels.shape[0], pixels.shape[1])
        pixels = resize_image(pixels, self._size)
        odd = ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0))
        padded = np.pad(pixels, odd, mode="edge")
        frame = self._av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
            format=PIXEL_FORMAT, dst_colorspace=COLOUR_SPACE, dst_color_range=LIMITED_RANGE
        )
        # In a coarser time base, two frames may round to the same time, which encoders reject.
        rescaled = max(self._earliest, round(time * self._format.time_base / self._time_base))
        self._earliest = rescaled + 1
        frame.pts, frame.time_base = rescaled, self._time_base
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Flush the encoder."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def _begin(self, height: int, width: int) -> None:
        available = self._av.codecs_available
        codec = next((name for name in VIDEO_CODECS if name in available), VIDEO_CODECS[-1])
        self._stream = self._container.add_stream(codec, rate=self._format.rate)
        self._stream.pix_fmt = PIXEL_FORMAT
        if codec == "mpeg4":
            self._stream.bit_rate = BITS_PER_SECOND
            if self._time_base.denominator > MAX_MPEG4_UNITS:
                self._time_base = MPEG4_TIME_BASE
        # 4:2:0 subsamples colour by 2, so sides must be even.
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        context = self._stream.codec_context
        context.time_base = self._time_base
        context.sample_aspect_ratio = self._format.pixel_aspect
        # Stored in the file, since players otherwise guess it from the size, and not consistently.
        context.colorspace = context.color_primaries = context.color_trc = COLOUR_SPACE
        context.color_range = LIMITED_RANGE
        self._size = (height, width)


@contextlib.contextmanager
def video_writer(path: Path, video_format: VideoFormat) -> Iterator[VideoWriter]:
    """Open an MP4 file for writing; it appears when the block succeeds.

    Args:
        path: output file.
        video_format: format of the video.

    Raises:
        UserError: PyAV is not installed, or the file cannot be written.
    """
    av = video_library(path)
    # With the index at the start, browsers can play the file while it loads.
    options = {"movflags": "faststart"}
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        writer = VideoWriter(av, container, video_format)
        yield writer
        writer.end()
