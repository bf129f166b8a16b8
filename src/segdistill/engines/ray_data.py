"""Workers of Ray Data, an extra: actors on one machine or many, each of which loads a model once.

Ray hands batches of items to the workers as they finish, never more than they and the reader of
the results keep up with, and gives the batch of a worker that is lost to another.
"""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segdistill.engines.work import FAILURE, Row, Work
from segdistill.errors import UserError

BATCH = 32
MOST_BATCHES_AT_ONCE = 20_000
"""Ray keeps account of each batch that is still to be done; beyond this they grow."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Set in the environment unless the user has set them otherwise."""

ItemColumn = dict[str, NDArray[Any]]


class RayWorker:
    """An actor: holds what the work has loaded.

    Args:
        work: to be done.
        threads: to work with, beside the one that Ray calls.
    """

    def __init__(self, work: Work, threads: int) -> None:
        self._failure: Row | None = None
        try:
            self._do = work.start(threads=threads)
        except UserError as error:
            # An error of an actor's start would be tried again for ever.
            self._failure = {FAILURE: str(error)}

    def __call__(self, batch: ItemColumn) -> ItemColumn:
        """Work on a batch of items.

        Args:
            batch: their JSON, in the column ``row``.

        Returns:
            What became of them, likewise.
        """
        return {"row": np.array([json.dumps(row) for row in self._rows(batch)], dtype=object)}

    def _rows(self, batch: ItemColumn) -> list[Row]:
        if self._failure is not None:
            return [self._failure]
        try:
            return list(self._do([json.loads(text) for text in batch["row"]]))
        except UserError as error:
            return [{FAILURE: str(error)}]


def run_in_ray(
    work: Work, items: Sequence[Row], *, workers: int | None = None, batch: int = BATCH
) -> Iterator[Row]:
    """Let workers do some work, and yield what becomes of each item as soon as it is known.

    Joins the cluster that the environment names (``RAY_ADDRESS``), or starts workers on this
    machine. A worker has a GPU of its own if there are any, else a core.

    Args:
        work: to be done.
        items: in any order.
        workers: how many; by default as many as there are GPUs, or cores.
        batch: items that a worker takes at a time: a lost worker loses so many.

    Raises:
        UserError: Ray is not installed, or what a worker met.
    """
    with _session() as ray:
        there = ray.cluster_resources()
        gpus, cores = int(there.get("GPU", 0)), max(int(there.get("CPU", 1)), 1)
        size = workers or gpus or cores
        if gpus == 0 and size > cores:
            raise UserError(f"--workers {size}: there are {cores} cores")
        own_cores = max(1, cores // size) if gpus else 1
        blocks = max(1, min(-(-len(items) // batch), MOST_BATCHES_AT_ONCE))
        rows = [{"row": json.dumps(item)} for item in items]
        results = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            RayWorker,
            # The one that Ray calls is a thread, too.
            fn_constructor_args=(work, own_cores - 1),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=min(size, blocks)),
            num_cpus=own_cores,
            num_gpus=min(1.0, gpus / size) if gpus else None,
        )
        for result in results.iter_rows():
            row: Row = json.loads(result["row"])
            if FAILURE in row:
                raise UserError(row[FAILURE])
            yield row


@contextlib.contextmanager
def _session() -> Iterator[Any]:
    """Join or start a cluster quietly, and leave it as it was found."""
    # Else Ray reports that it is used, shows bars of its own, and logs what it can handle itself.
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray: Any = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise UserError("--engine ray: needs Ray: pip install 'segdistill[ray]'") from error
    started = not ray.is_initialized()
    if started:
        _start(ray)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    try:
        yield ray
    finally:
        if started:
            ray.shutdown()


def _start(ray: Any) -> None:
    """Join the cluster that the environment names, or start one on this machine.

    Raises:
        UserError: it cannot be joined, or started.
    """
    address = os.environ.get("RAY_ADDRESS")
    try:
        with _standard_error_silenced():  # where Ray tells of its own log level
            ray.init(
                # Else Ray would look for clusters that somebody once started here, alive or not.
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (OSError, RuntimeError, ValueError) as error:  # connection errors are OSErrors
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if address:
            raise UserError(
                f"RAY_ADDRESS {address}: no cluster answers there ({reason})"
            ) from error
        raise UserError(f"--engine ray: workers cannot be started here ({reason})") from error


@contextlib.contextmanager
def _standard_error_silenced() -> Iterator[None]:
    """Send to nowhere what libraries that are not Python's write; exceptions tell the rest."""
    try:
        kept = os.dup(2)
    except OSError:  # closed already
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
