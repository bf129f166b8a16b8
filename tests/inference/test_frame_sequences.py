"""Videos: which frames they hold, and where their masks go."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.inference.videos import striped_frames, write_video

from segdistill.decoding.pictures import Picture
from segdistill.decoding.video import open_video
from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.inference.frame_sequences import (
    check_video_folder,
    check_video_options,
    frames_of_files,
    frames_of_video,
)
from segdistill.inference.options import MaskOptions


def test_the_frames_of_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mov", striped_frames(8))
    with open_video(path) as video:
        sequence = frames_of_video(video, tmp_path / "masks", every=3)
        frames = list(sequence.frames)
        assert sequence.video_format.rate == Fraction(10, 3)
        seconds = [float(frame.time * sequence.video_format.time_base) for frame in frames]
    assert sequence.count == 3
    assert sequence.overlay == tmp_path / "masks/clip.overlay.mp4"
    names = ["frame_000001.png", "frame_000004.png", "frame_000007.png"]
    assert [frame.mask for frame in frames] == [tmp_path / "masks" / name for name in names]
    assert seconds == pytest.approx([0.0, 0.3, 0.6])
    # Each frame is its own, long after others were decoded.
    first, last = frames[0].picture().pixels, frames[-1].picture().pixels
    assert np.abs(first.astype(int) - last).mean() > 1


def test_the_frames_of_files(tmp_path: Path) -> None:
    read = []

    def reader(file: ImageFile) -> Picture:
        read.append(file.path.name)
        return Picture(np.zeros((2, 2, 3), np.uint8))

    files = [ImageFile(tmp_path / f"{each}.jpg", Path(f"{each}.jpg")) for each in "abcde"]
    names = [file.name.with_suffix(".png") for file in files]
    video = frames_of_files(files, names, tmp_path / "masks", MaskOptions(every=2), reader)
    frames = list(video.frames)
    assert (video.count, video.overlay) == (3, tmp_path / "masks/masks.overlay.mp4")
    assert [(frame.mask.name, frame.time) for frame in frames] == [
        ("a.png", 0),
        ("c.png", 1),
        ("e.png", 2),
    ]
    assert video.video_format.rate == 1 / video.video_format.time_base == 25
    assert not read
    frames[1].picture()
    assert read == ["c.jpg"]


def test_only_videos_know_every_and_smooth() -> None:
    for wrong in (MaskOptions(every=2), MaskOptions(smooth=0.0)):
        with pytest.raises(UserError, match="only for videos; add --video"):
            check_video_options(wrong, videos=False)
        check_video_options(wrong, videos=True)
    check_video_options(MaskOptions(video=True, every=2, smooth=0.5), videos=False)
    check_video_options(MaskOptions(), videos=False)


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    check_video_folder(tmp_path, "clip", MaskOptions())
    for name in ("clip.overlay.mp4", "frame_000001.png"):
        (tmp_path / name).write_text("")
        for options in (MaskOptions(), MaskOptions(resume=True), MaskOptions(overwrite=True)):
            with pytest.raises(UserError, match=f"files other than masks, such as {name}; choose"):
                check_video_folder(tmp_path, "clip", options)
        (tmp_path / name).unlink()
    (tmp_path / "classes.json").write_text('[{"colour": 0}]')
    with pytest.raises(UserError, match=r"classes\.json: already exists; add --overwrite"):
        check_video_folder(tmp_path, "clip", MaskOptions())
    (tmp_path / "frame_000001.scores.npy").write_text("")
    (tmp_path / "frame_000001-corrected.png").write_text("")
    with pytest.raises(UserError, match=r"000001\.scores\.npy: already exists; add --overwrite"):
        check_video_folder(tmp_path, "clip", MaskOptions(scores=True))
    (tmp_path / "frame_000001.png").write_text("")
    with pytest.raises(UserError, match="1 mask of frames already exists; add --resume"):
        check_video_folder(tmp_path, "clip", MaskOptions())
    with pytest.raises(UserError, match="give only one"):
        check_video_folder(tmp_path, "clip", MaskOptions(overwrite=True, resume=True))
    check_video_folder(tmp_path, "clip", MaskOptions(resume=True))
