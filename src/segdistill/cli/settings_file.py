"""Checks of settings files before they are used, so that errors name the file."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from segdistill.cli.parser import CommandParser
from segdistill.config.settings import FitSettings
from segdistill.errors import UserError

EXAMPLE = "write lines such as `classes: 8`"


def values_of(option: str, arguments: Sequence[str]) -> list[str]:
    """Return all values given for an option.

    Args:
        option: with its dashes.
        arguments: the command line.

    Example:
        >>> values_of("--config", ["--config", "a.yaml", "--quiet", "--config=b.yaml"])
        ['a.yaml', 'b.yaml']
    """
    values = [value for name, value in pairwise(arguments) if name == option]
    return values + [
        argument.removeprefix(f"{option}=")
        for argument in arguments
        if argument.startswith(f"{option}=")
    ]


def check_settings_file(
    path: str, command: CommandParser, settings_from: Callable[[Namespace], FitSettings]
) -> None:
    """Check the content of a settings file.

    Args:
        path: the file.
        command: a parser that reads nothing else.
        settings_from: builds settings from the parsed options.

    Raises:
        UserError: the file cannot be read, is not YAML, or holds something that is not a setting;
            the message names the file and suggests a fix.
    """
    text = _read_text(Path(path))
    _check_form(path, _load(path, text))
    command.file = path
    options = command.parse_string(text)
    try:
        settings_from(options).validated()
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix('--')}") from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path of --config") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; give a YAML file of settings") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def _load(path: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path}: not YAML{position}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML ({reason}); {EXAMPLE}") from error


def _check_form(path: str, content: Any) -> None:
    """Check that the file maps names to settings, and groups to groups of settings."""
    if not isinstance(content, dict) or not content:
        kinds = {dict: "nothing", type(None): "nothing", list: "a list"}
        found = kinds.get(type(content), "only text")
        raise UserError(f"{path}: contains {found} instead of settings; {EXAMPLE}")
    if "config" in content:
        raise UserError(
            f"{path}: config: a settings file cannot include another; give --config twice"
        )
    for field in fields(FitSettings):
        group: Any = field.default_factory
        if is_dataclass(group) and not isinstance(content.get(field.name, {}), dict):
            first = fields(group)[0].name
            raise UserError(
                f"{path}: {field.name}: must be followed by indented lines such as `{first}: ...`"
            )
