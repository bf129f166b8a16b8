"""Videos, decoded frame by frame."""

import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from tests.inference.videos import striped_frames, write_video

from segdistill.decoding.video import Video, missing_frames, open_video
from segdistill.errors import UserError
from segdistill.images.finding import find_images


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    frames = striped_frames(7)
    times = [0, 1, 2, 5, 6, 9, 10]
    with open_video(write_video(tmp_path / "a.mp4", frames, times=times)) as video:
        assert video.frames == 7
        decoded = list(video)
        seconds = [float(frame.time * video.time_base) for frame in decoded]
    assert [frame.number for frame in decoded] == list(range(1, 8))
    assert seconds == pytest.approx([time / 10 for time in times])
    for frame, expected in zip(decoded, frames, strict=True):
        assert np.abs(frame.pixels.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_frames_are_upright(tmp_path: Path, rotation: int) -> None:
    upright = striped_frames(1)[0]
    # Held on its side the camera writes what it sees, and by how much it is to be turned back.
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    with open_video(write_video(tmp_path / "a.mp4", [stored] * 2, rotation=rotation)) as video:
        for frame in video:
            assert frame.pixels.shape == upright.shape
            assert np.abs(frame.pixels.astype(int) - upright).mean() < 12


@pytest.mark.parametrize("across", [1, -1])
@pytest.mark.parametrize("down", [1, -1])
@pytest.mark.parametrize("swapped", [False, True])
def test_all_eight_orientations_are_upright(
    tmp_path: Path, across: int, down: int, swapped: bool
) -> None:
    upright = striped_frames(1)[0]
    upright[:24, :24] = 0  # tells a corner from the others
    # What is stored is shown upright by mirroring it, and exchanging rows and columns before.
    stored = upright[::down, ::across]
    stored = np.ascontiguousarray(stored.swapaxes(0, 1) if swapped else stored)
    a, b, c, d = (0, down, across, 0) if swapped else (across, 0, 0, down)
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    with open_video(write_video(tmp_path / "a.mp4", [stored] * 2, matrix=matrix)) as video:
        (first, *_) = video
    assert first.pixels.shape == upright.shape
    assert np.abs(first.pixels.astype(int) - upright).mean() < 12


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("mp4", r"a\.mp4: \d+ parts are damaged and were skipped"),
        # It continues where the next cluster begins, without an error.
        ("mkv", r"a\.mkv: about (2|3)\d frames are missing"),
    ],
)
def test_damage_in_the_middle_costs_some_frames_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str, told: str
) -> None:
    path = write_video(tmp_path / f"a.{ending}", striped_frames(60, 128, 192))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    with open_video(path) as video:
        found = sum(1 for _ in video)
    assert 5 < found < 60
    assert len(caplog.records) == 1
    assert re.search(told, caplog.text)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize(
    "times",
    [
        [0, 1, 2, 3, 9, 10, 17, 18, 30, 31, 32],
        # A last frame that is shown late.
        [*range(20), 60],
    ],
)
def test_frames_that_come_when_they_please_are_not_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str, times: list[int]
) -> None:
    path = write_video(tmp_path / f"a.{ending}", striped_frames(len(times)), times=times)
    with open_video(path) as video:
        assert sum(1 for _ in video) == len(times)
    assert not caplog.text


def test_frames_are_missing_only_where_the_rate_is_steady() -> None:
    assert missing_frames({}, 10) == 0
    assert missing_frames({9: 20, 10: 20, 11: 20}, 10) == 0
    # A dropped frame here and there is usual.
    assert missing_frames({10: 100, 20: 5}, 10) == 0
    assert missing_frames({10: 100, 72: 1, 310: 2}, 10) == 6 + 2 * 30
    assert missing_frames({10: 50, 40: 20, 310: 2}, 10) == 0


