"""``segdistill correspond`` as a user runs it."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Run
from tests.helpers import striped_image, write_run_stub

from segdistill.inference import correspondences, video_writer


def test_a_picture_and_a_gif(
    photos: Path, fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correspondences, "FRAMES", 4)
    pictures = [photos / "picture_0.png", photos / "picture_1.png"]
    arguments = ["correspond", fitted, *pictures, "--point", "10,5", "--animation", "moved.gif"]
    status, out, error = segdistill(*arguments)
    assert status == 0, error
    assert "moved.gif" in out
    with Image.open("moved.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 4
    with Image.open("correspondences.png") as picture:
        assert picture.size == (908, 652)
    status, _, error = segdistill(*arguments)
    assert status == 2
    assert "correspondences.png: already exists; add --overwrite" in error
    status, _, error = segdistill(*arguments, "--out", "new.png")
    assert status == 2
    assert "moved.gif: already exists; add --overwrite or choose another --animation" in error
    before = Path("correspondences.png").read_bytes()
    assert segdistill("correspond", fitted, pictures[0], "--overwrite")[0] == 0
    assert Path("correspondences.png").read_bytes() != before


@pytest.mark.parametrize("codecs", [("libx264", "mpeg4"), ("missing", "mpeg4")])
def test_a_video_plays_everywhere(
    photos: Path,
    fitted: Path,
    segdistill: Run,
    monkeypatch: pytest.MonkeyPatch,
    codecs: tuple[str, str],
) -> None:
    monkeypatch.setattr(video_writer, "VIDEO_CODECS", codecs)
    monkeypatch.setattr(correspondences, "FRAMES", 6)
    # Drawn 300 pixels high this is 445 wide: with the first of 450 and a gap of 8 an odd width.
    Image.fromarray(striped_image(1, 64, 95)).save("odd.png")
    status, _, error = segdistill(
        *("correspond", fitted, photos / "picture_0.png", "odd.png", "--animation", "moved.MP4")
    )
    assert status == 0, error
    with av.open("moved.MP4") as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == ("h264" if "libx264" in codecs else "mpeg4")
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (904, 652)
        assert stream.average_rate == 12.5
    assert len(frames) == 6
    # The animation has content, and it moves.
    assert np.abs(frames[0].astype(float) - frames[3]).mean() > 1
    assert {path.name for path in Path().glob("*moved*")} == {"moved.MP4"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--animation", "moved.avi"], "moved.avi: must end in .gif or .mp4"),
        (["--animation", "moved.mp4"], "needs PyAV; run pip install"),
        (["--out", "picture.jpg"], "must end with .png"),
        (["--animate"], "did you mean --animation?"),
        (["nowhere.png"], "nowhere.png: no such file"),
    ],
)
def test_mistakes_are_reported_before_a_model_loads(
    photos: Path,
    segdistill: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    write_run_stub(Path("run"))
    status, out, error = segdistill("correspond", "run", photos / "picture_0.png", *arguments)
    assert (status, out) == (2, "")
    assert message in error
    assert not list(Path().glob("*moved*"))
