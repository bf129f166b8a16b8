"""Rendering of templates to self-contained pages, with all values escaped."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
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
    """Render a template to a self-contained HTML page.

    Args:
        template: template file in this package that extends ``layout.html.j2``.
        script: script in this package; the page's content security policy allows no other.
    """
    code = _part(script) if script else ""
    page = (
        templates(_part)
        .get_template(template)
        .render(
            context,
            # Both are files of this package.
            style=Markup("\n".join(map(_part, styles))),  # noqa: S704
            script=Markup(code),  # noqa: S704
            script_digest=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii"),
        )
    )
    return without_undecodable(page)


@cache
def templates(read: Callable[[str], str]) -> jinja2.Environment:
    """Return an environment for templates that escapes all values.

    There is one for each ``read``: it keeps the templates that it has compiled.

    Args:
        read: returns the text of a template.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(read),
    )
    environment.globals["counted"] = text.counted
    return environment


def without_undecodable(page: str) -> str:
    """Replace bytes of file names that are not valid UTF-8, which could not be written."""
    return page.encode("utf-8", "replace").decode("utf-8")


def skipped_files(skipped: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the section on skipped files.

    Args:
        skipped: skipped files and reasons.

    Example:
        >>> skipped_files([("a.jpg", "a.jpg: the file is empty"), ("b.jpg", "no image")])
        {'skipped': [('a.jpg', 'the file is empty'), ('b.jpg', 'no image')], 'skipped_count': 2, \
'not_listed': 0}
    """
    # Like errors, reasons start with the file, which has its own column in the table.
    listed = [(file, reason.removeprefix(f"{file}: ")) for file, reason in skipped[:LISTED_SKIPS]]
    return {
        "skipped": listed,
        "skipped_count": len(skipped),
        "not_listed": len(skipped) - len(listed),
    }


def _part(name: str) -> str:
    return resources.files("segdistill.report").joinpath(name).read_text(encoding="utf-8")
