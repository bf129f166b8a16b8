"""Animations, read back."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from segdistill.errors import UserError
from segdistill.inference.animation import write_frames


def grey_frames(count: int, size: tuple[int, int] = (33, 17)) -> list[Image.Image]:
    """Return frames that grow lighter by 16 each."""
    return [Image.new("RGB", size, (16 * number,) * 3) for number in range(count)]


def test_a_video_shows_each_frame_in_its_turn(tmp_path: Path) -> None:
    write_frames(tmp_path / "a.mp4", grey_frames(12), 100)
    with av.open(str(tmp_path / "a.mp4")) as container:
        decoded = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert [time for time, _ in decoded] == pytest.approx([0.1 * number for number in range(12)])
    for number, (_, pixels) in enumerate(decoded):
        assert pixels.shape == (18, 34, 3)
        # The side that was made even is filled with its neighbour, so nothing else is seen there.
        np.testing.assert_allclose(pixels, 16 * number, atol=4)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_one_frame_is_enough(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.gif"):
        write_frames(tmp_path / name, grey_frames(1), 80)
        assert (tmp_path / name).stat().st_size > 0


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("before")
    with pytest.raises(ValueError, match="shape"):
        write_frames(tmp_path / "a.mp4", [Image.new("L", (8, 8))], 80)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
    with pytest.raises(UserError, match="a file exists where"):
        write_frames(tmp_path / "a.mp4" / "b.mp4", grey_frames(2), 80)
