import pytest
import torch
import torch.nn.functional as F

from segdistill.backbones.positions import interpolate_positions
from segdistill.backbones.vision_transformer import DINO_MARGIN

SIDE = 7
SIZES = [(3, 5), (7, 7), (7, 9), (12, 20), (1, 1), (2, 14), (30, 3)]


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(1, 1 + SIDE * SIDE, 8, generator=torch.Generator().manual_seed(0))


def on_grid(embeddings: torch.Tensor) -> torch.Tensor:
    """Return the patches' embeddings, shape (1, channels, side, side)."""
    return embeddings[:, 1:].reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", SIZES)
def test_they_are_dinos(embeddings: torch.Tensor, size: tuple[int, int]) -> None:
    """Against ``interpolate_pos_encoding`` in DINO's ``vision_transformer.py``."""
    rows, columns = size
    expected = on_grid(embeddings)
    if size != (SIDE, SIDE):
        factors = ((rows + DINO_MARGIN) / SIDE, (columns + DINO_MARGIN) / SIDE)
        expected = F.interpolate(expected, scale_factor=factors, mode="bicubic")
    placed = interpolate_positions(embeddings, rows, columns, margin=DINO_MARGIN)
    torch.testing.assert_close(placed[:, 0], embeddings[:, 0])
    torch.testing.assert_close(
        placed[:, 1:], expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_they_are_those_of_torch(
    embeddings: torch.Tensor, size: tuple[int, int], antialias: bool
) -> None:
    placed = interpolate_positions(embeddings, *size, antialias=antialias)
    expected = F.interpolate(on_grid(embeddings), size=size, mode="bicubic", antialias=antialias)
    torch.testing.assert_close(
        placed[:, 1:], expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("options", [{}, {"margin": DINO_MARGIN}, {"antialias": True}])
def test_at_their_own_size_they_stay(
    embeddings: torch.Tensor, options: dict[str, float | bool]
) -> None:
    placed = interpolate_positions(embeddings, SIDE, SIDE, **options)  # type: ignore[arg-type]
    torch.testing.assert_close(placed, embeddings, atol=1e-6, rtol=0)


def test_half_precision_of_the_network_does_not_move_them(embeddings: torch.Tensor) -> None:
    expected = interpolate_positions(embeddings, 3, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert interpolate_positions(embeddings, 3, 5).equal(expected)
