"""Progress bars on standard error."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

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

Report = Callable[[str, int, int], None]
"""Called with what is being done, the number of items completed, and of all items."""

_report: ContextVar[Report | None] = ContextVar("report", default=None)


@contextlib.contextmanager
def progress_reported(report: Report) -> Iterator[None]:
    """Also report the progress of all bars in the block, shown or not, to a function.

    It only concerns bars of the same thread.

    Example:
        >>> with progress_reported(print), progress_bar("Counting", 2, shown=False) as advance:
        ...     advance(2)
        Counting 0 2
        Counting 2 2
    """
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


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
    advance = _reporting(description, total)
    if not shown or total == 0:
        yield advance
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

        def advance_both(count: int) -> None:
            progress.advance(task, count)
            advance(count)

        yield advance_both


def _reporting(description: str, total: int) -> Advance:
    """Return what tells the listener of this block, if there is one."""
    report = _report.get()
    if report is None:
        return lambda _count: None
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report(description, done, total)

    advance(0)
    return advance
