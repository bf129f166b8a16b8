"""Reconstruction, augmentation alignment and ground-truth correlations."""

import pytest
import torch

from segdistill.images.palette import VOID
from segdistill.objective.correspondence import correspondence
from segdistill.objective.optional_terms import (
    alignment_loss,
    label_features,
    reconstruction_loss,
)


def test_reconstruction_sees_directions_alone() -> None:
    features = torch.randn(2, 5, 4)
    torch.testing.assert_close(reconstruction_loss(features * 3, features), -torch.ones(2, 5))
    torch.testing.assert_close(reconstruction_loss(-features, features), torch.ones(2, 5))


def test_alignment_is_the_negative_cosine() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(2, 5, 7, generator=generator)
    copies = torch.randn(2, 5, 7, generator=generator)
    loss = alignment_loss(codes, copies)
    for image in range(2):
        for location in range(5):
            a, b = codes[image, location], copies[image, location]
            expected = -(a @ b) / (a.norm() * b.norm())
            torch.testing.assert_close(loss[image, location], expected)


def test_label_features_correspond_where_labels_agree() -> None:
    labels = torch.tensor([[0, 1, 1, VOID], [2, 2, VOID, 0]])
    features = label_features(labels, 3)
    assert features.shape == (2, 4, 4)
    agreement = correspondence(features, features)
    expected = (labels[:, :, None] == labels[:, None]).float()
    torch.testing.assert_close(agreement, expected)


@pytest.mark.parametrize("wrong", [-1, 3, 254])
def test_labels_out_of_range_are_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        label_features(torch.tensor([[0, wrong]]), 3)


def test_short_codes_have_a_direction_too() -> None:
    codes = torch.tensor([[[1e-6, 0.0], [1e-6, 1e-6], [0.0, 0.0]]])
    copies = torch.tensor([[[3e-6, 0.0], [0.0, 2e-6], [1.0, 0.0]]])
    expected = torch.tensor([[-1.0, -(0.5**0.5), 0.0]])
    torch.testing.assert_close(alignment_loss(codes, copies), expected)
