"""Written videos: colours and shapes that every player shows alike."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.inference.videos import striped_frames

from segdistill.inference import video_writer as writing
from segdistill.inference.video_writer import VideoFormat, video_writer

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [230, 230, 40]], np.uint8)


@pytest.mark.parametrize("side", [32, 400])
def test_colours_are_those_that_were_written(tmp_path: Path, side: int) -> None:
    """Whatever the size, by which players guess where a video does not say."""
    picture = np.repeat(np.broadcast_to(COLOURS, (side, 4, 3)), side, axis=1)
    shown = VideoFormat(Fraction(10), Fraction(1, 10), Fraction(4, 3))
    with video_writer(tmp_path / "a.mp4", shown) as writer:
        for time in range(3):
            writer.add(picture, time)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        context = stream.codec_context
        # BT.709, levels from 16.
        described = (context.colorspace, context.color_primaries, context.color_trc)
        assert (*described, context.color_range) == (1, 1, 1, 1)
        for frame in container.decode(stream):
            found = frame.to_ndarray(format="rgb24")[side // 2, side // 2 :: side]
            assert np.abs(found.astype(int) - COLOURS).max() < 8


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("time_base", [Fraction(1, 90_000), Fraction(1, 1_000_000)])
def test_times_are_kept_whatever_the_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, time_base: Fraction
) -> None:
    """MPEG-4 cannot count in so small units."""
    monkeypatch.setattr(writing, "VIDEO_CODECS", (codec,))
    seconds = [0.0, 1 / 30, 0.1, 0.5, 0.54]
    with video_writer(tmp_path / "a.mp4", VideoFormat(Fraction(30), time_base)) as writer:
        for picture, second in zip(striped_frames(5), seconds, strict=True):
            writer.add(picture, round(second / time_base))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == {"libx264": "h264"}.get(codec, codec)
        found = [frame.time for frame in container.decode(stream)]
    assert found == pytest.approx(seconds, abs=1e-4)


def test_frames_closer_than_a_unit_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "VIDEO_CODECS", ("mpeg4",))
    with video_writer(tmp_path / "a.mp4", VideoFormat(Fraction(30), Fraction(1, 90_000))) as writer:
        for time, picture in enumerate(striped_frames(3)):
            writer.add(picture, time)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == 3
