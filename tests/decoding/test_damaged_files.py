"""Damaged videos, HEIF, AVIF and OpenEXR files are read or told in one line that names the file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from tests.corpus.images import scene
from tests.inference.videos import striped_frames, write_video

from segdistill.decoding.decode import read_picture
from segdistill.decoding.heif import has_heif, register_heif
from segdistill.decoding.video import open_video
from segdistill.errors import UserError
from segdistill.images.depth_reading import read_depth_values

CASES = 15


def write_picture(path: Path) -> None:
    if path.suffix == ".heic":
        if not has_heif():
            pytest.skip("needs the extra 'heif'")
        register_heif(path.name)
    Image.fromarray(scene()).save(path, quality=90)


def write_depth(path: Path) -> None:
    exr = pytest.importorskip("OpenEXR", reason="needs the extra 'exr'")
    values = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"Z": values}).write(str(path))


def write_film(path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra 'video'")
    write_video(path, striped_frames(4))


def read_film(path: Path) -> None:
    with open_video(path) as video:
        assert video.frames >= 0
        for frame in video:
            assert frame.pixels.shape[2] == 3


def told_by(read: Callable[[Path], object], path: Path) -> str:
    """Return the message of the error; nothing if the file is read all the same."""
    try:
        read(path)
    except UserError as error:
        return str(error)
    return ""


def damaged(content: bytes, random: Random) -> Iterator[bytes]:
    """Yield the content cut off, with a flipped bit, and with noise at its start or anywhere."""
    size = len(content)
    while True:
        yield content[: random.randrange(1, size)]
        for start, length in ((size, 1), (600, 1), (2000, 32), (size, 32)):
            place = random.randrange(min(start, size))
            noise = bytes(random.randrange(256) for _ in range(length))
            if length == 1:
                noise = bytes([content[place] ^ 1 << random.randrange(8)])
            yield content[:place] + noise + content[place + length :]


@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("a.mp4", write_film, read_film),
        ("a.mkv", write_film, read_film),
        ("a.avi", write_film, read_film),
        ("a.heic", write_picture, read_picture),
        ("a.avif", write_picture, read_picture),
        ("a.exr", write_depth, read_depth_values),
    ],
)
def test_damage_is_told_in_one_line(
    tmp_path: Path,
    name: str,
    write: Callable[[Path], object],
    read: Callable[[Path], object],
) -> None:
    path = tmp_path / name
    write(path)
    read(path)
    content, told = path.read_bytes(), 0
    for _, changed in zip(range(CASES), damaged(content, Random(name)), strict=False):  # noqa: S311
        path.write_bytes(changed)
        if message := told_by(read, path):
            told += 1
            assert str(path) in message
            assert len(message.splitlines()) == 1
    # Some damage costs a few pixels or frames only.
    assert told
