"""The check of RUN that every command which takes a run folder makes first; it needs no torch."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from segdistill.errors import UserError
from segdistill.layout import DESCRIPTION_FILE, SETTINGS_FILE


def check_run(
    run: str, images: Mapping[str, Sequence[str]], command: str, arguments: Sequence[str]
) -> None:
    """Check that RUN is a finished run folder, and was not swapped with another argument.

    Args:
        run: as given.
        images: what may have been swapped with it, by the name of the argument.
        command: name of the command.
        arguments: what the user typed after it, to suggest the same with RUN in its place.

    Raises:
        UserError: it is not; the message suggests a fix.
    """
    if is_run(run):
        return
    for name, values in images.items():
        for value in values:
            if is_run(value):
                words = ["segdistill", command, *swapped(arguments, run, value)]
                raise UserError(
                    f"{run}: not a run folder. Did you swap RUN and {name}?"
                    f" Try: {shlex.join(words)}"
                )
    check_finished(run)


def check_finished(run: str, option: str = "") -> None:
    """Check that a path, given as RUN or with an option, is a finished run folder.

    Raises:
        UserError: it is not.
    """
    if is_run(run):
        return
    given = f"{option} {run}".strip()
    if not Path(run[:255]).exists():
        raise UserError(f"{given}: no such run folder; `segdistill fit` writes one")
    if (Path(run) / SETTINGS_FILE).is_file():
        resume = shlex.join(["segdistill", "fit", "IMAGES", "--out", run, "--resume"])
        raise UserError(f"{given}: the fit has not finished; resume it: {resume}")
    raise UserError(
        f"{given}: not a run folder (no {DESCRIPTION_FILE}); give a folder that `segdistill fit`"
        " wrote"
    )


def swapped(arguments: Sequence[str], first: str, second: str) -> list[str]:
    """Return a command line with two of its values swapped, each where it appears first.

    Example:
        >>> swapped(["photos", "--images=run", "--out", "photos"], "photos", "run")
        ['run', '--images=photos', '--out', 'photos']
    """
    swaps = {first: second, second: first}
    words = []
    for word in arguments:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        words.append(f"{option}{equals}{swaps.pop(value, value)}")
    return words


def is_run(path: str) -> bool:
    """Return whether a path is a finished run folder."""
    try:
        return (Path(path) / DESCRIPTION_FILE).is_file()
    except OSError:  # a name that is too long for the file system, say
        return False
