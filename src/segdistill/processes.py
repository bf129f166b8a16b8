"""Several processes that do one piece of work: which of them this one is, and what they share.

Whoever starts them says so in the environment, in the words of ``torchrun``: ``RANK``,
``WORLD_SIZE``, ``LOCAL_RANK``, ``LOCAL_WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``. Alone, a
process is the first of one, and everything here costs nothing.
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


@dataclass(frozen=True)
class Group:
    """The processes that work together.

    Attributes:
        rank: of this one, from 0.
        size: how many there are.

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
        """Whether this process writes what is written once: logs, checkpoints, reports."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return the part of a list that is this process's to work on."""
        return list(items[self.rank :: self.size])

    def owns(self, key: str) -> bool:
        """Return whether what has a key is this process's to make.

        Args:
            key: hexadecimal digits, evenly spread.
        """
        return int(key, 16) % self.size == self.rank

    def from_first(self, work: Callable[[], Result]) -> Result:
        """Let the first process do some work, and return what it gives in all of them.

        Raises:
            UserError: what the first process met; in the others SystemExit, so that it is told
                once.
        """
        if self.size == 1:
            return work()
        answer: list[Any] = list(_attempt(work)) if self.is_first else [None, None]
        with told_if_lost():
            _distributed().broadcast_object_list(answer, src=0)
        result, error = answer
        self._raise(error)
        return result  # type: ignore[no-any-return]

    def each(self, work: Callable[[], Result]) -> list[Result]:
        """Let each process do its part of some work, and return all parts in all of them.

        Returns:
            The parts in the order of the ranks.

        Raises:
            UserError: what the first in rank of those met that met something; in the others
                SystemExit, so that it is told once.
        """
        if self.size == 1:
            return [work()]
        answers: list[Any] = [None] * self.size
        own = _attempt(work)
        with told_if_lost():
            _distributed().all_gather_object(answers, own)
        self._raise(next((error for _, error in answers if error is not None), None))
        return [result for result, _ in answers]

    def gathered(self, part: Result) -> list[Result]:
        """Return what each process has, in the order of their ranks."""
        return self.each(lambda: part)

    def _raise(self, error: UserError | None) -> None:
        if error is not None:
            raise error if self.is_first else SystemExit(2)

    def shared_out(
        self, items: Sequence[Item], work: Callable[[list[Item]], list[Result]]
    ) -> list[Result]:
        """Share a list out, and put together again what the processes made of it.

        Args:
            items: the same in all processes.
            work: makes a result of each item of a share.

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
        """Replace tensors by their means over the processes, in one exchange.

        Args:
            tensors: of any shapes, the same in all processes, on one device.
        """
        if self.size == 1 or not tensors:
            return
        import torch  # noqa: PLC0415 - takes seconds, and a process alone does without

        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with told_if_lost():
            _distributed().all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(
            tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(mean.view_as(tensor))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            with told_if_lost():
                _distributed().barrier()


ALONE = Group()


def in_group() -> bool:
    """Return whether this process was started as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def started_rank() -> int:
    """Return the rank that this process was started with, 0 if alone."""
    return int(os.environ["RANK"]) if in_group() else 0


def leave_group() -> None:
    """Take leave of the other processes, if this one has joined any.

    A process that just ended would be aborted by threads that still listen to the others, and the
    first would end the exchange by which they do.
    """
    if not in_group() or "torch" not in sys.modules:
        return
    distributed = _distributed()
    if distributed.is_available() and distributed.is_initialized():
        with told_if_lost():
            distributed.barrier()
        distributed.destroy_process_group()


def _distributed() -> Any:
    import torch.distributed  # noqa: PLC0415 - takes seconds, and a process alone does without

    return torch.distributed


def _attempt(work: Callable[[], Result]) -> tuple[Result | None, UserError | None]:
    try:
        return work(), None
    except UserError as error:
        return None, error


@contextmanager
def told_if_lost() -> Iterator[None]:
    """Reword what torch says when another process does not answer any more.

    Raises:
        LostProcessError: in place of the error.
    """
    try:
        yield
    except RuntimeError as error:  # torch.distributed's errors are of this kind
        raise LostProcessError(
            "another process of this run has ended, so that this one cannot go on"
        ) from error
