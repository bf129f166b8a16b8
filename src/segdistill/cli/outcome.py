"""The summary of commands that write something per image."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from segdistill.images.finding import check_exists
from segdistill.storage import is_url


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


def check_sources(sources: Sequence[str]) -> None:
    """Check that local sources exist; URLs are not checked.

    Raises:
        UserError: one does not exist.
    """
    for source in sources:
        if not is_url(source):
            check_exists(source)


def report_outcome(command: str, label: str, done: Outcome) -> int:
    """Print what was skipped and what was written.

    Args:
        command: its name.
        label: names what was written, such as ``Masks``.
        done: the outcome.

    Returns:
        Exit status: 1 if nothing was written or existed already.
    """
    for skipped in done.skipped:
        print(f"Skipped: {skipped.reason}")
    if not done.written and not done.kept:
        print(
            f"segdistill {command}: none of {len(done.skipped)} images can be read;"
            " nothing was written",
            file=sys.stderr,
        )
        return 1
    kept = f", {done.kept} existed already" if done.kept else ""
    print(f"{label + ':':<8} {done.written} written to {done.folder}{kept}")
    return 0
