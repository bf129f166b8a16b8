import pytest
import torch
from torch import nn

from segdistill.backbones.protocol import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    normalise_images,
    weights_fingerprint,
)


class Enlarging(Backbone):
    """The least that a backbone must be."""

    name = "enlarging"
    fingerprint = "0"
    stride = 2
    size_multiple = 2
    channel_groups = (3,)
    standardise = False
    resolution = 8
    licence = "none"

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        normalised: torch.Tensor = self.norm(images[:, :, ::2, ::2])
        return normalised


def test_a_module_with_all_attributes_is_a_backbone() -> None:
    assert isinstance(Enlarging(), Backbone)
    assert not isinstance(nn.Identity(), Backbone)


def test_frozen_backbone_stays_in_evaluation_mode_inside_a_training_module() -> None:
    backbone = Enlarging()
    around = nn.Sequential(backbone, nn.Dropout())
    around.train()
    assert around.training
    assert not backbone.training
    assert not backbone.norm.training


def test_frozen_backbone_has_no_gradients() -> None:
    backbone = Enlarging()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone(torch.rand(1, 3, 4, 4)).requires_grad


def test_normalise_images_is_per_channel() -> None:
    images = torch.rand(2, 3, 4, 6)
    normalised = normalise_images(images, IMAGENET_MEAN, IMAGENET_STD)
    for channel in range(3):
        expected = (images[:, channel] - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(normalised[:, channel], expected)


def test_normalise_images_keeps_the_type() -> None:
    images = torch.rand(1, 3, 2, 2, dtype=torch.float64)
    assert normalise_images(images, IMAGENET_MEAN, IMAGENET_STD).dtype == torch.float64


def test_fingerprint_is_the_same_for_equal_weights() -> None:
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    second.load_state_dict(first.state_dict())
    assert weights_fingerprint(first, "same") == weights_fingerprint(second, "same")


def test_fingerprint_has_16_hexadecimal_digits() -> None:
    fingerprint = weights_fingerprint(nn.Linear(3, 2))
    assert len(fingerprint) == 16
    assert int(fingerprint, 16) >= 0


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(nn.Linear(3, 2, bias=False), id="names"),
        pytest.param(nn.Linear(2, 3), id="shapes"),
        pytest.param(nn.Linear(3, 2).double(), id="type"),
        pytest.param(nn.Linear(3, 2), id="values"),
    ],
)
def test_fingerprint_changes_with_the_weights(other: nn.Module) -> None:
    module = nn.Linear(3, 2)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    assert weights_fingerprint(module) != weights_fingerprint(other)


def test_fingerprint_changes_with_the_preprocessing() -> None:
    module = nn.Linear(3, 2)
    assert weights_fingerprint(module, IMAGENET_MEAN) != weights_fingerprint(module, IMAGENET_STD)


def test_fingerprint_takes_an_empty_tensor_and_a_scalar() -> None:
    module = nn.ParameterDict({"none": torch.empty(1, 0, 4), "one": torch.tensor(1.0)})
    assert len(weights_fingerprint(module)) == 16
