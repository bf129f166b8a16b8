"""Progress bars on standard error."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int], None]
"""Call with the number of items completed since the last call."""


@contextlib.contextmanager
def progress_bar(
    description: str, total: int, *, shown: bool, at_most: bool = False
) -> Iterator[Advance]:
    """Show a progress bar while the block runs.

    Args:
        description: label of the bar, for example ``"Extracting features"``.
        total: number of items.
        shown: whether to show the bar.
        at_most: ``total`` is an upper limit; show the count and the limit, without a percentage or
            an estimate of the remaining time.

    Yields:
        A function to call with the number of items completed since the last call.

    Example:
        >>> with progress_bar("Counting", 3, shown=False) as advance:
        ...     for _ in range(3):
        ...         advance(1)
    """
    if not shown or total == 0:
        yield lambda _count: None
        return
    columns: tuple[ProgressColumn, ...] = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    if at_most:
        columns = (
            TextColumn("{task.description:<22}"),
            TextColumn("step {task.completed:.0f} " + f"(at most {total})"),
            TimeElapsedColumn(),
        )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)