@pytest.mark.parametrize("part", ["open", "demux", "decode", "convert"])
@pytest.mark.parametrize("error", [av.error.PatchWelcomeError, av.error.DecoderNotFoundError])
def test_every_error_of_the_library_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: str,
    error: type[av.FFmpegError],
) -> None:
    """Some of them are neither OSError nor ValueError."""

    def broken(*_: object, **__: object) -> None:
        raise error(1, "not yet implemented")

    def packets(_: object) -> Iterator[SimpleNamespace]:
        if part == "demux":
            broken()
        yield packet

    path = write_video(tmp_path / "a.mp4", striped_frames(2))
    if part == "open":
        monkeypatch.setattr(av, "open", broken)
        with pytest.raises(UserError, match=r"a\.mp4: cannot be read as a video \(not yet"):
            open_video(path).__enter__()
        return
    frame = SimpleNamespace(pts=0, to_ndarray=broken)
    packet = SimpleNamespace(decode=broken if part == "decode" else lambda: [frame])
    stream = SimpleNamespace(average_rate=None, time_base=None, sample_aspect_ratio=None, frames=0)
    streams = SimpleNamespace(video=[stream])
    container = SimpleNamespace(streams=streams, start_time=None, duration=None, demux=packets)
    assert list(Video(path, container)) == []
    assert "1 parts are damaged" in caplog.text


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_video_that_was_cut_off_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    path = write_video(tmp_path / f"a.{ending}", striped_frames(60, 128, 192), faststart=True)
    with open_video(path) as video:
        assert sum(1 for _ in video) == 60
    assert not caplog.text
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with open_video(path) as video:
        assert 20 < sum(1 for _ in video) < 50
    assert re.search(
        r"ends after [2-4]\.\d of 6\.0 seconds; the file may be truncated", caplog.text
    )


def test_a_last_frame_may_be_shown_for_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "a.mp4", striped_frames(3), times=[0, 1, 80])
    with open_video(path) as video:
        assert [float(frame.time * video.time_base) for frame in video] == [0.0, 0.1, 8.0]
    assert not caplog.text


def test_clocks_that_count_on_from_before_begin_at_nought(tmp_path: Path) -> None:
    times = [36_000, 36_001, 36_005]
    path = write_video(tmp_path / "a.mkv", striped_frames(3), times=times)
    with open_video(path) as video:
        seconds = [float(frame.time * video.time_base) for frame in video]
    assert seconds == pytest.approx([0.0, 0.1, 0.5], abs=0.01)


def test_pixels_need_not_be_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", striped_frames(2), pixel_aspect=Fraction(4, 3))
    with open_video(path) as video:
        assert video.pixel_aspect == Fraction(4, 3)
    with open_video(write_video(tmp_path / "b.mp4", striped_frames(2))) as video:
        assert video.pixel_aspect == 1


def test_what_is_no_video_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_text("dear")
    with (
        pytest.raises(UserError, match=r"a\.mp4: cannot be read as a video"),
        open_video(tmp_path / "a.mp4"),
    ):
        pass
    monkeypatch.setitem(sys.modules, "av", None)
    with (
        pytest.raises(UserError, match=r"pip install .*\[video\]'"),
        open_video(tmp_path / "a.mp4"),
    ):
        pass


def test_folders_of_videos_tell_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.mp4").write_text("")
    (tmp_path / "b.MOV").write_text("")
    with pytest.raises(UserError, match=r"only 2 videos; .*ffmpeg -i VIDEO"):
        find_images(tmp_path)
    with pytest.raises(UserError, match=r"a\.mp4: a video, not an image"):
        find_images(tmp_path / "a.mp4")
    # Of a web site rather than of a recorder; a file that is named is meant.
    (tmp_path / "main.ts").write_text("")
    with pytest.raises(UserError, match=r"main\.ts: a video, not an image"):
        find_images(tmp_path / "main.ts")
    (tmp_path / "a.jpg").write_text("")
    assert len(find_images(tmp_path)) == 1
    assert "2 videos left out" in caplog.text
