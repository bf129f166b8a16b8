"""Preparing features: standardise, normalise by group, reduce."""

import torch

from segdistill.features.preparation import (
    FeaturePreparation,
    fit_preparation,
    principal_components,
)


def test_standardised_channels_have_mean_0_and_deviation_1() -> None:
    locations = torch.randn(1000, 4) * torch.tensor([1.0, 10.0, 0.1, 0.0]) + 5
    preparation = fit_preparation(locations, (4,), standardise=True, components=None)
    prepared = preparation(locations)
    torch.testing.assert_close(prepared.mean(dim=0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(prepared[:, :3].std(dim=0), torch.ones(3), atol=1e-2, rtol=0)
    assert prepared[:, 3].abs().max() < 0.1  # a channel that never changes does not explode


def test_each_group_has_unit_length() -> None:
    locations = torch.randn(50, 5)
    prepared = fit_preparation(locations, (2, 3), standardise=True, components=None)(locations)
    torch.testing.assert_close(prepared[:, :2].norm(dim=1), torch.ones(50))
    torch.testing.assert_close(prepared[:, 2:].norm(dim=1), torch.ones(50))


def test_one_group_is_left_as_it_is() -> None:
    locations = torch.randn(50, 5)
    prepared = fit_preparation(locations, (5,), standardise=False, components=None)(locations)
    torch.testing.assert_close(prepared, locations)


def test_components_keep_most_of_the_variance() -> None:
    hidden = torch.randn(2000, 2) @ torch.randn(2, 8)
    locations = hidden + 0.01 * torch.randn(2000, 8)
    preparation = fit_preparation(locations, (8,), standardise=False, components=2)
    prepared = preparation(locations)
    assert preparation.channels == 2
    kept = prepared.var(dim=0).sum() / locations.var(dim=0).sum()
    assert kept > 0.99


def test_principal_components_are_orthonormal_and_do_not_flip() -> None:
    locations = torch.randn(200, 6)
    centred = locations - locations.mean(dim=0)
    directions = principal_components(centred, 4)
    torch.testing.assert_close(directions.mT @ directions, torch.eye(4), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(principal_components(-centred, 4), directions)


def test_more_components_than_channels_are_all_channels() -> None:
    assert FeaturePreparation((3, 4), 128).channels == 7
