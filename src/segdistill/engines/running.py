"""Letting an engine do some work."""

from collections.abc import Iterator, Sequence

from segdistill.engines.ray_data import run_in_ray
from segdistill.engines.work import EngineName, Row, Work
from segdistill.errors import UserError
from segdistill.prefetch import worker_threads
from segdistill.progress import progress_bar


def check_engine(engine: EngineName, workers: int | None, places: Sequence[object] = ()) -> None:
    """Check the choice of an engine.

    Args:
        engine: who does the work.
        workers: how many of them.
        places: paths and URLs of what is read and written.

    Raises:
        UserError: there is no such engine, or the number of workers or a place does not fit it.

    Example:
        >>> check_engine("local", 2)
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --workers: is for --engine ray
    """
    if engine not in {"local", "ray"}:
        raise UserError(f"--engine {engine}: must be local or ray")
    if engine == "local" and workers is not None:
        raise UserError("--workers: is for --engine ray")
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: must be at least 1")
    for place in places:
        if engine == "ray" and str(place).startswith("memory://"):
            raise UserError(f"{place}: is in the memory of this process, where no worker sees it")


def run_work(
    work: Work,
    items: Sequence[Row],
    *,
    engine: EngineName,
    workers: int | None,
    label: str,
    progress: bool,
) -> Iterator[Row]:
    """Do some work on items, and yield what becomes of each.

    Args:
        work: to be done.
        items: in any order.
        engine: ``local`` does it in this process, ``ray`` in many.
        workers: of Ray; by default as many as there are GPUs, or cores.
        label: of the progress bar.
        progress: show it.

    Raises:
        UserError: something is not there or cannot be written.
    """
    if not items:
        return
    if engine == "ray":
        done = run_in_ray(work, items, workers=workers)
    else:
        done = work.start(threads=worker_threads())(items)
    with progress_bar(label, len(items), shown=progress) as advance:
        for row in done:
            yield row
            advance(1)
