"""Which data sets there are, by name."""

from difflib import get_close_matches

from segdistill.errors import UserError
from segdistill.images.datasets.base import Dataset

_DATASETS: dict[str, Dataset] = {}


def register_dataset(dataset: Dataset) -> None:
    """Add a data set, so that its name can be given to commands.

    Raises:
        ValueError: the name is taken, or the colours are not one for each class.
    """
    if dataset.name in _DATASETS:
        raise ValueError(f"data set {dataset.name!r} is registered already")
    if len(dataset.colours) != len(dataset.classes):
        raise ValueError(
            f"data set {dataset.name!r} has {len(dataset.classes)} classes"
            f" but {len(dataset.colours)} colours"
        )
    _DATASETS[dataset.name] = dataset


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data sets, in the order of their registration."""
    return tuple(_DATASETS)


def get_dataset(name: str) -> Dataset:
    """Return a data set by its name.

    Raises:
        UserError: there is none of this name; the message offers the nearest.
    """
    if name in _DATASETS:
        return _DATASETS[name]
    longer = [known for known in _DATASETS if known.startswith(name.lower())] if name else []
    near = longer or get_close_matches(name.lower(), _DATASETS, n=1, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(_DATASETS)}"
    raise UserError(f"no data set {name!r}; {hint}")
