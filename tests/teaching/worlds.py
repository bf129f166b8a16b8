"""Small sessions over made-up features."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.model.description import SegmentClass, numbered_classes
from segdistill.teaching.answers import Answers
from segdistill.teaching.cells import CellPool
from segdistill.teaching.session import TaughtImage, TeachingSession

GRID = (6, 8)
SIZE = (96, 128)


def striped_pool(images: int = 6, *, noise: float = 0.05, seed: int = 0) -> CellPool:
    """Images of three vertical stripes: cells of a stripe have nearly the same features."""
    random = np.random.default_rng(seed)
    kinds = np.tile(kinds_of_cells(), images)
    features = np.eye(3)[kinds] + noise * random.normal(size=(len(kinds), 3))
    return CellPool(
        torch.from_numpy(features).float(), [GRID] * images, np.ones(len(kinds), np.bool_)
    )


def kinds_of_cells() -> NDArray[np.int64]:
    """The stripe of each cell of an image."""
    columns: NDArray[np.int64] = np.arange(GRID[1]) * 3 // GRID[1]
    return np.tile(columns, GRID[0])


def session(
    answers: Answers | None = None,
    *,
    images: int = 6,
    untaught: Sequence[SegmentClass] = (),
    kept: list[Answers] | None = None,
) -> TeachingSession:
    """A session over :func:`striped_pool`; the run's classes are the stripes."""
    pool = striped_pool(images)
    store = [] if kept is None else kept
    return TeachingSession(
        [TaughtImage(f"{n}.png", SIZE[1], SIZE[0], f"digest{n}") for n in range(images)],
        pool,
        np.tile(kinds_of_cells(), images),
        untaught,
        Answers() if answers is None else answers,
        store.append,
    )


RUN_CLASSES = numbered_classes(3)
