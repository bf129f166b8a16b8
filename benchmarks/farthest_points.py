"""Farthest point sampling, compared with its plain implementation, which takes one image at a time.

Locations are drawn in parallel with training, on the CPU, whatever the device.
"""

from collections.abc import Iterator

import torch
from tests.plain.farthest_points import plain_farthest_points

from benchmarks.table import Agreement, Conditions, Row, best_of
from segdistill.objective.depth_sampling import farthest_points

NAME = "farthest-points"
RUNS_EACH = 5
"""Runs for each requested run, since one takes only milliseconds."""


def rows(conditions: Conditions) -> Iterator[Row]:
    batch, side, taken = (2, 5, 9) if conditions.smallest else (32, 28, 121)
    points = torch.randn(batch, side**2, 3, generator=torch.Generator().manual_seed(0))
    first = torch.zeros(batch, dtype=torch.long)

    def plain() -> torch.Tensor:
        return torch.tensor([plain_farthest_points(each, taken, 0) for each in points.numpy()])

    def this() -> torch.Tensor:
        return farthest_points(points, taken, first=first)

    differing = (plain() != this()).float().mean().item()
    times = best_of(RUNS_EACH * conditions.runs, plain, this)
    yield Row(
        NAME,
        "farthest point sampling, on the CPU",
        f"{batch} images, {taken} of {side}x{side} points in 3-D; per image",
        Agreement("share of the order that differs", differing, 0),
        plain=times[0] / batch,
        this=times[1] / batch,
    )
