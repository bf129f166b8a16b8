"""Filling the templates of the page's views; everything given is escaped."""

from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2

from segdistill.report import text


def render(template: str, **context: Any) -> str:
    """Return a view as HTML.

    Args:
        template: file of this package.
        **context: what the template names; everything in it is escaped.

    Example:
        >>> "&lt;b&gt;" in render("notice.html.j2", text="<b>", failed=False)
        True
    """
    filled = _environment().get_template(template).render(context)
    # File names may hold bytes that are no text.
    return filled.encode("utf-8", "replace").decode("utf-8")


def part(name: str) -> str:
    """Return the text of a file of this package: a template, the style sheet or the script."""
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
