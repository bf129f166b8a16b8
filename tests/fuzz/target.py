"""What a target of the fuzzer is, and what counts as a finding."""

import contextlib
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.errors import UserError

Read = Callable[[bytes, Path], object]
"""Reads the content of a file; it may write to the folder, which is its own."""

Form = str
"""How inputs are changed: ``bytes``, or the syntax of the text, ``json`` or ``yaml``."""

MOST_SECONDS = 3.0
"""Seconds of the processor that one input may take."""

MOST_BYTES = 2**30
"""Memory that one input may take."""

DEVELOPERS_WARNINGS = (DeprecationWarning, PendingDeprecationWarning)

CORPUS = Path(__file__).parent / "corpus"
"""Inputs that were findings, by target."""


@dataclass(frozen=True)
class Target:
    """A reader, and what it may do with any bytes.

    Attributes:
        name: its name, also that of its folder of the corpus.
        read: reads an input and checks what it gives; raises ``AssertionError`` for a wrong value.
        seeds: makes valid inputs, small ones, as the library writes them where it does.
        form: the syntax of inputs.
        errors: errors that a wrong input may raise.
        file: name of a file that messages must contain; empty if they need not.
        most: size of the longest inputs, in bytes.
    """

    name: str
    read: Read
    seeds: Callable[[], Sequence[bytes]]
    form: Form = "bytes"
    errors: tuple[type[Exception], ...] = (UserError,)
    file: str = ""
    most: int = 4096

    @property
    def corpus(self) -> list[Path]:
        """Files of inputs that were findings."""
        return sorted((CORPUS / self.name).glob("*"))


@dataclass(frozen=True)
class Finding:
    """What an input should not do.

    Attributes:
        kind: the error, or what took too much.
        place: where in the library, for telling findings apart.
        text: all lines to print.
    """

    kind: str
    place: str
    text: str


def examine(target: Target, content: bytes, folder: Path) -> Finding | None:
    """Let a target read an input; return what is wrong with that, if anything."""
    started, held = time.process_time(), _peak()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        finding = _read(target, content, folder)
    if finding is not None:
        return finding
    seconds, taken = time.process_time() - started, _peak() - held
    # Python shows no one that something is deprecated.
    if shown := [each for each in warned if not issubclass(each.category, DEVELOPERS_WARNINGS)]:
        first = shown[0]
        where = f"{Path(first.filename).name}:{first.lineno}"
        kind = first.category.__name__
        return Finding(kind, where, f"{kind}: {first.message} ({first.filename}:{first.lineno})")
    if seconds > MOST_SECONDS:
        return Finding("TooSlow", "time", f"took {seconds:.1f} seconds")
    if taken > MOST_BYTES:
        return Finding("TooMuchMemory", "memory", f"took {taken >> 20} MiB")
    return None


class _TooSlowError(BaseException):
    """Ends a call that takes too long; not one of the errors that readers translate."""


@contextlib.contextmanager
def _limited_time() -> Iterator[None]:
    """Raise an error in a block that takes the processor for too long."""

    def end(*_signal: object) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _read(target: Target, content: bytes, folder: Path) -> Finding | None:
    try:
        with _limited_time():
            target.read(content, folder)
    except target.errors as error:
        if target.file and target.file not in str(error):
            return _finding(AssertionError(f"the message does not name the file: {error}"), error)
    except _TooSlowError as error:
        lines = traceback.format_exception(error)
        return Finding("TooSlow", "time", "".join(lines)[-6000:])
    except RecursionError as error:
        # Its own lines say enough, and there are a thousand.
        return Finding("RecursionError", _place(error), repr(error))
    except Exception as error:
        return _finding(error, error)
    return None


def _finding(found: Exception, at: Exception) -> Finding:
    lines = traceback.format_exception(at)
    return Finding(type(found).__name__, _place(at), "".join([*lines, f"{found!r}\n"])[-6000:])


def _place(error: BaseException) -> str:
    """Return the innermost line of the library, or of the target."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if "/segdistill/" in each.filename] or list(frames)
    return f"{Path(own[-1].filename).stem}.{own[-1].name}:{own[-1].lineno}"


def _peak() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
