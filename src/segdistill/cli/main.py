"""The ``segdistill`` command."""

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from segdistill.cli.interrupts import interruptible
from segdistill.cli.outcome import command_line
from segdistill.errors import LostProcessError, UserError, is_out_of_memory, printable
from segdistill.operations import COMMANDS, MORE_MEMORY, Operation
from segdistill.processes import LOST, close_group, started_rank
from segdistill.version import __version__

if TYPE_CHECKING:
    from segdistill.cli.parser import CommandParser


LONGEST_HINT = 1000
"""Letters of a command that is worth showing; a shell may have put thousands of names in it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what follows ``segdistill``; by default those of the process.

    Returns:
        Exit status: 0, 1 if nothing could be done or memory ran out, 2 for invalid input, 3 if
        another process of a distributed run has ended, 130 if interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["help"]:
        given = [*given[1:2], "--help"]
    if not given or given[0] in {"-h", "--help"}:
        _print_for_pipes(overview())
        return 0 if given else 2
    if given[0] == "--version":
        print(f"segdistill {__version__}")
        return 0
    if given[0] not in COMMANDS:
        print(unknown_command(given[0]), file=sys.stderr)
        return 2
    _log_to_stderr(quiet="--quiet" in given)
    if not started_rank():
        stream: Any = _Printable(sys.stdout)
        with contextlib.redirect_stdout(stream):
            return run_command(given[0], given[1:])
    # Another rank of a distributed run: rank 0 prints the same.
    logging.getLogger("segdistill").setLevel(logging.CRITICAL)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        return run_command(given[0], given[1:])


def run_process() -> int:
    """Run the command of this process, which ends afterwards; see :func:`main`."""
    status = main()
    # Otherwise, the interpreter searches all of torch for garbage at its end, for half a second.
    gc.freeze()
    return status


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Run one command; its errors become messages and the exit status of :func:`main`."""
    entry = COMMANDS[name]
    resume = how_to_resume(entry, arguments)
    try:
        status = interruptible(
            lambda: _run(name, entry, arguments, resume), lambda: _end_interrupted(name, resume)
        )
        close_group()
    except (UserError, LostProcessError) as error:
        print(f"segdistill {name}: {error}", file=sys.stderr)
        return LOST if isinstance(error, LostProcessError) else 2
    except KeyboardInterrupt:
        _print_interrupted(name, resume)
        return 130
    except BrokenPipeError:
        # The reader of the output has closed it, as `| head` does.
        sys.stderr.close()
        return 141
    except (RuntimeError, OSError, MemoryError, ImportError) as error:
        if not is_out_of_memory(error):
            raise
        # While libraries are imported, nothing depends on the options.
        advice = MORE_MEMORY if isinstance(error, ImportError) else entry.saves_memory
        print(f"segdistill {name}: out of memory; {advice}{resume}", file=sys.stderr)
        return 1
    return status or 0


def _run(name: str, entry: Operation, arguments: Sequence[str], resume: str) -> int | None:
    from segdistill.cli.arguments import keywords

    parser = parser_of(entry)
    given = parser.parse(arguments)
    if entry.processes:
        from segdistill.cli.distributed import run_distributed

        devices, nodes = given.get("devices", 1), given.get("nodes", 1)
        status = run_distributed([name, *arguments], devices, nodes, resume)
        if status is not None:
            return status
    return parser.function(**keywords(parser.function, given))


def _print_interrupted(name: str, resume: str) -> None:
    if not started_rank():
        print(f"\nsegdistill {name}: interrupted{resume}", file=sys.stderr)


def _end_interrupted(name: str, resume: str) -> None:
    """End the process in the middle of an import, which cannot be stopped in any other way."""
    _print_interrupted(name, resume)
    sys.stderr.flush()
    os._exit(130)


def parser_of(operation: Operation) -> "CommandParser":
    """Return the parser of a command, which knows the function."""
    from segdistill.cli.parser import COMPUTE, CommandParser

    name = operation.command
    module = import_module(f"segdistill.cli.{operation.parser}")
    function = getattr(module, name.replace("-", "_"))
    sections = getattr(module, f"{function.__name__.upper()}_SECTIONS", COMPUTE)
    return CommandParser(name, function, sections, distributed=operation.processes)


def how_to_resume(command: Operation, arguments: Sequence[str]) -> str:
    """Return how an interrupted command is resumed, or nothing if it cannot be.

    Example:
        >>> how_to_resume(COMMANDS["fit"], ["my photos", "--classes", "8"])
        "; to continue: segdistill fit 'my photos' --classes 8 --resume"
    """
    # How far --overwrite got is unknown here: --resume might continue the old run or masks.
    if not command.resumes or "--overwrite" in arguments:
        return ""
    if command.resumes == "same" or "--resume" in arguments:
        return "; run the command again to continue"
    options = arguments.index("--") if "--" in arguments else len(arguments)
    again = [*arguments[:options], "--resume", *arguments[options:]]
    line = command_line(command.command, *again)
    if len(line) > LONGEST_HINT:
        return "; run the command again with --resume to continue"
    return f"; to continue: {printable(line)}"


def overview() -> str:
    """Return the text of ``segdistill --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {entry.summary}" for name, entry in COMMANDS.items()]
    return "\n".join(
        [
            "segdistill learns to segment images without labels.",
            "",
            "  segdistill fit PHOTOS                        # -> runs/PHOTOS",
            "  segdistill segment runs/PHOTOS MORE_PHOTOS   # -> one mask per photo",
            "",
            "Commands:",
            *lines,
            "",
            "`segdistill COMMAND --help` shows its options; `segdistill --version` the version.",
        ]
    )


def _print_for_pipes(text: str) -> None:
    """Print text, of which `| head` may read only the beginning."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Nor is it reported when Python ends.
        sys.stderr.close()


def unknown_command(name: str) -> str:
    """Return the error for a command that does not exist."""
    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
    return f"segdistill: no command {name!r}; {hint}"


def _log_to_stderr(*, quiet: bool) -> None:
    logger = logging.getLogger("segdistill")
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if not logger.handlers:
        logger.addHandler(_StandardErrorHandler())


class _StandardErrorHandler(logging.Handler):
    """Print messages to the current ``sys.stderr``, which may be redirected."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(self.format(record), keep="\n"), file=sys.stderr)


class _Printable:
    """Writes to a stream, without the control characters of names that others have chosen."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, and return the number of characters written."""
        return self._stream.write(printable(text, keep="\n\t"))

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


if __name__ == "__main__":
    sys.exit(run_process())
