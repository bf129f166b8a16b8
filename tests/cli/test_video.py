"""Videos from the command line."""

from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.inference.videos import striped_frames, write_video


@pytest.fixture
def clip(fitted: Path) -> Path:
    return write_video(fitted.parents[1] / "videos" / "clip.mp4", striped_frames(6))


def test_a_video_gives_masks_and_an_overlay(fitted: Path, clip: Path, segdistill: Run) -> None:
    status, out, error = segdistill("segment", fitted, clip, "--overlay", "--quiet")
    assert status == 0, error
    assert out == (
        "Masks:   6 written to masks/clip\n"
        "Classes: masks/clip/classes.json, with their shares of these masks\n"
    )
    found = sorted(path.name for path in Path("masks/clip").iterdir())
    frames = [f"frame_{number:06d}.png" for number in range(1, 7)]
    assert found == ["classes.json", "clip.overlay.mp4", *frames]
    status, _, error = segdistill("segment", fitted, clip)
    assert status == 2
    assert "masks/clip: 6 masks of frames already exist; add --resume" in error
    Path("masks/clip/frame_000003.png").unlink()
    status, out, error = segdistill("segment", fitted, clip, "--resume", "--quiet")
    assert status == 0, error
    assert "1 written to masks/clip, 5 already existed" in out


def test_commands_without_video_support_say_what_to_use(
    fitted: Path, clip: Path, segdistill: Run
) -> None:
    for arguments in (
        ("fit", clip.parent),
        ("fit", clip),
        ("evaluate", fitted, "--images", clip.parent, "--labels", clip.parent),
        ("segment", fitted, clip.parent),
    ):
        status, _, error = segdistill(*arguments)
        assert status == 2
        assert "segment videos with `segdistill segment RUN VIDEO`" in error
        assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "--smooth", "0.5"], "--smooth: only for videos; add --video"),
        (["photos", "--every", "2"], "--every: only for videos; add --video"),
        (["videos/clip.mp4", "--every", "0"], "--every 0: must be at least 1"),
        (["videos/clip.mp4", "--smooth", "1"], "--smooth 1.0: must be from 0 to below 1"),
    ],
)
def test_mistakes_are_reported(
    fitted: Path, clip: Path, segdistill: Run, arguments: list[str], message: str
) -> None:
    status, out, error = segdistill("segment", fitted, *arguments)
    assert (status, out) == (2, "")
    assert message in error
    assert not Path("masks").exists()


def test_frames_of_a_folder_make_a_video(fitted: Path, segdistill: Run) -> None:
    status, out, error = segdistill("segment", fitted, "photos", "--video", "--overlay", "--quiet")
    assert status == 0, error
    assert "6 written to masks/photos" in out
    assert Path("masks/photos/photos.overlay.mp4").is_file()
    assert Path("masks/photos/more/picture_5.png").is_file()
