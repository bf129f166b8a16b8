"""Filling a page's template: everything given is escaped, and nothing comes from outside."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from segdistill.report import text

LISTED_SKIPS = 200


def render(
    template: str,
    context: Mapping[str, Any],
    *,
    styles: Sequence[str] = ("style.css",),
    script: str | None = None,
) -> str:
    """Return a page that needs no other file and no network.

    Args:
        template: file of this package that extends ``layout.html.j2``.
        context: what the template names; everything in it is escaped.
        styles: style sheets of this package.
        script: script of this package; the page's policy allows this one and no other.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_part),
    )
    environment.globals["counted"] = text.counted
    code = _part(script) if script else ""
    page = environment.get_template(template).render(
        context,
        # Both are this package's own files.
        style=Markup("\n".join(map(_part, styles))),  # noqa: S704
        script=Markup(code),  # noqa: S704
        script_digest=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii"),
    )
    # File names may hold bytes that are no text; they must not cost a run its page.
    return page.encode("utf-8", "replace").decode("utf-8")


def skipped_files(skipped: Sequence[tuple[str, str]], most: int = LISTED_SKIPS) -> dict[str, Any]:
    """Return the section on skipped files.

    Args:
        skipped: files, and why.
        most: maximum number of files listed.

    Example:
        >>> skipped_files([("a.jpg", "a.jpg: the file is empty"), ("b.jpg", "no image")], 1)
        {'skipped': [('a.jpg', 'the file is empty')], 'skipped_count': 2, 'not_listed': 1}
    """
    # Like errors, reasons begin with the file; the table has a column for it.
    listed = [(file, reason.removeprefix(f"{file}: ")) for file, reason in skipped[:most]]
    return {
        "skipped": listed,
        "skipped_count": len(skipped),
        "not_listed": len(skipped) - len(listed),
    }


def _part(name: str) -> str:
    return resources.files("segdistill.report").joinpath(name).read_text(encoding="utf-8")
