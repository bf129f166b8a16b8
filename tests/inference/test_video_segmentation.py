"""Segmented videos: a mask a frame, overlays that run as videos do, and going on after a break."""

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.inference.videos import read_video, striped_frames, write_video
from tests.model.test_segmenter import tiny_segmenter

from segdistill import segment
from segdistill.decoding.pictures import Picture
from segdistill.decoding.video import Video, open_video
from segdistill.errors import UserError
from segdistill.inference.frame_sequences import Frame
from segdistill.inference.options import MaskOptions
from segdistill.inference.video_segmentation import _planned
from segdistill.model.segmenter import Segmenter


@pytest.fixture
def segmenter() -> Segmenter:
    return tiny_segmenter(head=False, classes=12)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", striped_frames(24))


def masks_of(folder: Path) -> dict[str, NDArray[np.uint8]]:
    return {path.name: np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def flicker(masks: dict[str, NDArray[np.uint8]]) -> float:
    each = list(masks.values())
    return float(np.mean([(a != b).mean() for a, b in pairwise(each)]))


def test_every_frame_gets_a_mask(tmp_path: Path, clip: Path, segmenter: Segmenter) -> None:
    done = segment(segmenter, clip, tmp_path / "masks", smooth=0.0)
    assert (done.written, done.kept, done.skipped) == (24, 0, [])
    masks = masks_of(tmp_path / "masks")
    assert next(iter(masks)) == "frame_000001.png"
    assert list(masks)[-1] == "frame_000024.png"
    for (_, pixels), mask in zip(read_video(clip), masks.values(), strict=True):
        np.testing.assert_array_equal(mask, segmenter.segment(pixels))
    classes = json.loads((tmp_path / "masks/classes.json").read_text())
    assert sum(each["pixels"] for each in classes) == 24 * 64 * 96


def test_labels_are_steadier(tmp_path: Path, clip: Path, segmenter: Segmenter) -> None:
    for name, smooth in (("raw", 0.0), ("usual", None), ("more", 0.9)):
        segment(segmenter, clip, tmp_path / name, smooth=smooth)
    raw, usual, more = (flicker(masks_of(tmp_path / name)) for name in ("raw", "usual", "more"))
    assert raw > 0.005
    assert more < usual < 0.8 * raw


def test_the_overlay_runs_as_the_video_does(tmp_path: Path, segmenter: Segmenter) -> None:
    times = [0, 1, 2, 4, 8, 9, 10, 13]
    clip = write_video(tmp_path / "clip.mp4", striped_frames(8, 66, 98), times=times)
    segment(segmenter, clip, tmp_path / "masks", overlay=True)
    video = read_video(tmp_path / "masks/clip.overlay.mp4")
    assert [time for time, _ in video] == pytest.approx([time / 10 for time in times], abs=1e-3)
    colours = np.array([each.colour for each in segmenter.classes], np.float64)
    source = read_video(clip)
    for (_, pixels), (_, before), mask in zip(
        video, source, masks_of(tmp_path / "masks").values(), strict=True
    ):
        assert pixels.shape == (66, 98, 3)
        expected = 0.45 * before + 0.55 * colours[mask]
        assert np.abs(pixels - expected).mean() < 15


@pytest.mark.parametrize("every", [3, 5])
def test_one_frame_in_so_many(tmp_path: Path, clip: Path, segmenter: Segmenter, every: int) -> None:
    segment(segmenter, clip, tmp_path / "masks", every=every, overlay=True)
    numbers = [int(name[6:12]) for name in masks_of(tmp_path / "masks")]
    assert numbers == list(range(1, 25, every))
    video = read_video(tmp_path / "masks/clip.overlay.mp4")
    assert [time for time, _ in video] == pytest.approx([(n - 1) / 10 for n in numbers], abs=1e-3)


def test_going_on_gives_what_an_unbroken_run_gives(
    tmp_path: Path, clip: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment(segmenter, clip, tmp_path / "whole", overlay=True)
    whole = masks_of(tmp_path / "whole")
    scores_of = Segmenter.scores_of_viewed
    seen = []

    def broken_off(self: Segmenter, images: list[NDArray[np.uint8]], **kind: bool) -> torch.Tensor:
        seen.extend(images)
        if len(seen) > 18 and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        return scores_of(self, images, **kind)

    segmenter.budget.pixels = 1
    monkeypatch.setattr(Segmenter, "scores_of_viewed", broken_off)
    with pytest.raises(KeyboardInterrupt):
        segment(segmenter, clip, tmp_path / "masks", overlay=True)
    begun = len(masks_of(tmp_path / "masks"))
    assert 8 < begun < 24
    assert not (tmp_path / "masks/clip.overlay.mp4").exists()
    with pytest.raises(UserError, match=f"{begun} masks of frames already exist; add --resume"):
        segment(segmenter, clip, tmp_path / "masks", overlay=True)
    (tmp_path / "again").mkdir()
    seen.clear()
    done = segment(segmenter, clip, tmp_path / "masks", overlay=True, resume=True)
    assert (done.written, done.kept) == (24 - begun, begun)
    # Only what an average still remembers is evaluated once more.
    assert len(seen) == min(24, 24 - begun + 10)
    for name, mask in masks_of(tmp_path / "masks").items():
        assert (mask != whole[name]).mean() < 0.01
    assert len(read_video(tmp_path / "masks/clip.overlay.mp4")) == 24
    assert (tmp_path / "masks/classes.json").exists()
    seen.clear()
    done = segment(segmenter, clip, tmp_path / "masks", overlay=True, resume=True)
    assert (done.written, done.kept, seen) == (0, 24, [])


def test_going_on_writes_scores_that_are_missing(tmp_path: Path, segmenter: Segmenter) -> None:
    clip = write_video(tmp_path / "clip.mp4", striped_frames(4))
    whole, masks = tmp_path / "whole", tmp_path / "masks"
    segment(segmenter, clip, whole, scores=True)
    segment(segmenter, clip, masks)
    done = segment(segmenter, clip, masks, scores=True, resume=True)
    assert (done.written, done.kept) == (4, 0)
    (masks / "frame_000002.scores.npy").unlink()
    done = segment(segmenter, clip, masks, scores=True, resume=True)
    assert (done.written, done.kept) == (1, 3)
    for path in whole.glob("*.scores.npy"):
        np.testing.assert_array_equal(np.load(masks / path.name), np.load(path))
    assert len(list(masks.glob("*.scores.npy"))) == 4


def test_going_on_holds_few_frames_however_strong_the_smoothing(tmp_path: Path) -> None:
    there = tmp_path / "frame.png"
    there.touch()
    taken = 0

    def frames() -> Iterator[Frame]:
        nonlocal taken
        for taken in range(1, 501):
            yield Frame(there, lambda: Picture(np.zeros((1, 1, 3), np.uint8)), taken)

    for smooth, most in ((0.0, 0), (0.7, 10), (0.99, 30), (0.999999, 30)):
        planned = _planned(frames(), MaskOptions(smooth=smooth, resume=True))
        assert next(planned)[1:] == (False, False)
        assert taken == most + 1
        planned = _planned(frames(), MaskOptions(smooth=smooth))
        next(planned)
        assert taken == 1


def test_overwriting_leaves_nothing_of_a_longer_video(
    tmp_path: Path, clip: Path, segmenter: Segmenter
) -> None:
    masks = tmp_path / "masks"
    segment(segmenter, clip, masks, overlay=True, scores=True)
    own = masks / "frame_000003-corrected.png"
    own.write_bytes((masks / "frame_000003.png").read_bytes())
    short = write_video(tmp_path / "short/clip.mp4", striped_frames(3))
    segment(segmenter, short, masks, overwrite=True)
    names = [f"frame_{number:06d}.png" for number in (1, 2, 3)]
    assert {path.name for path in masks.iterdir()} == {*names, own.name, "classes.json"}
    # Frames that nobody segmented are not masks.
    for number in (1, 2, 9):
        path = tmp_path / "frames" / f"frame_{number:06d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(UserError, match=r"files other than masks, such as frame_000001\.png"):
        segment(segmenter, short, tmp_path / "frames", overwrite=True)
    assert (tmp_path / "frames/frame_000009.png").exists()


def test_overwriting_begins_with_the_first_result(
    tmp_path: Path, clip: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = tmp_path / "masks"
    segment(segmenter, clip, masks, overlay=True)
    before = {path.name for path in masks.iterdir()}
    broken = write_video(tmp_path / "broken/clip.mp4", striped_frames(3))
    monkeypatch.setattr(Video, "__iter__", lambda _: iter(()))
    with pytest.raises(UserError, match="no frame can be decoded"):
        segment(segmenter, broken, masks, overwrite=True)
    assert {path.name for path in masks.iterdir()} == before


def test_folders_of_frames_are_videos_if_asked(tmp_path: Path, segmenter: Segmenter) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, pixels in enumerate(striped_frames(12)):
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    (folder / "005b.jpg").write_text("dear")
    segment(segmenter, folder, tmp_path / "plain")
    done = segment(segmenter, folder, tmp_path / "video", video=True, overlay=True)
    assert (done.written, len(done.skipped)) == (12, 1)
    assert "005b.jpg" in done.skipped[0].reason
    assert set(masks_of(tmp_path / "video")) == set(masks_of(tmp_path / "plain"))
    assert flicker(masks_of(tmp_path / "video")) < flicker(masks_of(tmp_path / "plain"))
    video = read_video(tmp_path / "video/video.overlay.mp4")
    assert [time for time, _ in video] == pytest.approx(
        [n / 25 for n in [*range(6), *range(7, 13)]]
    )


def test_videos_beside_other_sources(tmp_path: Path, clip: Path, segmenter: Segmenter) -> None:
    Image.fromarray(striped_frames(1)[0]).save(tmp_path / "a.png")
    other = write_video(tmp_path / "other/next.mkv", striped_frames(2))
    done = segment(segmenter, [clip, other, tmp_path / "a.png"], tmp_path / "masks")
    assert done.written == 24 + 2 + 1
    found = sorted(path.parent.name for path in (tmp_path / "masks").rglob("classes.json"))
    assert found == ["clip", "masks", "next"]
    again = write_video(tmp_path / "more/clip.mkv", striped_frames(2))
    with pytest.raises(UserError, match="two have the same name"):
        segment(segmenter, [clip, again], tmp_path / "two")


def test_mistakes_are_told(tmp_path: Path, clip: Path, segmenter: Segmenter) -> None:
    Image.fromarray(striped_frames(1)[0]).save(tmp_path / "a.png")
    for wrong in ({"every": 2}, {"smooth": 0.5}):
        with pytest.raises(UserError, match="only for videos; add --video"):
            segment(segmenter, tmp_path / "a.png", tmp_path / "masks", **wrong)
    for wrong in ({"every": 0}, {"smooth": 1.0}, {"smooth": -0.1}):
        with pytest.raises(UserError, match="must be"):
            segment(segmenter, clip, tmp_path / "masks", **wrong)
    clip.write_bytes(clip.read_bytes()[:200])
    with pytest.raises(UserError, match=r"clip\.mp4: cannot be read"):
        segment(segmenter, clip, tmp_path / "masks")


def test_without_a_frame_there_is_no_overlay(tmp_path: Path, segmenter: Segmenter) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_text("dear")
    done = segment(segmenter, folder, tmp_path / "masks", video=True, overlay=True)
    assert (done.written, len(done.skipped)) == (0, 2)
    assert not (tmp_path / "masks").exists()


def test_the_overlay_has_the_shape_of_the_pixels(tmp_path: Path, segmenter: Segmenter) -> None:
    path = write_video(tmp_path / "a.mp4", striped_frames(2), pixel_aspect=Fraction(16, 11))
    segment(segmenter, path, tmp_path / "masks", overlay=True)
    with open_video(tmp_path / "masks/a.overlay.mp4") as video:
        assert video.pixel_aspect == Fraction(16, 11)


def test_frames_of_another_run_are_not_added_to(
    tmp_path: Path, clip: Path, segmenter: Segmenter
) -> None:
    segment(segmenter, clip, tmp_path / "masks")
    (tmp_path / "masks" / "frame_000003.png").unlink()
    with pytest.raises(UserError, match="existing masks have 12 classes, the run has 5"):
        segment(tiny_segmenter(classes=5), clip, tmp_path / "masks", resume=True)
