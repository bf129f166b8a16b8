"""Writing animations: GIF by Pillow, MP4 by PyAV if it is installed."""

from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segdistill.errors import UserError
from segdistill.files import atomic_path

ENDINGS = (".gif", ".mp4")

# H.264 is what every browser and phone plays; where FFmpeg was built without it, MPEG-4 part 2.
VIDEO_CODECS = ("libx264", "mpeg4")
# For MPEG-4, whose default is coarse; H.264 keeps a constant quality instead.
BITS_PER_SECOND = 6_000_000


def check_animation(path: Path) -> None:
    """Check, before any work, that an animation can be written in the format of its ending.

    Raises:
        UserError: the ending is neither ``.gif`` nor ``.mp4``, or MP4 needs what is not installed.

    Example:
        >>> check_animation(Path("points.avi"))
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: points.avi: must end with .gif or .mp4
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path}: must end with {' or '.join(ENDINGS)}")
    if path.suffix.lower() == ".mp4":
        _video_library(path)


def write_frames(path: Path, frames: Sequence[Image.Image], milliseconds: int) -> None:
    """Write pictures as an animation, in the format of the file's ending.

    Args:
        path: ends with ``.gif`` (repeats for ever) or ``.mp4`` (H.264, 4:2:0).
        frames: RGB, one or more, of one size; for MP4 an odd side gets one more pixel.
        milliseconds: for which each is shown.

    Raises:
        UserError: the ending is another, MP4 needs what is not installed, or the file cannot be
            written.
    """
    check_animation(path)
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".gif":
            frames[0].save(
                temporary,
                format="GIF",
                save_all=True,
                append_images=frames[1:],
                duration=milliseconds,
                loop=0,
            )
        else:
            _write_video(_video_library(path), temporary, frames, milliseconds)


def _write_video(av: Any, path: Path, frames: Sequence[Image.Image], milliseconds: int) -> None:
    codec = next((name for name in VIDEO_CODECS if name in av.codecs_available), VIDEO_CODECS[-1])
    rate = Fraction(1000, milliseconds)
    # With the index first, a browser plays the file while it loads.
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.pix_fmt = "yuv420p"
        if codec == "mpeg4":
            stream.bit_rate = BITS_PER_SECOND
        # 4:2:0 keeps colour for every other row and column, so sides are even.
        stream.width, stream.height = (side + side % 2 for side in frames[0].size)
        for number, frame in enumerate(frames):
            pixels = np.asarray(frame)
            odd = ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0))
            picture = av.VideoFrame.from_ndarray(np.pad(pixels, odd, mode="edge"), format="rgb24")
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _video_library(path: Path) -> Any:
    """Return PyAV."""
    try:
        return import_module("av")
    except ImportError as error:
        raise UserError(
            f"{path}: MP4 needs PyAV: pip install 'segdistill[video]'; or give a name ending with"
            " .gif"
        ) from error
