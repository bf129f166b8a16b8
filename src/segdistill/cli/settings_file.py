"""Settings from YAML files and presets, with errors that name the file."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from segdistill.cli.arguments import Argument, no_such
from segdistill.config.presets import preset_path
from segdistill.config.settings import REMOVED_SETTINGS, FitSettings
from segdistill.config.yaml_text import parse_yaml
from segdistill.errors import UserError
from segdistill.files import read_short_text
from segdistill.images.finding import source_name
from segdistill.layout import SETTINGS_FILE

logger = logging.getLogger("segdistill")

EXAMPLE = "write lines such as `classes: 8`"


def values_from_files(
    given: Mapping[str, Any], arguments: Mapping[str, Argument]
) -> dict[str, Any]:
    """Return the values in the preset and ``--config`` files; the last one counts.

    With ``--resume``, those of the run come first: its options need not be given again.

    Args:
        given: values of the command line.
        arguments: all arguments of the command.

    Raises:
        UserError: a file cannot be read, is not YAML, or holds something that is not a setting.
    """
    presets = [preset_path(given["preset"])] if "preset" in given else []
    values = _values_of_run(given, arguments) if "resume" in given else {}
    for path in (*presets, *given.get("config", ())):
        values |= _values(str(path), _read(str(path)), arguments)
    return values


def run_folder(given: Mapping[str, Any]) -> Path:
    """Return the run folder that a fit writes.

    Args:
        given: values of the command line by name; ``None`` counts as not given.

    Example:
        >>> run_folder({"images": "holiday/photos", "out": None}).as_posix()
        'runs/photos'
    """
    if given.get("out"):
        return Path(given["out"])
    source = given.get("images") or given.get("dataset") or ""
    return Path("runs") / (given.get("preset") or source_name(source))


def _values_of_run(given: Mapping[str, Any], arguments: Mapping[str, Argument]) -> dict[str, Any]:
    """Return the settings of the run to resume; nothing if there is none."""
    path = run_folder(given) / SETTINGS_FILE
    # Settings that cannot be read are reported later, with what to do about it.
    with suppress(UserError):
        return _values(str(path), _read(str(path)), arguments) if path.is_file() else {}
    return {}


def print_settings(settings: FitSettings) -> None:
    """Print settings as a YAML file that ``--config`` reads."""
    print(yaml.safe_dump(settings.as_plain(), sort_keys=False), end="")


def _read(path: str) -> dict[str, Any]:
    """Return the content of a file of settings."""
    text = read_short_text(Path(path), what="a YAML file of settings", option="--config")
    try:
        content = parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path}: not YAML{position}: {error.problem}") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not YAML ({reason}); {EXAMPLE}") from error
    if not isinstance(content, dict) or not content:
        kinds = {dict: "nothing", type(None): "nothing", list: "a list"}
        found = kinds.get(type(content), "only text")
        raise UserError(f"{path}: contains {found} instead of settings; {EXAMPLE}")
    return content


def _values(
    path: str, content: Mapping[Any, Any], arguments: Mapping[str, Argument], group: str = ""
) -> dict[str, Any]:
    """Return the settings of a file by name, converted and checked."""
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{group}{key}"
        below = [each for each in arguments if each.startswith(f"{name}.")]
        if name == "config":
            reason = "a settings file cannot include another; give --config twice"
            raise UserError(f"{path}: config: {reason}")
        if below and not isinstance(value, dict):
            example = f"`{below[0].removeprefix(f'{name}.')}: ...`"
            raise UserError(f"{path}: {name}: must be followed by indented lines such as {example}")
        if below:
            values |= _values(path, value, arguments, f"{name}.")
        elif name in REMOVED_SETTINGS:
            if value != REMOVED_SETTINGS[name]:
                logger.warning(
                    "%s: %s: no longer a setting; %s is used instead of %s",
                    *(path, name, REMOVED_SETTINGS[name], value),
                )
        elif name not in arguments:
            raise UserError(f"{path}: {no_such('setting', name, arguments.values())}")
        else:
            try:
                values[name] = arguments[name].converted(value)
            except UserError as error:
                # In a file, settings have their names in Python.
                reason = str(error).removeprefix(arguments[name].label)
                raise UserError(f"{path}: {name}{reason}") from error
    return values
