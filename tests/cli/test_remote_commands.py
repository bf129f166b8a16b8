"""`features` and `fetch` as a user runs them, and URLs given to other commands."""

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from tests.cli.conftest import Run

from segdistill.errors import missing_extra


@pytest.fixture
def bucket(photos: Path) -> Iterator[str]:
    system = fsspec.filesystem("memory")
    system.put(str(photos), "/far/photos", recursive=True)
    yield "memory://far"
    system.rm("/far", recursive=True)


def test_features_of_a_folder(photos: Path, segdistill: Run) -> None:
    command = ("features", photos, "--backbone", "tiny", "--resolution", 64, "--quiet")
    status, out, error = segdistill(*command)
    assert status == 0, error
    assert out == "Maps:    6 written to features/photos\nAbout:   features/photos/features.json\n"
    assert np.load("features/photos/picture_0.npy").shape == (8, 12, 6)
    status, _, error = segdistill(*command)
    assert status == 2
    assert "features/photos: all 6 maps already exist; add --overwrite" in error
    Path("features/photos/picture_0.npy").unlink()
    status, out, _ = segdistill(*command, "--resume")
    assert status == 0
    assert "1 written to features/photos, 5 already existed" in out


def test_codes_of_a_run(fitted: Path, bucket: str, segdistill: Run) -> None:
    status, out, error = segdistill(
        "features", f"{bucket}/photos", "--run", fitted, "--out", "codes", "--quiet"
    )
    assert status == 0, error
    assert "6 written to codes" in out
    about = Path("codes/features.json").read_text()
    assert '"kind": "codes"' in about


def test_masks_are_written_to_a_url(fitted: Path, bucket: str, segdistill: Run) -> None:
    status, out, error = segdistill(
        "segment", fitted, f"{bucket}/photos", "--out", f"{bucket}/masks", "--quiet"
    )
    assert status == 0, error
    assert out == (
        f"Masks:   6 written to {bucket}/masks\n"
        f"Classes: {bucket}/masks/classes.json, with their shares of these masks\n"
    )
    status, out, error = segdistill("segment", fitted, f"{bucket}/photos", "--quiet")
    assert status == 0, error
    assert "6 written to masks/photos" in out


def test_a_sample_can_be_fitted_on(bucket: str, segdistill: Run, tmp_path: Path) -> None:
    status, out, error = segdistill("fetch", f"{bucket}/photos", "sample", "--images", 4, "--quiet")
    assert status == 0, error
    assert out == "Images:  4 of 6 copied to sample\nNext:    segdistill fit sample\n"
    assert len(list((tmp_path / "sample").rglob("*.png"))) == 4
    status, out, _ = segdistill("fetch", f"{bucket}/photos", "sample", "--images", 6, "--quiet")
    assert status == 0
    assert "2 of 6 copied to sample, 4 already existed" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "s3://bucket/photos"], "a URL; copy images from there first: `segdistill fetch"),
        (["fetch", "memory://nowhere", "out"], "memory://nowhere: no images found there"),
        (["fetch", "photos", "out", "--images", "0"], "--images 0: must be at least 1"),
        (["fetch", "nowhere", "out"], "nowhere: no such file or folder"),
        (["features", "photos", "--engine", "spark"], "--engine spark: must be one of"),
        (["features", "photos", "--workers", "2"], "--workers: only for --engine ray"),
        (["features", "photos", "--resolution", "8"], "--resolution 8: must be from 32 to 8192"),
        (["features", "nowhere"], "nowhere: no such file or folder"),
        (["features", "photos", "--backbone", "giant"], "giant"),
        (["features", "photos", "--run", "photos"], "--run photos: not a run folder"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_mistakes_are_reported(segdistill: Run, arguments: list[str], message: str) -> None:
    status, out, error = segdistill(*arguments)
    assert (status, out) == (2, "")
    assert message in error


def test_without_ray_the_fix_is_suggested(
    fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, error = segdistill("segment", fitted, "photos", "--engine", "ray")
    assert status == 2
    assert f"--engine ray: {missing_extra('Ray', 'ray')}" in error
