"""HEIC through an extra, and AVIF through Pillow."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.corpus.images import scene

from segdistill.decoding import heif
from segdistill.decoding.decode import read_image
from segdistill.errors import UnreadableImageError, UserError
from segdistill.images import finding
from segdistill.images.finding import find_images


def write_heic(path: Path) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    Image.fromarray(scene()).save(path, format="HEIF", quality=95)
    return path


def test_heic_is_found_and_read(tmp_path: Path) -> None:
    path = write_heic(tmp_path / "phone.HEIC")
    assert [file.path for file in find_images(tmp_path)] == [path]
    assert np.abs(read_image(path).astype(int) - scene()).mean() < 12


def test_without_the_extra_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_heic(tmp_path / "phone.heic")
    for module in (heif, finding):
        monkeypatch.setattr(module, "has_heif", lambda: False)
    with pytest.raises(UserError, match=r"\.heic \(1\); .*for HEIC, pip install .*\[heif\]"):
        find_images(tmp_path)
    Image.fromarray(scene()).save(tmp_path / "a.png")
    assert [file.path.name for file in find_images(tmp_path)] == ["a.png"]
    assert "[heif]" in caplog.text
    with pytest.raises(UnreadableImageError, match=r"phone\.heic: needs pillow-heif; run pip"):
        read_image(path)


def test_avif_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(scene()).save(path, quality=95)
    assert [file.path for file in find_images(tmp_path)] == [path]
    assert np.abs(read_image(path).astype(int) - scene()).mean() < 12
