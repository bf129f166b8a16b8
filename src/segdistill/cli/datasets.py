"""``segdistill datasets``."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.cli.parser import CommandParser, parse_options

if TYPE_CHECKING:
    from segdistill.images.datasets import Dataset, Stock

WIDTH = 88
HEADING_WIDTH = 11


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "datasets",
        "List the benchmark data sets, where to get them, and which files of them are present.",
        "segdistill datasets cocostuff27 --root data",
    )
    command.add_argument(
        "name", nargs="?", type=str, metavar="NAME", help="one data set (default: all)"
    )
    command.add_argument(
        "--root",
        type=str,
        metavar="FOLDER",
        help="folder of data sets: report which files it holds (default: list only)",
    )
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: there is no such data set, or the root is not a folder.
    """
    options = parse_options(parser(), arguments)

    from segdistill.errors import UserError
    from segdistill.images.datasets import dataset_names, get_dataset

    root = Path(options.root) if options.root else None
    if root is not None and not root.is_dir():
        raise UserError(f"--root {root}: no such folder; give the folder that holds data sets")
    names = [options.name] if options.name else dataset_names()
    datasets = [get_dataset(name) for name in names]
    files = bool(options.name)
    print("\n\n".join(describe(dataset, root, files=files) for dataset in datasets))


def describe(dataset: "Dataset", root: Path | None, *, files: bool) -> str:
    """Return the description of a data set.

    Args:
        dataset: the data set.
        root: folder to search for it; ``None`` to skip that.
        files: list the files it consists of.
    """
    names = dataset.classes if root is None else dataset.class_names(root)
    classes = f"{len(names)}: {', '.join(names)}" if names else "those of your labels"
    lines = [
        f"{dataset.name}: {dataset.title}",
        _entry("Classes", [classes]),
        _entry("Get it", [dataset.obtain]),
    ]
    if files:
        lines.append(_entry("Files", dataset.layout))
    if root is not None:
        stocks = {split: dataset.stock(root, split) for split in dataset.splits}
        missing = dict.fromkeys(word for stock in stocks.values() for word in stock.missing)
        counts = [_count(split, stock) for split, stock in stocks.items() if stock.items]
        lines.append(_entry("Found", counts or ["nothing"]))
        lines.append(_entry("Missing", list(missing) or ["nothing"]))
    return "\n".join(lines)


def _count(split: str, stock: "Stock") -> str:
    labelled = sum(item.labels is not None for item in stock.items)
    return f"{split}: {len(stock.items)} images, {labelled} with labels"


def _entry(heading: str, texts: Sequence[str]) -> str:
    """Return wrapped texts below each other, to the right of their heading."""
    indent = " " * HEADING_WIDTH
    wrapped = [
        textwrap.fill(
            text,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            # Paths are not broken, so that they can be copied.
            break_long_words=False,
            break_on_hyphens=False,
        )
        for text in texts
    ]
    return f"  {heading:<{HEADING_WIDTH - 2}}" + "\n".join(wrapped)[HEADING_WIDTH:]
