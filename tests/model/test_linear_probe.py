"""Drawing labelled pixels, and reading maps there."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segdistill.errors import UserError
from segdistill.images.resize import enlarge
from segdistill.model.linear_probe import (
    LinearProbe,
    labelled_pixels,
    read_linear_probe,
    sample_at_pixels,
    write_linear_probe,
)


def test_maps_are_read_where_enlarging_would_put_them() -> None:
    maps = torch.randn(1, 5, 4, 6)
    pixels = np.array([[0, 0], [10, 20], [31, 47]])
    enlarged = enlarge(maps, (32, 48))
    expected = torch.stack([enlarged[0, :, row, column] for row, column in pixels])
    torch.testing.assert_close(
        sample_at_pixels(maps, pixels, (32, 48)), expected, atol=1e-5, rtol=1e-5
    )


def test_only_labelled_pixels_are_drawn() -> None:
    labels = np.full((5, 7), 255)
    labels[2, 3], labels[4, 6], labels[0, 0] = 1, 0, -1
    drawn = labelled_pixels(labels, 10, np.random.default_rng(0))
    assert sorted(map(tuple, drawn.tolist())) == [(2, 3), (4, 6)]


def test_pixels_are_drawn_once_and_repeatably() -> None:
    labels = np.zeros((9, 11), np.int64)
    first, again = (labelled_pixels(labels, 40, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first, axis=0)) == 40


def test_a_probe_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    probe = LinearProbe(4, 3)
    with torch.no_grad():
        probe.weight[1, 2] = float("inf")
    write_linear_probe(probe, tmp_path)
    with pytest.raises(UserError, match="weight holds 1 value that is not finite"):
        read_linear_probe(tmp_path)
