"""Writing animations: GIF by Pillow, MP4 by PyAV if it is installed."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from segdistill.errors import UserError
from segdistill.files import atomic_path
from segdistill.images.video import video_library
from segdistill.inference.video_writer import VideoFormat, video_writer

ENDINGS = (".gif", ".mp4")


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
        video_library(path, "; or give a name ending with .gif")


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
    if path.suffix.lower() == ".mp4":
        rate = Fraction(1000, milliseconds)
        with video_writer(path, VideoFormat(rate, 1 / rate)) as writer:
            for number, frame in enumerate(frames):
                writer.add(np.asarray(frame), number)
        return
    with atomic_path(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=milliseconds,
            loop=0,
        )
