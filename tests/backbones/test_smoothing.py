"""Averaged feature maps, and the suffix that asks for them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve1d
from tests.backbones.test_huggingface import tiny_model
from tests.helpers import TinyBackbone, write_striped_folder

from segdistill import UserError, fit
from segdistill.backbones import bare_name, check_backbone_name, load_backbone, require_attention
from segdistill.backbones.smoothing import smooth, smoothed_maps
from segdistill.config.settings import TrainingSettings
from segdistill.devices import choose_compute
from segdistill.features.extract import store_folder_name
from segdistill.model.segmenter import Segmenter


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_it_is_the_average_of_three_by_three(
    seed: int, height: int, width: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 3, height, width, generator=generator).to(dtype)
    expected = maps.float().numpy()
    for axis in (2, 3):
        expected = convolve1d(expected, np.array([0.25, 0.5, 0.25]), axis=axis, mode="nearest")
    smoothed = smoothed_maps(maps)
    assert smoothed.dtype == torch.float32
    torch.testing.assert_close(smoothed, torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


def test_only_the_output_changes() -> None:
    plain, smoothed = TinyBackbone(), smooth(TinyBackbone())
    images = torch.rand(2, 3, 32, 48)
    assert torch.equal(smoothed(images), smoothed_maps(plain(images)))
    assert smoothed.name == "tiny:smooth"
    assert plain.fingerprint != smoothed.fingerprint == smooth(TinyBackbone()).fingerprint
    # Maps of the two never mix in the feature store.
    compute = choose_compute("cpu", "32-true")
    assert store_folder_name(plain, compute) != store_folder_name(smoothed, compute)


@pytest.mark.parametrize("suffix", [":smooth", ":keys:smooth"])
def test_the_suffix_of_a_name(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "net"
    tiny_model("vit").save_pretrained(folder)
    assert bare_name(f"{folder}{suffix}") == str(folder)
    plain = load_backbone(f"{folder}{suffix.removesuffix(':smooth')}")
    smoothed = load_backbone(f"{folder}{suffix}")
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(smoothed(images), smoothed_maps(plain(images)))
    assert smoothed.name.endswith(suffix)
    # Attention is that of the network.
    attention = [require_attention(each).attention(images) for each in (plain, smoothed)]
    assert torch.equal(*attention)


def test_an_unknown_name_is_one_with_the_suffix_too() -> None:
    with pytest.raises(UserError, match="did you mean efficientnet-lite0"):
        check_backbone_name("efficientnet-lite:smooth")


def test_a_run_keeps_the_suffix(tmp_path: Path) -> None:
    net = tmp_path / "net"
    tiny_model("vit").save_pretrained(net)
    photos = write_striped_folder(tmp_path / "photos")
    fitted = fit(
        photos,
        out=tmp_path / "run",
        backbone=f"{net}:smooth",
        resolution=32,
        classes=2,
        training=TrainingSettings(steps=2),
    )
    loaded = Segmenter.load(tmp_path / "run")
    assert loaded.backbone.name == f"{net}:smooth"
    images = torch.rand(1, 3, 32, 48)
    assert torch.equal(loaded(images), fitted(images))
    with pytest.raises(UserError, match="was trained with backbone"):
        Segmenter.load(tmp_path / "run", backbone=str(net))
