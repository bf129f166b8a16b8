"""The ``segdistill`` command."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from segdistill.errors import LostProcessError, UserError
from segdistill.processes import close_group, started_rank
from segdistill.version import __version__

LOST = 3
"""Exit status if another process of a distributed run has ended."""

Command = Callable[[Sequence[str]], int | None]


@dataclass(frozen=True)
class CommandEntry:
    """A command in ``segdistill --help``.

    Attributes:
        module: module whose ``run`` is called; imported only then, since torch takes seconds.
        summary: one-line description.
    """

    module: str
    summary: str


COMMANDS = {
    "fit": CommandEntry(
        "segdistill.cli.fit", "learn to segment a folder of images, without labels"
    ),
    "segment": CommandEntry("segdistill.cli.segment", "write one mask per image"),
    "export": CommandEntry("segdistill.cli.export", "convert masks to other programs' formats"),
    "export-model": CommandEntry(
        "segdistill.cli.export_model", "write a run as ONNX or torch.export program, and check it"
    ),
    "evaluate": CommandEntry("segdistill.cli.evaluate", "score a run against labels"),
    "recluster": CommandEntry(
        "segdistill.cli.recluster", "change a run's number of classes without training again"
    ),
    "classes": CommandEntry("segdistill.cli.classes", "list, merge and hide the classes of a run"),
    "name": CommandEntry("segdistill.cli.name", "name the classes of a run"),
    "figures": CommandEntry("segdistill.cli.figures", "draw figures for a paper"),
    "app": CommandEntry("segdistill.cli.app", "open a run in the browser and name its classes"),
    "correspond": CommandEntry(
        "segdistill.cli.correspond", "draw what a point of an image corresponds to"
    ),
    "probe": CommandEntry("segdistill.cli.probe", "measure a run's codes with a linear probe"),
    "push": CommandEntry("segdistill.cli.push", "share a run on the Hugging Face hub"),
    "convert": CommandEntry(
        "segdistill.cli.convert", "convert a STEGO or DepthG checkpoint to a run"
    ),
    "features": CommandEntry("segdistill.cli.features", "write the feature map of each image"),
    "fetch": CommandEntry(
        "segdistill.cli.fetch", "copy a random sample of a very large set of images"
    ),
    "depth": CommandEntry("segdistill.cli.depth", "estimate depth maps with a network"),
    "sample": CommandEntry(
        "segdistill.cli.sample", "generate a small data set to try segdistill on"
    ),
    "backbones": CommandEntry("segdistill.cli.backbones", "list the backbones"),
    "datasets": CommandEntry("segdistill.cli.datasets", "list the benchmark data sets"),
    "cache": CommandEntry("segdistill.cli.cache", "show or clear the feature store"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what follows ``segdistill``; by default those of the process.

    Returns:
        Exit status: 0, 1 if nothing could be done, 2 for invalid input, 3 if another process of a
        distributed run has ended, 130 if interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help"}:
        print(overview())
        return 0 if given else 2
    if given[0] == "--version":
        print(f"segdistill {__version__}")
        return 0
    if given[0] not in COMMANDS:
        print(unknown_command(given[0]), file=sys.stderr)
        return 2
    _log_to_stderr(quiet="--quiet" in given)
    if not started_rank():
        return run_command(given[0], given[1:])
    # Another rank of a distributed run: rank 0 prints the same.
    logging.getLogger("segdistill").setLevel(logging.CRITICAL)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        return run_command(given[0], given[1:])


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Run one command and convert its errors to messages and an exit status.

    Args:
        name: a key of :data:`COMMANDS`.
        arguments: what follows it.

    Returns:
        Exit status, as for :func:`main`.
    """
    try:
        command: Command = import_module(COMMANDS[name].module).run
        status = command(arguments)
        close_group()
    except UserError as error:
        print(f"segdistill {name}: {error}", file=sys.stderr)
        return 2
    except LostProcessError as error:
        print(f"segdistill {name}: {error}", file=sys.stderr)
        return LOST
    except KeyboardInterrupt:
        if started_rank():
            return 130
        print(f"\nsegdistill {name}: interrupted{how_to_resume(name, arguments)}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output has closed it, as `| head` does.
        sys.stderr.close()
        return 141
    return status or 0


def how_to_resume(name: str, arguments: Sequence[str]) -> str:
    """Return how an interrupted command is resumed, or nothing if it cannot be.

    Example:
        >>> how_to_resume("fit", ["photos"])
        '; run the command again with --resume to continue'
    """
    if name not in {"fit", "segment", "features"}:
        return ""
    if "--resume" in arguments:
        return "; run the command again to continue"
    # How far --overwrite got is unknown here: --resume might continue the old run or masks.
    return "" if "--overwrite" in arguments else "; run the command again with --resume to continue"


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
        print(self.format(record), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
