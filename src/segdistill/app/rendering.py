"""Rendering of the HTML templates, with autoescaping."""

from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2

from segdistill.report import text


def render(template: str, **context: Any) -> str:
    """Render a template as HTML.

    Args:
        template: file name in this package.
        **context: variables of the template, which are escaped.

    Example:
        >>> "&lt;b&gt;" in render("notice.html.j2", text="<b>", failed=False)
        True
    """
    filled = _environment().get_template(template).render(context)
    # File names may contain bytes that are not valid UTF-8.
    return filled.encode("utf-8", "replace").decode("utf-8")


def part(name: str) -> str:
    """Return the text of a file in this package: a template, the style sheet or the script."""
    return resources.files("segdistill.app").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(part),
    )
    environment.globals["counted"] = text.counted
    return environment
