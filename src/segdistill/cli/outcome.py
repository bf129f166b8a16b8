"""What commands that write something for each image say at their end."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from segdistill.images.finding import check_exists
from segdistill.storage import is_url


class Skipped(Protocol):
    """An image that could not be used."""

    @property
    def reason(self) -> str:
        """Why, beginning with its path."""


class Outcome(Protocol):
    """What was written for images."""

    written: int
    kept: int

    @property
    def folder(self) -> Path | str:
        """Where; a path, or a URL."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Images that could not be read."""


def check_sources(sources: Sequence[str]) -> None:
    """Check that sources are there, as far as that can be told without asking another machine.

    Raises:
        UserError: one is not.
    """
    for source in sources:
        if not is_url(source):
            check_exists(source)


def tell_outcome(command: str, label: str, done: Outcome) -> int:
    """Say what was skipped and what was written.

    Args:
        command: its name.
        label: of what was written, such as ``Masks``.
        done: what was written.

    Returns:
        Exit status: 1 if there is nothing at all.
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
    kept = f", {done.kept} were there already" if done.kept else ""
    print(f"{label + ':':<8} {done.written} written to {done.folder}{kept}")
    return 0
