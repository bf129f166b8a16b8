import math

import pytest
import torch
import torch.nn.functional as F

from segdistill.backbones.traced_positions import PositionInterpolation, traced_position_embedding
from segdistill.backbones.vision_transformer import DINO_MARGIN, dino_position_embedding

SIDE = 7
SIZES = [(3, 5), (7, 7), (7, 9), (12, 20), (1, 1), (2, 14), (30, 3)]


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(1, 1 + SIDE * SIDE, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
def test_they_are_dinos(embeddings: torch.Tensor, size: tuple[int, int]) -> None:
    traced = traced_position_embedding(embeddings, *size, PositionInterpolation(DINO_MARGIN))
    expected = dino_position_embedding(embeddings, *size)
    torch.testing.assert_close(traced, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_they_are_those_of_torch(
    embeddings: torch.Tensor, size: tuple[int, int], antialias: bool
) -> None:
    traced = traced_position_embedding(
        embeddings, *size, PositionInterpolation(antialias=antialias)
    )
    grid = embeddings[:, 1:].reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, size=size, mode="bicubic", antialias=antialias)
    torch.testing.assert_close(traced[:, 0], embeddings[:, 0])
    torch.testing.assert_close(
        traced[:, 1:], expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    "interpolation",
    [
        PositionInterpolation(),
        PositionInterpolation(DINO_MARGIN),
        PositionInterpolation(antialias=True),
    ],
)
def test_at_their_own_size_they_stay(
    embeddings: torch.Tensor, interpolation: PositionInterpolation
) -> None:
    assert math.isqrt(embeddings.shape[1] - 1) == SIDE
    torch.testing.assert_close(
        traced_position_embedding(embeddings, SIDE, SIDE, interpolation),
        embeddings,
        atol=1e-6,
        rtol=0,
    )
