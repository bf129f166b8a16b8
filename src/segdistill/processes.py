"""Distributed runs: process ranks and collective operations.

Processes are started with the environment variables of ``torchrun``: ``RANK``, ``WORLD_SIZE``,
``LOCAL_RANK``, ``LOCAL_WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``. A single process has
rank 0 in a world of size 1, and collective operations are then no-ops.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from segdistill.errors import LostProcessError, UserError

if TYPE_CHECKING:
    from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")

LOST = 3
"""Exit status of a process that ends because another process of the run has ended."""


@dataclass(frozen=True)
class Group:
    """The processes of a distributed run.

    Attributes:
        rank: rank of this process, from 0.
        size: number of processes (world size).

    Example:
        >>> Group().share(["a", "b"])
        ['a', 'b']
        >>> Group(rank=1, size=2).share(["a", "b", "c", "d"])
        ['b', 'd']
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes logs, checkpoints and reports."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this process's share of a list."""
        return list(items[self.rank :: self.size])

    def owns(self, key: str) -> bool:
        """Return whether this process handles the item with a key.

        Args:
            key: hexadecimal digits, uniformly distributed.
        """
        return int(key, 16) % self.size == self.rank

    def from_first(self, work: Callable[[], Result]) -> Result:
        """Run work on rank 0 only, and return its result on all ranks.

        Raises:
            UserError: the error of rank 0, raised there; other ranks raise SystemExit, so that it
                is reported once.
        """
        if self.size == 1:
            return work()
        answer: list[Any] = list(_attempt(work)) if self.is_first else [None, None]
        with lost_process_errors():
            _distributed().broadcast_object_list(answer, src=0)
        result, error = answer
        self._raise(error)
        return result  # type: ignore[no-any-return]

    def each(self, work: Callable[[], Result]) -> list[Result]:
        """Run work on every rank, and return all results on all ranks.

        Returns:
            The results in rank order.

        Raises:
            UserError: the error of the lowest rank that failed, raised on rank 0; other ranks raise
                SystemExit, so that it is reported once.
        """
        if self.size == 1:
            return [work()]
        answers: list[Any] = [None] * self.size
        own = _attempt(work)
        with lost_process_errors():
            _distributed().all_gather_object(answers, own)
        self._raise(next((error for _, error in answers if error is not None), None))
        return [result for result, _ in answers]

    def gather(self, value: Result) -> list[Result]:
        """Return the values of all ranks, in rank order."""
        return self.each(lambda: value)

    def _raise(self, error: UserError | None) -> None:
        if error is not None:
            raise error if self.is_first else SystemExit(2)

    def map_shared(
        self, items: Sequence[Item], work: Callable[[list[Item]], list[Result]]
    ) -> list[Result]:
        """Divide a list among the processes and apply work to each share.

        Args:
            items: the list, the same on all ranks.
            work: maps a share of the list to one result per item.

        Returns:
            The results in the order of the items.

        Raises:
            UserError: as for :meth:`each`.
        """
        parts = self.each(lambda: work(self.share(items)))
        whole: list[Any] = [None] * sum(map(len, parts))
        for rank, each in enumerate(parts):
            whole[rank :: self.size] = each
        return whole

    def average(self, tensors: "Sequence[Tensor]") -> None:
        """Average tensors over the processes in place, in one all-reduce.

        Args:
            tensors: tensors on one device, with the same shapes on every rank.
        """
        if self.size == 1 or not tensors:
            return
        import torch  # noqa: PLC0415 - takes seconds, and a single process does not need it

        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with lost_process_errors():
            _distributed().all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(
            tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(mean.view_as(tensor))

    def barrier(self) -> None:
        """Wait until all processes have reached this point."""
        if self.size > 1:
            with lost_process_errors():
                _distributed().barrier()


SINGLE_PROCESS = Group()


def in_group() -> bool:
    """Return whether this process was started as part of a distributed run."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def started_rank() -> int:
    """Return the rank set at launch; 0 for a single process."""
    return int(os.environ["RANK"]) if in_group() else 0


def close_group() -> None:
    """Destroy the process group, if there is one.

    Otherwise, threads still listening to other processes would abort this one, and rank 0 would
    close the store that the others communicate through.
    """
    if not in_group() or "torch" not in sys.modules:
        return
    distributed = _distributed()
    if distributed.is_available() and distributed.is_initialized():
        with lost_process_errors():
            distributed.barrier()
        distributed.destroy_process_group()


def _distributed() -> Any:
    import torch.distributed  # noqa: PLC0415 - takes seconds, and a single process does not need it

    return torch.distributed


def _attempt(work: Callable[[], Result]) -> tuple[Result | None, UserError | None]:
    try:
        return work(), None
    except UserError as error:
        return None, error


@contextmanager
def lost_process_errors() -> Iterator[None]:
    """Translate torch's errors when another process stops responding.

    Raises:
        LostProcessError: in place of the ``RuntimeError``.
    """
    try:
        yield
    except RuntimeError as error:  # the base class of torch.distributed's errors
        raise LostProcessError(
            "another process of this run has exited, so this one cannot continue"
        ) from error
