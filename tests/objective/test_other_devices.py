"""Other devices than the CPU, on a CPU: tensors that only know their device.

The ``meta`` device computes shapes and nothing else, and refuses to mix with tensors of the CPU, as
a GPU does: a temporary made on the wrong device stops the test.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from segdistill.objective.correspondence import mean_correspondence_loss
from segdistill.objective.depth_correlation import (
    depth_similarity,
    pairwise_distances,
    released_depth_correlation,
    typical_distance,
)
from segdistill.objective.fused_interpolation import (
    _scatter_to_cells,
    gather_cells,
    interpolate_cells,
)
from segdistill.objective.local_hidden_positives import (
    attention_weights,
    near_weights,
    released_attention_weights,
    released_near_weights,
)
from segdistill.objective.sampling import bilinear_neighbours, random_locations
from segdistill.objective.scene_geometry import (
    perspective_points,
    released_unprojection,
    unproject,
)


def elsewhere(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    ("work", "shape"),
    [
        (unproject, (2, 3, 4)),
        (perspective_points, (2, 3, 4)),
        (released_unprojection, (2, 3, 4)),
        (pairwise_distances, (2, 5, 3)),
        (typical_distance, (2, 5, 5)),
        (depth_similarity, (2, 5)),
        (lambda depth: depth_similarity(depth, kind="difference"), (2, 5)),
        (lambda depth: released_depth_correlation(depth, 3), (2, 9, 9)),
        (near_weights, (2, 5, 3)),
        (released_near_weights, (2, 5, 3)),
        (attention_weights, (2, 3, 5, 5)),
        (released_attention_weights, (2, 3, 5, 5)),
    ],
)
def test_results_are_on_the_device_of_what_is_given(
    work: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...]
) -> None:
    assert work(elsewhere(*shape)).device.type == "meta"


@pytest.mark.parametrize("partners", [None, torch.tensor([1, 0])])
def test_the_loss_is_on_the_device_of_what_is_given(partners: torch.Tensor | None) -> None:
    codes, other_codes = (elsewhere(2, 5, 3).requires_grad_() for _ in range(2))
    chosen = None if partners is None else partners.to("meta")
    loss = mean_correspondence_loss(
        elsewhere(2, 5, 4), elsewhere(2, 6, 4), codes, elsewhere(2, 6, 3), 0.1, partners=chosen
    )
    assert loss.device.type == "meta"
    loss.backward()  # type: ignore[no-untyped-call]
    assert codes.grad is not None
    assert codes.grad.shape == codes.shape
    del other_codes


class OnMps(torch.Tensor):
    """A tensor of the CPU that says it is on Apple's GPU, which has no ``embedding_bag``."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("mps")


@pytest.fixture
def _no_embedding_bag(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise NotImplementedError("embedding_bag is not implemented for the MPS device")

    monkeypatch.setattr(F, "embedding_bag", missing)


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cells (2, 12, 3), and where nine locations of each image are between them."""
    generator = torch.Generator().manual_seed(0)
    found = [
        bilinear_neighbours(each, 3, 4) for each in random_locations(2, 9, generator=generator)
    ]
    nearest, weights = (torch.stack(parts) for parts in zip(*found, strict=True))
    return torch.randn(2, 12, 3, generator=generator), nearest, weights


@pytest.mark.usefixtures("_no_embedding_bag")
def test_interpolation_without_embedding_bag(
    drawn: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    cells, nearest, weights = drawn
    found = interpolate_cells(cells.as_subclass(OnMps), nearest, weights)
    for image in range(2):
        for location in range(9):
            expected = sum(
                weight * cells[image, cell]
                for cell, weight in zip(
                    nearest[image, location].tolist(), weights[image, location], strict=True
                )
            )
            torch.testing.assert_close(found[image, location].as_subclass(torch.Tensor), expected)


@pytest.mark.usefixtures("_no_embedding_bag")
def test_the_gradient_of_interpolation_without_embedding_bag(
    drawn: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    cells, nearest, weights = drawn
    upstream = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(1))
    found = _scatter_to_cells(upstream.as_subclass(OnMps), nearest, weights, 12)
    # The plain form, which autograd differentiates.
    cells.requires_grad_()
    read = (gather_cells(cells, nearest) * weights[..., None]).sum(dim=2)
    (expected,) = torch.autograd.grad(read, cells, upstream)
    torch.testing.assert_close(found.as_subclass(torch.Tensor), expected)
