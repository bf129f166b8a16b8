"""Work in the background, of which only the latest state matters."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock


class Background:
    """Runs a job in a thread of its own, as often as needed but no more.

    A job that is asked for while another runs waits for it; one that is asked for while another
    waits is the same. Python finishes waiting jobs before it exits.

    Args:
        job: reads the state when it starts. Errors are kept until the next :meth:`wait`.

    Example:
        >>> done = []
        >>> background = Background(lambda: done.append("once"))
        >>> background.ask()
        >>> background.wait()
        >>> done
        ['once']
        >>> background.close()
    """

    def __init__(self, job: Callable[[], None]) -> None:
        self._job = job
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._lock = Lock()
        self._is_waiting = False
        self._latest: Future[None] | None = None

    def ask(self) -> None:
        """Have the job run again."""
        with self._lock:
            if not self._is_waiting:
                self._is_waiting = True
                self._latest = self._executor.submit(self._run)

    def wait(self) -> None:
        """Wait for what was asked for before; raises the error of the job, if there was one."""
        with self._lock:
            latest = self._latest
        if latest is not None:
            latest.result()

    def close(self) -> None:
        """Finish what was asked for."""
        self._executor.shutdown(wait=True)

    def _run(self) -> None:
        with self._lock:
            self._is_waiting = False
        self._job()
