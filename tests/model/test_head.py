"""The segmentation head, against golden values."""

import pytest
import torch
from tests.helpers import golden

from segdistill.model.head import SegmentationHead


def test_codes_are_golden() -> None:
    values = golden("head")
    head = SegmentationHead(48, 10).eval()
    names = {
        "linear": "cluster1.0",
        "nonlinear.0": "cluster2.0",
        "nonlinear.2": "cluster2.2",
    }
    head.load_state_dict(
        {
            f"{ours}.{kind}": values[f"w/{theirs}.{kind}"].flatten(1)
            if kind == "weight"
            else values[f"w/{theirs}.{kind}"]
            for ours, theirs in names.items()
            for kind in ("weight", "bias")
        }
    )
    codes = head(values["features"].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(codes, values["code"], atol=1e-5, rtol=1e-5)


def test_linear_head_is_linear() -> None:
    head = SegmentationHead(5, 3, kind="linear").eval()
    first, second = torch.randn(2, 7, 5)
    torch.testing.assert_close(
        head(first + second) + head(torch.zeros(7, 5)), head(first) + head(second)
    )


def test_dropout_drops_whole_channels_of_an_image() -> None:
    head = SegmentationHead(50, 50, kind="linear", dropout=0.5).train()
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(50))
        head.linear.bias.zero_()
    codes = head(torch.ones(2, 9, 50))
    dropped = codes == 0
    assert (dropped.all(dim=1) | (~dropped).all(dim=1)).all()
    assert 0.2 < dropped.float().mean() < 0.8
    assert (dropped[0] != dropped[1]).any()
    torch.testing.assert_close(codes[~dropped], torch.full_like(codes[~dropped], 2.0))


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_gradient_reaches_every_weight(kind: str) -> None:
    head = SegmentationHead(6, 4, kind=kind, dropout=0)  # type: ignore[arg-type]
    head(torch.randn(2, 3, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
