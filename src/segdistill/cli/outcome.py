"""What commands print about what they have written."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Skipped(Protocol):
    """An image that was skipped."""

    @property
    def reason(self) -> str:
        """Why, starting with its path."""


class Outcome(Protocol):
    """What was written."""

    written: int
    kept: int

    @property
    def folder(self) -> Path | str:
        """Folder or URL it was written to."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Images that could not be read."""


def report_outcome(command: str, label: str, done: Outcome) -> int:
    """Print what was skipped and written, and return the exit status: 1 if nothing was.

    Args:
        command: its name.
        label: names what was written, such as ``Masks``.
        done: the outcome.
    """
    for skipped in done.skipped:
        print(f"Skipped: {skipped.reason}")
    if not done.written and not done.kept:
        count = len(done.skipped)
        none = "the image cannot" if count == 1 else f"none of {count} images can"
        print(f"segdistill {command}: {none} be read; nothing was written", file=sys.stderr)
        return 1
    kept = f", {done.kept} already existed" if done.kept else ""
    print(f"{label + ':':<8} {done.written} written to {done.folder}{kept}")
    return 0


def command_line(*words: object) -> str:
    """Return a command to copy into a shell, quoted where a name needs it.

    Example:
        >>> command_line("segment", "runs/my photos", "IMAGES")
        "segdistill segment 'runs/my photos' IMAGES"
    """
    return shlex.join(["segdistill", *map(str, words)])
