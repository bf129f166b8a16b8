"""Running work with an engine."""

from collections.abc import Iterator, Sequence

from segdistill.engines.ray_data import run_in_ray
from segdistill.engines.work import EngineName, Row, Work
from segdistill.errors import UserError
from segdistill.prefetch import worker_threads
from segdistill.progress import progress_bar


def check_engine(engine: EngineName, workers: int | None, locations: Sequence[object] = ()) -> None:
    """Check the engine options.

    Args:
        engine: ``local`` or ``ray``.
        workers: number of workers.
        locations: input and output paths and URLs.

    Raises:
        UserError: there is no such engine, or it does not support the workers or locations.

    Example:
        >>> check_engine("local", 2)
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: --workers: only for --engine ray
    """
    if engine not in {"local", "ray"}:
        raise UserError(f"--engine {engine}: must be local or ray")
    if engine == "local" and workers is not None:
        raise UserError("--workers: only for --engine ray")
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: must be at least 1")
    for location in locations:
        if engine == "ray" and str(location).startswith("memory://"):
            raise UserError(
                f"{location}: only in the memory of this process; workers cannot read it"
            )


def run_work(
    work: Work,
    items: Sequence[Row],
    *,
    engine: EngineName,
    workers: int | None,
    label: str,
    progress: bool,
) -> Iterator[Row]:
    """Process items with an engine, and yield a result for each.

    Args:
        work: the work.
        items: the items; results may arrive in any order.
        engine: ``local`` for this process, ``ray`` for Ray workers.
        workers: number of Ray workers; by default one per GPU, or one per core.
        label: label of the progress bar.
        progress: show a progress bar.

    Raises:
        UserError: a resource is missing, or an output cannot be written.
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
