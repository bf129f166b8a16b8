"""Images and outputs at URLs give what those on this machine give."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers import write_striped_folder
from tests.model.test_segmenter import tiny_segmenter

from segdistill import extract_features, fetch_images, segment
from segdistill.api import extracting as extracting_module
from segdistill.api import segmenting as segmenting_module
from segdistill.decoding.decode import UnreadableImageError
from segdistill.engines import running, staging
from segdistill.errors import UserError
from segdistill.images.finding import output_names
from segdistill.inference import feature_maps
from segdistill.inference.plan import OverwritePolicy, find_sources, plan_outputs
from segdistill.model.segmenter import Segmenter
from segdistill.storage import LocalFolder, RemoteFolder


@pytest.fixture
def segmenter() -> Segmenter:
    return tiny_segmenter()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_striped_folder(tmp_path / "photos", 9)
    (tmp_path / "photos" / "broken.jpg").write_text("dear")
    return tmp_path / "photos"


@pytest.fixture
def bucket(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The photos in an object store; several chunks of them."""
    monkeypatch.setattr(staging, "CHUNK", 4)
    system = fsspec.filesystem("memory")
    system.put(str(photos), "/bucket/photos", recursive=True)
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


def content(place: str | Path) -> dict[str, bytes]:
    """Return the files of a folder, wherever it is."""
    if isinstance(place, Path):
        return {
            path.relative_to(place).as_posix(): path.read_bytes()
            for path in place.rglob("*")
            if path.is_file()
        }
    system, root = fsspec.core.url_to_fs(place)
    return {name: system.cat_file(f"{root}/{name}") for name in RemoteFolder(place).names()}


@pytest.mark.parametrize("far", [(True, True), (True, False), (False, True)])
def test_masks_are_the_same_wherever_things_lie(
    segmenter: Segmenter, photos: Path, bucket: str, tmp_path: Path, far: tuple[bool, bool]
) -> None:
    usual = segment(segmenter, photos, tmp_path / "usual", overlay=True, scores=True)
    source: str | Path = f"{bucket}/photos" if far[0] else photos
    out: str | Path = f"{bucket}/masks" if far[1] else tmp_path / "masks"
    done = segment(segmenter, source, out, overlay=True, scores=True)
    assert (done.written, done.kept, str(done.folder)) == (9, 0, str(out))
    assert content(out) == content(tmp_path / "usual")
    assert len(done.skipped) == len(usual.skipped) == 1
    where = f"{bucket}/photos/broken.jpg" if far[0] else str(photos / "broken.jpg")
    assert done.skipped[0].reason == f"{where}: not an image that can be decoded"
    with pytest.raises(UnreadableImageError, match="broken"):
        segment(segmenter, source, out, strict=True, overwrite=True)


def test_what_is_there_is_kept_or_replaced_only_if_asked(segmenter: Segmenter, bucket: str) -> None:
    out = f"{bucket}/masks"
    segment(segmenter, f"{bucket}/photos", out)
    before = content(out)
    with pytest.raises(UserError, match=f"{out}: 9 of 10 masks already exist; add --resume"):
        segment(segmenter, f"{bucket}/photos", out)
    system = fsspec.filesystem("memory")
    system.rm("/bucket/masks/picture_0.png")
    done = segment(segmenter, f"{bucket}/photos", out, resume=True)
    assert (done.written, done.kept) == (1, 8)
    assert content(out) == before
    # An overlay that is missing makes its mask missing, too.
    done = segment(segmenter, f"{bucket}/photos", out, resume=True, overlay=True)
    assert (done.written, done.kept) == (9, 0)
    done = segment(segmenter, f"{bucket}/photos", out, overwrite=True)
    assert (done.written, done.kept) == (9, 0)
    with pytest.raises(UserError, match="would be overwritten; choose another --out"):
        segment(segmenter, f"{bucket}/photos", f"{bucket}/photos")


def test_a_break_loses_at_most_the_files_at_work(
    segmenter: Segmenter, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = RemoteFolder.send
    sent = []

    def break_off(self: RemoteFolder, path: Path, name: str) -> None:
        send(self, path, name)
        sent.append(name)
        if len(sent) == 6:
            raise UserError("the net is gone")

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "send", break_off)
        with pytest.raises(UserError, match="the net is gone"):
            segment(segmenter, f"{bucket}/photos", f"{bucket}/masks")
    there = [name for name in content(f"{bucket}/masks") if name.endswith(".png")]
    assert 5 <= len(there) <= 8
    done = segment(segmenter, f"{bucket}/photos", f"{bucket}/masks", resume=True)
    assert (done.written, done.kept) == (9 - len(there), len(there))


