"""Errors that a user can fix."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import Any


class UserError(Exception):
    """Invalid input; the message says what is wrong and suggests a fix.

    Library code raises this error (or a subclass) for every invalid input, so callers can tell
    user errors from bugs. The command line prints the message without a traceback and exits with
    status 2.

    Example:
        >>> raise UserError("photos/: no images found; give a folder that holds images")
        Traceback (most recent call last):
        ...
        segdistill.errors.UserError: photos/: no images found; give a folder that holds images
    """


class LostProcessError(Exception):
    """Another process of a distributed run has exited; the input is not at fault."""


class FullDiskError(UserError):
    """A local disk is full; retrying or skipping a file would not help."""


class UnreadableImageError(UserError):
    """A file that is named like an image but cannot be decoded."""


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
