"""Ray Data engine (an extra): actors on one or more machines, each of which loads the model once.

Ray sends batches to the actors as they become free, with backpressure from the consumer of the
results, and reschedules the batches of lost workers.
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

from segdistill.engines.work import Item, Result, Work
from segdistill.errors import UserError, missing_extra

BATCH = 32
MAX_RESTARTS = 20
MAX_RETRIES = 3
"""Maximum number of retries of a batch whose worker is lost."""

MAX_BLOCKS = 20_000
"""Maximum number of batches, since Ray tracks each pending one; beyond it, batches get larger."""

FAILURE = "failure"
"""Key of a row with an error that stops all work."""

logger = logging.getLogger("segdistill")

CONNECT_SECONDS = 10

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Environment variables, set unless the user has set them."""

ItemColumn = dict[str, NDArray[Any]]


class RayWorker:
    """An actor that holds the loaded model.

    Args:
        threads: number of threads in addition to the one that Ray calls.
    """

    def __init__(self, work: Work, threads: int) -> None:
        self._failure: dict[str, str] | None = None
        try:
            self._process = work.start(threads=threads)
        except UserError as error:
            self._failure = {FAILURE: str(error)}
        except Exception as error:
            # Ray would restart the actor again and again, so report any error as a result.
            logger.debug("worker failed to start", exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            self._failure = {FAILURE: f"--engine ray: a worker failed to start ({reason})"}

    def __call__(self, batch: ItemColumn) -> ItemColumn:
        """Process a batch of items.

        Args:
            batch: items as JSON, in the column ``row``.

        Returns:
            Results in the same form, or one row with the reason for a failure.
        """
        return {"row": np.array([json.dumps(row) for row in self._rows(batch)], dtype=object)}

    def _rows(self, batch: ItemColumn) -> list[dict[str, Any]]:
        if self._failure is not None:
            return [self._failure]
        try:
            items = [Item(**json.loads(text)) for text in batch["row"]]
            return [vars(result) for result in self._process(items)]
        except UserError as error:
            return [{FAILURE: str(error)}]


def run_in_ray(
    work: Work, items: Sequence[Item], *, workers: int | None = None, batch: int = BATCH
) -> Iterator[Result]:
    """Process items with Ray workers, and yield results as they arrive.

    Joins the cluster at ``RAY_ADDRESS`` if set, otherwise starts workers on this machine. Each
    worker gets a GPU if there are any, otherwise a core.

    Args:
        workers: number of workers; by default one per GPU, or one per core.
        batch: items per batch, which is what a lost worker has to redo.

    Raises:
        UserError: Ray is not installed, or a worker reported an error.
    """
    with _ray_session() as ray:
        hosts = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        share = worker_share(hosts, workers, with_gpus=work.device != "cpu")
        blocks = max(1, min(-(-len(items) // batch), MAX_BLOCKS))
        rows = [{"row": json.dumps(vars(item))} for item in items]
        data = ray.data.from_items(rows, override_num_blocks=blocks)
        with warnings.catch_warnings():
            # Ray deprecates these arguments without a replacement yet.
            warnings.filterwarnings("ignore", message=".*ray_remote_args")
            results = data.map_batches(
                RayWorker,
                # One core is for the thread that Ray calls.
                fn_constructor_args=(work, share.cores - 1),
                batch_size=-(-len(items) // blocks),
                compute=ray.data.ActorPoolStrategy(size=min(share.workers, blocks)),
                num_cpus=share.cores,
                num_gpus=share.gpus or None,
                **_retry_limits(data.map_batches),
            )
        try:
            for result in results.iter_rows():
                row = json.loads(result["row"])
                if FAILURE in row:
                    raise UserError(row[FAILURE])
                yield Result(**row)
        except ray.exceptions.RayError as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(
                f"--engine ray: workers failed repeatedly ({reason}); if memory is short, use fewer"
                " --workers; add --resume to continue"
            ) from error


def _retry_limits(map_batches: Callable[..., Any]) -> dict[str, int]:
    """Return limits for restarts and retries, if this version of Ray accepts them.

    By default, Ray retries forever.
    """
    kinds = [parameter.kind for parameter in inspect.signature(map_batches).parameters.values()]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        return {}
    return {"max_restarts": MAX_RESTARTS, "max_task_retries": MAX_RETRIES}


class WorkerShare(NamedTuple):
    """Resources of each worker.

    Attributes:
        workers: number of workers.
        cores: cores per worker.
        gpus: GPUs per worker; 0 for CPU workers.
    """

    workers: int
    cores: int
    gpus: float


def worker_share(
    hosts: Sequence[Mapping[str, float]], workers: int | None, *, with_gpus: bool
) -> WorkerShare:
    """Divide the cores and GPUs of machines among workers; each worker runs on one machine.

    Args:
        hosts: number of ``CPU`` and ``GPU`` of each machine.
        workers: number of workers; by default one per GPU, or one per core.
        with_gpus: whether to use GPUs.

    Raises:
        UserError: there are fewer cores than workers.

    Example:
        >>> worker_share([{"CPU": 16.0}, {"CPU": 8.0, "GPU": 2.0}], None, with_gpus=True)
        WorkerShare(workers=2, cores=4, gpus=1.0)
    """
    gpus = int(sum(host.get("GPU", 0) for host in hosts)) if with_gpus else 0
    if gpus:
        count = workers or gpus
        per_gpu = -(-count // gpus)  # workers that share a GPU
        cores_per_gpu = min(host.get("CPU", 1) / host["GPU"] for host in hosts if host.get("GPU"))
        return WorkerShare(count, max(1, int(cores_per_gpu // per_gpu)), 1 / per_gpu)
    cores = max(1, int(sum(host.get("CPU", 0) for host in hosts)))
    if workers is not None and workers > cores:
        raise UserError(f"--workers {workers}: only {cores} cores available")
    return WorkerShare(workers or cores, 1, 0)


@contextlib.contextmanager
def _ray_session() -> Iterator[Any]:
    """Join or start a cluster quietly; afterwards shut it down if started, and restore settings."""
    # Disable usage reports, Ray's own progress bars, and logs of errors that Ray recovers from.
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
    """Join the cluster at ``RAY_ADDRESS``, or start one on this machine.

    Raises:
        UserError: the cluster cannot be joined or started.
    """
    address = os.environ.get("RAY_ADDRESS")
    _check_reachable(address)
    try:
        with _silenced_stderr():  # Ray prints its log level there
            ray.init(
                # "local" keeps Ray from joining a cluster left on this machine, running or not.
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (OSError, RuntimeError, ValueError) as error:  # connection errors are OSErrors
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if address:
            raise UserError(
                f"RAY_ADDRESS {address}: cannot connect to the cluster ({reason})"
            ) from error
        raise UserError(f"--engine ray: cannot start workers ({reason})") from error


def _check_reachable(address: str | None) -> None:
    """Check that HOST:PORT accepts connections, since Ray itself waits for a long time.

    Raises:
        UserError: the connection fails.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"RAY_ADDRESS {address}: cannot connect to the cluster ({reason})"
        ) from error


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Discard what native libraries print to standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # already closed
        yield
        return
    try:
        with Path(os.devnull).open("w") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
