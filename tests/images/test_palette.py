"""Colours of classes."""

import pytest

from segdistill.images.palette import distinct_colours


@pytest.mark.parametrize("count", [2, 8, 27, 60])
def test_colours_are_distinct_and_stable(count: int) -> None:
    colours = distinct_colours(count)
    assert len(set(colours)) == count
    assert colours[:2] == distinct_colours(2)
    nearest = (
        min(
            sum(abs(x - y) for x, y in zip(a, b, strict=True))
            for i, a in enumerate(colours[:12])
            for b in colours[:i]
        )
        if count >= 2
        else 999
    )
    assert nearest > 40
