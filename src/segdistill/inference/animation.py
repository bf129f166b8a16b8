"""Writing animations: GIF with Pillow, MP4 with PyAV if it is installed."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from segdistill.decoding.video import video_library
from segdistill.errors import UserError
from segdistill.files import atomic_path
from segdistill.inference.video_writer import VideoFormat, video_writer

SUFFIXES = (".gif", ".mp4")


def check_animation(path: Path) -> None:
    """Check that an animation can be written in the format given by its suffix.

    Raises:
        UserError: the suffix is neither ``.gif`` nor ``.mp4``, or PyAV is needed but not installed.

    Example:
        >>> check_animation(Path("points.avi"))
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: points.avi: must end in .gif or .mp4
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: must end in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".mp4":
        video_library(path, "; or use a name that ends in .gif")


def write_frames(path: Path, frames: Sequence[Image.Image], milliseconds: int) -> None:
    """Write images as an animation, in the format given by the file's suffix.

    Args:
        path: output file; ``.gif`` (loops forever) or ``.mp4`` (H.264, 4:2:0).
        frames: at least one RGB image, all of the same size; for MP4, odd sides are padded by one
            pixel.
        milliseconds: duration of each frame.

    Raises:
        UserError: the suffix is not supported, PyAV is needed but not installed, or the file
            cannot be written.
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
