"""The reconstruction loss."""

import torch

from segdistill.objective.reconstruction import reconstruction_loss


def test_it_sees_directions_alone() -> None:
    features = torch.randn(2, 5, 4)
    torch.testing.assert_close(reconstruction_loss(features * 3, features), -torch.ones(2, 5))
    torch.testing.assert_close(reconstruction_loss(-features, features), torch.ones(2, 5))


def test_gradient_agrees_with_finite_differences() -> None:
    features = torch.randn(1, 3, 4, dtype=torch.double)
    decoded = torch.randn(1, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d: reconstruction_loss(d, features), (decoded,))
