"""Workers of Ray Data, an extra: actors on one machine or many, each of which loads a model once.

Ray hands batches of items to the workers as they finish, never more than they and the reader of
the results keep up with, and gives the batch of a worker that is lost to another.
"""

import contextlib
import inspect
import json
import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segdistill.engines.work import FAILURE, Row, Work
from segdistill.errors import UserError, missing_extra

BATCH = 32
MOST_RESTARTS = 20
RETRIES = 3
"""Of a batch whose worker is lost."""

MOST_BATCHES_AT_ONCE = 20_000
"""Ray keeps account of each batch that is still to be done; beyond this they grow."""

logger = logging.getLogger("segdistill")

CONNECT_SECONDS = 10

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
            self._failure = {FAILURE: str(error)}
        except Exception as error:
            # A start that fails would be tried again and again: whatever it is, it is reported.
            logger.debug("a worker cannot start", exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            self._failure = {FAILURE: f"--engine ray: a worker cannot start ({reason})"}

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
        hosts = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        share = worker_share(hosts, workers, with_gpus=work.device != "cpu")
        blocks = max(1, min(-(-len(items) // batch), MOST_BATCHES_AT_ONCE))
        rows = [{"row": json.dumps(item)} for item in items]
        data = ray.data.from_items(rows, override_num_blocks=blocks)
        with warnings.catch_warnings():
            # Ray means to drop these arguments, and has no others for it yet.
            warnings.filterwarnings("ignore", message=".*ray_remote_args")
            results = data.map_batches(
                RayWorker,
                # The one that Ray calls is a thread, too.
                fn_constructor_args=(work, share.cores - 1),
                batch_size=-(-len(items) // blocks),
                compute=ray.data.ActorPoolStrategy(size=min(share.workers, blocks)),
                num_cpus=share.cores,
                num_gpus=share.gpus or None,
                **_patience(data.map_batches),
            )
        try:
            for result in results.iter_rows():
                row: Row = json.loads(result["row"])
                if FAILURE in row:
                    raise UserError(row[FAILURE])
                yield row
        except ray.exceptions.RayError as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(
                f"--engine ray: workers were lost again and again ({reason}); where memory is short"
                " fewer workers help; --resume continues"
            ) from error


def _patience(map_batches: Callable[..., Any]) -> dict[str, int]:
    """Return how often what kills its worker is tried, as far as a version of Ray can be told.

    By itself Ray tries for ever.
    """
    kinds = [parameter.kind for parameter in inspect.signature(map_batches).parameters.values()]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        return {}
    return {"max_restarts": MOST_RESTARTS, "max_task_retries": RETRIES}


class WorkerShare(NamedTuple):
    """What each worker is given.

    Attributes:
        workers: how many there are.
        cores: of each.
        gpus: of each; 0 without.
    """

    workers: int
    cores: int
    gpus: float


def worker_share(
    hosts: Sequence[Mapping[str, float]], workers: int | None, *, with_gpus: bool
) -> WorkerShare:
    """Share the cores and GPUs of machines among workers, each of which fits on one machine.

    Args:
        hosts: ``CPU`` and ``GPU`` of each machine.
        workers: how many are wanted; by default one for each GPU, or for each core.
        with_gpus: whether GPUs are used.

    Raises:
        UserError: there are fewer cores than workers.

    Example:
        >>> worker_share([{"CPU": 16.0}, {"CPU": 8.0, "GPU": 2.0}], None, with_gpus=True)
        WorkerShare(workers=2, cores=4, gpus=1.0)
    """
    gpus = int(sum(host.get("GPU", 0) for host in hosts)) if with_gpus else 0
    if gpus:
        count = workers or gpus
        of_one = -(-count // gpus)  # workers that share a GPU
        beside = min(host.get("CPU", 1) / host["GPU"] for host in hosts if host.get("GPU"))
        return WorkerShare(count, max(1, int(beside // of_one)), 1 / of_one)
    cores = max(1, int(sum(host.get("CPU", 0) for host in hosts)))
    if workers is not None and workers > cores:
        raise UserError(f"--workers {workers}: there are {cores} cores")
    return WorkerShare(workers or cores, 1, 0)


@contextlib.contextmanager
def _session() -> Iterator[Any]:
    """Join or start a cluster quietly; what was started is ended, and settings are put back."""
    # Else Ray reports that it is used, shows bars of its own, and logs what it can handle itself.
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray: Any = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise UserError(f"--engine ray: {missing_extra('Ray', 'ray')}") from error
    started = not ray.is_initialized()
    if started:
        _start(ray)
    ray_logger, context = logging.getLogger("ray.data"), ray.data.DataContext.get_current()
    before = (ray_logger.level, context.enable_progress_bars, context.print_on_execution_start)
    ray_logger.setLevel(logging.ERROR)
    context.enable_progress_bars = context.print_on_execution_start = False
    try:
        yield ray
    finally:
        ray_logger.setLevel(before[0])
        context.enable_progress_bars, context.print_on_execution_start = before[1:]
        if started:
            ray.shutdown()


def _start(ray: Any) -> None:
    """Join the cluster that the environment names, or start one on this machine.

    Raises:
        UserError: it cannot be joined, or started.
    """
    address = os.environ.get("RAY_ADDRESS")
    _check_answers(address)
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


def _check_answers(address: str | None) -> None:
    """Check that somebody answers at an address of the form HOST:PORT, before Ray waits for long.

    Raises:
        UserError: nobody does.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"RAY_ADDRESS {address}: no cluster answers there ({reason})") from error


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
