"""Videos for tests, made with PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from tests.helpers import striped_image

Picture = NDArray[np.uint8]


def write_video(
    path: Path,
    frames: Sequence[Picture],
    *,
    times: Sequence[int] | None = None,
    rate: int = 10,
    rotation: int = 0,
    matrix: Sequence[int] | None = None,
    pixel_aspect: Fraction = Fraction(1),
    faststart: bool = False,
) -> Path:
    """Write a video; times are in tenths of a second, the display matrix as FFmpeg has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The index first, as videos are that are made for the web.
    muxing = {"movflags": "faststart"} if faststart and path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_video(path: Path) -> list[tuple[float, Picture]]:
    """Return the frames of a video, each with its time in seconds."""
    with av.open(str(path)) as container:
        return [
            (frame.time or 0.0, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            for frame in container.decode(video=0)
        ]


def striped_frames(count: int, height: int = 64, width: int = 96) -> list[Picture]:
    """Return stripes in a light that is not steady, with noise of their own in each frame."""
    still = striped_image(0, height, width).astype(np.float64)
    random = np.random.default_rng(1)
    return [
        (still + random.normal(0, 10) + random.normal(0, 8, still.shape))
        .clip(0, 255)
        .astype(np.uint8)
        for _ in range(count)
    ]
