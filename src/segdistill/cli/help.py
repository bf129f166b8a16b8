"""The layout of every command's ``--help``."""

import textwrap
from argparse import SUPPRESS, Action, _HelpAction
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from jsonargparse import DefaultHelpFormatter

WIDEST = 100
OPTION_COLUMN = 26
METAVARS = {int: "N", float: "X", Path: "PATH"}


class HelpFormatter(DefaultHelpFormatter):
    """Show what each option does, and its default where it has one; no Python types, no ``null``.

    Args:
        prog: name of the command.
        **options: as for :class:`argparse.HelpFormatter`.
    """

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"max_help_position": OPTION_COLUMN, **options})  # type: ignore[no-untyped-call]
        self._width = min(self._width, WIDEST)

    def _get_help_string(self, action: Action) -> str:
        if isinstance(action, _HelpAction):
            return "show this help and exit"
        # Descriptions of settings are docstrings.
        text = " ".join((action.help or "").replace("``", "`").split()).removesuffix(".")
        if action.required and action.option_strings:
            return f"{text} (required)"
        default = default_text(action)
        return f"{text} (default: {default})" if default and "default" not in text else text

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        declared = declared_type(action)
        if get_origin(declared) is Literal:
            return f"{{{','.join(get_args(declared))}}}"
        return METAVARS.get(declared, super()._get_default_metavar_for_optional(action))

    def _format_args(self, action: Action, default_metavar: str) -> str:
        if action.nargs == "+" and action.option_strings:
            return f"{action.metavar or default_metavar} ..."
        return super()._format_args(action, default_metavar)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Commands to copy, which are indented, stay on one line.
        parts = [
            part
            if part.startswith(" ")
            else textwrap.fill(
                part,
                width,
                initial_indent=indent,
                subsequent_indent=indent,
                break_on_hyphens=False,
            )
            for part in text.split("\n\n")
        ]
        return "\n\n".join(parts)


def default_text(action: Action) -> str | None:
    """Return the default of an option that takes a value, as typed, or ``None`` if it has none."""
    default = action.default
    if action.nargs == 0 or default in (None, SUPPRESS, ""):
        return None
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, list | tuple):
        return " ".join(map(str, default)) or None
    # Groups of settings, which are given as a file, have their defaults one by one.
    return None if isinstance(default, Mapping) else str(default)


def declared_type(action: Action) -> Any:
    """Return the type of an option's value, without the ``None`` of one that may be left out."""
    declared = getattr(action, "_typehint", action.type)
    choices = [each for each in get_args(declared) if each is not NoneType]
    if get_origin(declared) is not Literal and len(choices) == 1:
        return choices[0]
    return declared
