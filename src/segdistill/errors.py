"""Errors that a user can fix, and text that is safe to print."""

import contextlib
import errno
import json
import shlex
import unicodedata
from pathlib import Path
from typing import Any

LONGEST_MESSAGE = 2000
LONGEST_DETAILS = 20_000
OUT_OF_MEMORY = (
    "can't allocate memory",  # torch on the CPU
    "Cannot allocate memory",
    "std::bad_alloc",  # faiss, and other C++
    "CUDA out of memory",
    "can't start new thread",
    "failed to map segment from shared object",  # while importing
)
# Control characters, formatting such as a change of direction, lone surrogates, line separators.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, *, keep: str = "") -> str:
    r"""Return text with escapes in place of what would change the terminal or the line.

    Names of files and classes come from others: they may hold control characters, which could
    colour, hide or forge what a terminal shows.

    Args:
        text: any text.
        keep: characters that are left as they are.

    Example:
        >>> print(printable("a\x1b[2Jb\ncafé"))
        a\x1b[2Jb\ncafé
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        repr(each)[1:-1] if unicodedata.category(each) in UNPRINTABLE and each not in keep else each
        for each in text
    )


class UserError(Exception):
    """Invalid input; the message says what is wrong and suggests a fix.

    Library code raises this error (or a subclass) for every invalid input, so callers can tell
    user errors from bugs. The command line prints the message without a traceback and exits with
    status 2. The message is one line of bounded length, without control characters.

    Args:
        message: one line.
        details: further lines, such as a file to fill in.

    Example:
        >>> raise UserError("photos/: no images found; give a folder that contains images")
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: photos/: no images found; give a folder that contains images
    """

    def __init__(self, message: str, *, details: str = "") -> None:
        lines = [printable(_bounded(message, LONGEST_MESSAGE))]
        if details:
            lines.append(printable(_bounded(details, LONGEST_DETAILS), keep="\n"))
        super().__init__("\n".join(lines))


def _bounded(text: str, longest: int) -> str:
    """Shorten a long text in its middle, since the end often holds the advice."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [...] {text[-half:]}"


class LostProcessError(Exception):
    """Another process of a distributed run has exited; the input is not at fault."""


class FullDiskError(UserError):
    """A local disk is full; retrying or skipping a file would not help."""


class UnreadableImageError(UserError):
    """A file that is named like an image but cannot be decoded."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory cannot be allocated, in a library's words.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("a bug"))
        (True, False)
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error)
    return any(each in text for each in OUT_OF_MEMORY)


def missing_extra(package: str, extra: str) -> str:
    """Return the part of an error message that names a missing optional dependency.

    Args:
        package: display name of the missing package, for example ``PyAV``.
        extra: the segdistill extra that installs it, for example ``video``.

    Example:
        >>> missing_extra("PyAV", "video")  # doctest: +ELLIPSIS
        "needs PyAV; run pip install ...[video]'"
    """
    return f"needs {package}; run {install_command(extra)}"


def install_command(extra: str) -> str:
    """Return the pip command that adds an extra to this installation.

    If segdistill was installed from a local folder, the command installs from that folder.
    """
    # Imported here because they are slow and every module imports this one.
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415
    from urllib.request import url2pathname  # noqa: PLC0415

    source: dict[str, Any] = {}
    with contextlib.suppress(PackageNotFoundError):
        # Where the package was installed from (PEP 610).
        source = json.loads(distribution("segdistill").read_text("direct_url.json") or "{}")
    requirement, editable = "segdistill", False
    url = urlsplit(source.get("url", ""))
    if url.scheme == "file" and "dir_info" in source:
        folder = Path(url2pathname(url.path))
        if (folder / "pyproject.toml").is_file():
            requirement = "." if folder == Path.cwd() else str(folder)
            editable = bool(source["dir_info"].get("editable"))
    flag = "-e " if editable else ""
    return f"pip install {flag}{shlex.quote(f'{requirement}[{extra}]')}"
