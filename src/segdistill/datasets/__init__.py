"""Benchmark data sets, read from existing folders in their usual layouts.

A new data set is one :class:`Dataset` in :mod:`segdistill.datasets.benchmarks`.

Example:
    >>> get_dataset("cocostuff3").classes
    ('sky', 'plant', 'ground')
"""

from difflib import get_close_matches

from segdistill.datasets.base import Dataset, LabelledImage, Stock, map_labels
from segdistill.datasets.benchmarks import DATASETS
from segdistill.errors import UserError

__all__ = [
    "Dataset",
    "LabelledImage",
    "Stock",
    "dataset_names",
    "get_dataset",
    "map_labels",
]

_DATASETS = {each.name: each for each in DATASETS}


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data sets, in the order of their descriptions."""
    return tuple(_DATASETS)


def get_dataset(name: str) -> Dataset:
    """Return a data set by name.

    Raises:
        UserError: there is no data set of this name; the message suggests similar names.
    """
    if name in _DATASETS:
        return _DATASETS[name]
    longer = [known for known in _DATASETS if known.startswith(name.lower())] if name else []
    near = longer or get_close_matches(name.lower(), _DATASETS, n=1, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(_DATASETS)}"
    raise UserError(f"no data set {name!r}; {hint}")
