"""Ctrl-C while libraries are imported."""

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")

PAUSE_SECONDS = 0.05
"""Time after which an interrupt that came during an import is tried again."""

PATIENCE_SECONDS = 0.5
"""Time that an import has to end; importing torch takes longer, and nothing is lost by then."""


def interruptible(work: Callable[[], Result], give_up: Callable[[], None]) -> Result:
    """Run work; an interrupt during an import is raised when the import has ended.

    Libraries catch whatever their own imports raise, to do without what they lack: an interrupt
    would be lost, or half a library would remain and fail later.

    Args:
        work: what to run.
        give_up: ends the process, if an import takes long.

    Returns:
        What it returns.

    Raises:
        KeyboardInterrupt: the user has pressed Ctrl-C.
    """
    # Elsewhere, someone else decides what an interrupt does: none may reach a command that a shell
    # has started in the background.
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        return work()
    waiting: list[threading.Timer] = []

    def interrupt(_number: int, frame: FrameType | None) -> None:
        if not _imports(frame):
            raise KeyboardInterrupt
        if len(waiting) * PAUSE_SECONDS >= PATIENCE_SECONDS:
            give_up()
        timer = threading.Timer(PAUSE_SECONDS, _interrupt_again)
        timer.daemon = True
        waiting.append(timer)
        timer.start()

    signal.signal(signal.SIGINT, interrupt)
    try:
        return work()
    finally:
        for timer in waiting:
            timer.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _imports(frame: FrameType | None) -> bool:
    """Return whether a frame belongs to an import that the work has begun."""
    while frame is not None and frame.f_code is not interruptible.__code__:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _interrupt_again() -> None:
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:
        # A signal to the thread itself also ends what it waits for.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