def test_masks_among_the_images_are_no_images(
    segmenter: Segmenter, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = f"{bucket}/photos/masks"

    def killed(*arguments: Any, **more: Any) -> Iterator[Any]:
        yield from running.run_work(*arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(segmenting_module, "run_work", killed)
        with pytest.raises(KeyboardInterrupt):
            segment(segmenter, f"{bucket}/photos", out)
    assert len(content(out)) == 10
    done = segment(segmenter, f"{bucket}/photos", out, resume=True)
    assert (done.written, done.kept, len(done.skipped)) == (0, 9, 1)
    # Nine masks, classes.json and images.csv.
    assert len(content(out)) == 11
    done = segment(segmenter, f"{bucket}/photos", f"{bucket}/elsewhere")
    assert done.written == 9


@pytest.mark.parametrize("spelt", ["/photos/", "/photos/*.png", "/photos"])
@pytest.mark.parametrize("out", ["/photos", ""])
def test_masks_may_lie_beside_and_above(
    segmenter: Segmenter, bucket: str, spelt: str, out: str
) -> None:
    system = fsspec.filesystem("memory")
    for path in system.find("/bucket/photos"):
        if path.endswith(".png"):  # so that masks bear other names
            system.mv(path, path.replace(".png", ".PNG"))
    source = bucket + spelt.replace(".png", ".PNG")
    done = segment(segmenter, source, bucket + out)
    assert done.written == (8 if spelt.endswith(".png") else 9)


@pytest.mark.parametrize("far", [False, True])
def test_masks_of_another_run_are_not_added_to(
    segmenter: Segmenter, photos: Path, bucket: str, tmp_path: Path, *, far: bool
) -> None:
    out: str | Path = f"{bucket}/masks" if far else tmp_path / "masks"
    segment(segmenter, photos, out)
    with pytest.raises(
        UserError, match="existing masks have 3 classes, the run has 5; add --overw"
    ):
        segment(tiny_segmenter(classes=5), photos, out, resume=True)


def test_a_damaged_mask_is_made_again(segmenter: Segmenter, bucket: str) -> None:
    segment(segmenter, f"{bucket}/photos", f"{bucket}/masks")
    before = content(f"{bucket}/masks")
    fsspec.filesystem("memory").pipe_file("/bucket/masks/picture_0.png", b"half")
    done = segment(segmenter, f"{bucket}/photos", f"{bucket}/masks", resume=True)
    assert (done.written, done.kept) == (1, 8)
    assert content(f"{bucket}/masks") == before


def test_images_are_never_replaced(
    photos: Path,
) -> None:
    (photos.parent / "alias").symlink_to(photos)
    (photos.parent / "x").mkdir()
    images = find_sources([photos])
    for out in (photos, photos.parent / "x" / ".." / "photos", photos.parent / "alias"):
        with pytest.raises(UserError, match="would be overwritten; choose another --out"):
            plan_outputs(
                images,
                [[[name]] for name in output_names(images)],
                LocalFolder(out),
                OverwritePolicy(overwrite=True, resume=False),
                summaries=["classes.json"],
                kind="masks",
            )


def test_outputs_behind_a_link_are_seen(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "more").symlink_to(tmp_path / "big")
    images = [image for image in find_sources([photos]) if image.name.parts[0] == "more"]
    (tmp_path / "big" / images[0].name.name).write_text("dear")
    (tmp_path / "out" / "classes.json").write_text('[{"colour": 0}]')
    plan = plan_outputs(
        images,
        [[[name]] for name in output_names(images)],
        LocalFolder(tmp_path / "out"),
        OverwritePolicy(overwrite=False, resume=True),
        summaries=["classes.json"],
        kind="masks",
    )
    assert [item.output for item in plan.kept] == [images[0].name.as_posix()]


def test_a_full_disk_ends_the_work(
    segmenter: Segmenter, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", full)
    with pytest.raises(UserError, match="the disk is full"):
        segment(segmenter, f"{bucket}/photos", f"{bucket}/masks")
    with pytest.raises(UserError, match="the disk is full"):
        fetch_images(f"{bucket}/photos", "few")


def test_two_sources_must_not_meet(segmenter: Segmenter, photos: Path, bucket: str) -> None:
    with pytest.raises(UserError, match="both would be written as"):
        segment(segmenter, [photos, f"{bucket}/photos"], "masks")
    done = segment(segmenter, [photos / "picture_1.png", f"{bucket}/photos/picture_0.png"],
                   f"{bucket}/two")  # fmt: skip
    assert done.written == 2


def test_paths_may_be_written_as_urls(
    segmenter: Segmenter, photos: Path, bucket: str, tmp_path: Path
) -> None:
    done = segment(segmenter, photos.as_uri(), (tmp_path / "masks").as_uri())
    assert (done.written, done.folder) == (9, tmp_path / "masks")
    assert segment(segmenter, photos.as_uri(), f"{bucket}/masks").written == 9
    assert segment(segmenter, "MEMORY://bucket/photos", "memory://bucket/again").written == 9


def test_videos_far_away_are_told(segmenter: Segmenter, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    for source, out in ((f"{bucket}/clip.mp4", "masks"), (tmp_path / "clip.mp4", f"{bucket}/x")):
        with pytest.raises(UserError, match="videos need a local file, a local --out"):
            segment(segmenter, source, out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": True}, "--video: needs local frames"),
        ({"smooth": 0.5}, "--smooth: only for videos"),
        ({"engine": "ray"}, "memory://bucket/photos: only in the memory of this process"),
        ({"engine": "dask"}, "--engine dask: must be local or ray"),
        ({"workers": 2}, "--workers: only for --engine ray"),
        ({"engine": "ray", "workers": 0}, "--workers 0: must be at least 1"),
    ],
)
def test_mistakes_are_told(
    segmenter: Segmenter, bucket: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        segment(segmenter, f"{bucket}/photos", f"{bucket}/masks", **changes)


def test_workers_load_runs_from_folders(segmenter: Segmenter, photos: Path) -> None:
    with pytest.raises(UserError, match="--engine ray: workers load the model themselves"):
        segment(segmenter, photos, "masks", engine="ray")


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter) -> None:
    monkeypatch.setattr(feature_maps, "load_backbone", lambda _name="": segmenter.backbone)
    monkeypatch.setattr(extracting_module, "DEFAULT_BACKBONE", "tiny")


@pytest.mark.usefixtures("_tiny")
def test_features_are_the_backbones(
    segmenter: Segmenter, photos: Path, bucket: str, tmp_path: Path
) -> None:
    done = extract_features(f"{bucket}/photos", f"{bucket}/maps", resolution=64)
    assert (done.written, done.channels, done.stride) == (9, 6, 8)
    extract_features(photos, tmp_path / "maps", resolution=64)
    assert content(f"{bucket}/maps") == content(tmp_path / "maps")
    about = json.loads((tmp_path / "maps" / "features.json").read_text())
    assert (about["kind"], about["resolution"], about["maps"]) == ("features", 64, 9)
    for path in sorted(photos.rglob("*.png")):
        name = path.relative_to(photos).with_suffix(".npy")
        found = np.load(tmp_path / "maps" / name)
        pixels = segmenter.viewed(np.array(Image.open(path).convert("RGB")))
        images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
        expected = segmenter.backbone(images)[0].permute(1, 2, 0)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("_tiny")
def test_codes_are_the_runs(
    segmenter: Segmenter, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmenter, "load", lambda *_args, **_more: segmenter)
    run = tmp_path / "run"
    segmenter.save(run)
    done = extract_features(photos, tmp_path / "codes", run=run, precision="32-true")
    assert (done.written, done.channels) == (9, 5)
    path = photos / "picture_0.png"
    expected = segmenter.grid_codes(np.array(Image.open(path).convert("RGB")))[0]
    found = np.load(tmp_path / "codes" / "picture_0.npy")
    np.testing.assert_allclose(found, expected.permute(1, 2, 0).numpy(), rtol=1e-3, atol=1e-3)
    with pytest.raises(UserError, match="9 of 10 maps already exist; add --resume"):
        extract_features(photos, tmp_path / "codes", run=run)
    again = extract_features(photos, tmp_path / "codes", run=run, resume=True)
    assert (again.written, again.kept, len(again.skipped)) == (0, 9, 1)
    (tmp_path / "codes" / "picture_0.npy").unlink()
    with pytest.raises(UserError, match="existing maps have another resolution"):
        extract_features(photos, tmp_path / "codes", run=run, resume=True, resolution=96)
    with pytest.raises(UserError, match="existing maps have another kind and model"):
        extract_features(photos, tmp_path / "codes", resume=True, resolution=64)
    (tmp_path / "codes" / "features.json").unlink()
    with pytest.raises(UserError, match="contains files other than maps"):
        extract_features(photos, tmp_path / "codes", run=run, resume=True)


def test_a_sample_is_copied(bucket: str, photos: Path, tmp_path: Path) -> None:
    done = fetch_images(f"{bucket}/photos", tmp_path / "few", images=4)
    assert (done.found, done.copied, done.kept, done.failed) == (10, 4, 0, [])
    few = content(tmp_path / "few")
    everything = content(photos)
    assert len(few) == 4
    assert few.items() <= everything.items()
    next(iter((tmp_path / "few").rglob("*.png"))).unlink()
    again = fetch_images(f"{bucket}/photos", tmp_path / "few", images=6)
    assert (again.copied, again.kept) == (3, 3)
    assert few.items() <= content(tmp_path / "few").items()
    other = fetch_images(photos, tmp_path / "other", images=4, seed=1)
    assert other.copied == 4
    assert content(tmp_path / "other") != few
    for _ in range(2):
        inside = fetch_images(photos, photos / "few", images=4)
        assert (inside.found, inside.copied + inside.kept) == (10, 4)
    with pytest.raises(UserError, match="give a local folder"):
        fetch_images(f"{bucket}/photos", f"{bucket}/copy")
