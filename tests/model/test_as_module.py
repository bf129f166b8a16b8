"""The Segmenter as a part of another network."""

import pytest
import torch
from tests.deployment.models import model_of, tiny
from tests.helpers import TinyBackbone
from torch import nn

from segdistill import Segmenter
from segdistill.backbones import Backbone, load_backbone


class Counter(nn.Module):
    """Counts something from class scores."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.last = nn.Linear(len(segmenter.classes), 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores = self.segmenter(images)
        counted: torch.Tensor = self.last(scores.mean(dim=(2, 3)))  # (b, classes, h, w) -> (b, 1)
        return counted


@pytest.mark.parametrize("backbone", [TinyBackbone, load_backbone])
def test_gradients_reach_the_image(backbone: type[Backbone]) -> None:
    images = torch.rand(2, 3, 64, 96, requires_grad=True)
    Counter(model_of(backbone(), 64))(images).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad.abs().max() > 0


def test_what_trains_and_what_stays() -> None:
    network = Counter(model_of(load_backbone(), 64))
    network.train()
    assert not network.segmenter.backbone.training
    frozen = [each.clone() for each in network.segmenter.backbone.state_dict().values()]
    centres = network.segmenter.centres.clone()
    assert network.segmenter.head is not None
    trained = {name for name, each in network.named_parameters() if each.requires_grad}
    assert trained == {
        *(f"segmenter.head.{name}" for name, _ in network.segmenter.head.named_parameters()),
        "last.weight",
        "last.bias",
    }
    before = {name: each.detach().clone() for name, each in network.named_parameters()}
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    network(torch.rand(2, 3, 64, 64)).square().sum().backward()
    optimiser.step()
    after = dict(network.named_parameters())
    assert all(not torch.equal(after[name], before[name]) for name in trained)
    still = network.segmenter.backbone.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(frozen, still, strict=True))
    assert torch.equal(network.segmenter.centres, centres)


def test_its_state_goes_with_that_of_the_network() -> None:
    first, second = Counter(tiny()), Counter(tiny())
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1)
    second.load_state_dict(first.state_dict())
    images = torch.rand(1, 3, 32, 48)
    assert torch.equal(first.eval()(images), second.eval()(images))
