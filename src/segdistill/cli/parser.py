"""A command's parser: typed settings, YAML files, and errors that name the mend."""

import re
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

from jsonargparse import ArgumentParser


class CommandParser(ArgumentParser):
    """An argument parser whose errors are one line and offer the nearest option.

    Args:
        command: what the user types after ``segdistill``.
        description: shown at the head of the help.
        example: a command line to copy.
    """

    def __init__(self, command: str, description: str, example: str) -> None:
        super().__init__(
            prog=f"segdistill {command}",
            description=f"{description}\n\nExample: {example}",
            usage=f"segdistill {command} [options] ...",
            allow_abbrev=False,
        )

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line that says what is wrong and the mend, and exit with status 2."""
        del ex
        sys.stderr.write(f"{self.prog}: {self.reword(message)}\n")
        sys.stderr.write(f"See `{self.prog} --help`.\n")
        sys.exit(2)

    def reword(self, message: str) -> str:
        """Return an error of the parser in words for people.

        Args:
            message: as jsonargparse or argparse gives it.
        """
        unknown = re.search(r"[Uu]nrecognized arguments: (\S+)", message) or re.search(
            r"(?:does not accept (?:option|nested key)|Key|[Oo]ption) ['\"]([\w.]+)['\"]"
            r"(?: is not expected| not accepted|$)?",
            message,
        )
        invalid = re.search(r'(?:Parser key|Key) "([\w.]+)"', message)
        if invalid and ("Given value" in message or "Expected" in message):
            return self._reword_invalid(invalid.group(1), message)
        if unknown:
            return self._reword_unknown(unknown.group(1))
        missing = re.search(r'(?:Key "(\w+)" is required|arguments are required: (.+))', message)
        if missing:
            return f"{missing.group(1) or missing.group(2)} is missing"
        return " ".join(message.split())

    def _known_options(self) -> list[str]:
        # The prefix actions --head, --objective and so on take whole YAML files.
        return [
            name.removeprefix("--")
            for action in self._actions
            for name in action.option_strings
            if name.startswith("--")
        ]

    def _reword_unknown(self, name: str) -> str:
        if not name.startswith("-") and "." not in name and name not in self._known_options():
            near = get_close_matches(name, self._known_options(), n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"{name}: no such setting{hint}"
        bare = name.removeprefix("--").split("=")[0]
        near = get_close_matches(bare, self._known_options(), n=1, cutoff=0.5)
        dashes = "--" if name.startswith("--") else ""
        hint = f"; did you mean {dashes}{near[0]}?" if near else ""
        return f"{dashes}{bare}: no such {'option' if dashes else 'setting'}{hint}"

    def _reword_invalid(self, key: str, message: str) -> str:
        value = re.search(r"Given value: (.*)", message)
        choices = re.search(r"typing\.Literal\[(.*?)\]", message)
        types = sorted(set(re.findall(r"Expected an? <class '(\w+)'>", message)))
        if choices:
            expected = f"one of {choices.group(1)}"
        elif types:
            names = {"int": "a whole number", "float": "a number", "NoneType": "null"}
            expected = " or ".join(names.get(each, each) for each in types)
        else:
            expected = "of another form"
        return f"--{key} {value.group(1) if value else ''}: must be {expected}"


def flag(parser: CommandParser, name: str, text: str) -> None:
    """Add an on-off option that takes no value.

    Args:
        parser: to add it to.
        name: with its dashes.
        text: of the help.
    """
    parser.add_argument(name, action="store_true", help=text)


def common_options(parser: CommandParser) -> None:
    """Add the options that every command has."""
    flag(parser, "--quiet", "print nothing but errors and results")


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a copy of a dictionary without some keys."""
    return {key: value for key, value in values.items() if key not in names}
