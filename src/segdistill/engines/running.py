"""Executors: this process, the processes of a distributed run, or Ray workers."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import cast

from segdistill.config.settings import EngineName
from segdistill.decoding.decode import UnreadableImageError
from segdistill.engines.ray_data import run_in_ray
from segdistill.engines.work import Item, Result, Work
from segdistill.errors import UserError
from segdistill.prefetch import worker_threads
from segdistill.processes import SINGLE_PROCESS, Group
from segdistill.progress import progress_bar


def check_engine(engine: EngineName, workers: int | None, locations: Sequence[object] = ()) -> None:
    """Check the engine options.

    Args:
        engine: ``local`` or ``ray``.

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
    items: Sequence[Item],
    *,
    label: str,
    engine: EngineName = "local",
    workers: int | None = None,
    group: Group = SINGLE_PROCESS,
    strict: bool = False,
    progress: bool = False,
) -> Iterator[Result]:
    """Process items with an engine, and yield a result for each, in any order.

    Args:
        items: the items; the same on all ranks.
        engine: ``local`` for this process and its group, ``ray`` for Ray workers.
        workers: number of Ray workers; by default one per GPU, or one per core.
        group: processes that share the items; each gets all results.

    Raises:
        UnreadableImageError: with ``strict``, for the first image that cannot be read.
        UserError: a resource is missing, or an output cannot be written.
    """
    if not items:
        return

    def results(share: Sequence[Item]) -> Iterator[Result]:
        if engine == "ray":
            absolute = [item.with_absolute_path() for item in share]
            done = run_in_ray(work, absolute, workers=workers)
        else:
            done = work.start(threads=worker_threads())(share)
        shown = progress and group.is_first
        # Closed at once if the caller stops early, so that no thread still writes.
        generator = cast("Generator[Result]", done)
        with closing(generator), progress_bar(label, len(share), shown=shown) as advance:
            for result in generator:
                if strict and result.reason:
                    raise UnreadableImageError(result.reason)
                yield result
                advance(1)

    if group.size == 1:
        yield from results(items)
        return
    for part in group.each(lambda: list(results(group.share(items)))):
        yield from part
