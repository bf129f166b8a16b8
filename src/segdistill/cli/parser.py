"""The parser of a command: help in sections, one-line errors that suggest a fix."""

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from segdistill.cli.arguments import arguments_of, docstring_of, keywords, no_such
from segdistill.cli.distributed import Processes
from segdistill.cli.run_check import check_finished, check_run
from segdistill.cli.settings_file import print_settings, values_from_files
from segdistill.config.validation import dashed

RUN = "RUN"
"""Stands for a run folder in the help; what it stands for is checked before anything else."""

OPTIONS = "Options"
"""The section of the help for options that belong to no other."""

ADVANCED = " (advanced)"
"""Ends the titles of sections that ``--help-all`` shows and ``--help`` only names."""

COMPUTE = {"Compute": ("engine", "workers", "device", "precision", "devices", "nodes")}
"""The section of the help for devices, precision, processes and workers."""

WIDEST = 100
OPTION_COLUMN = 26


class CommandParser(argparse.ArgumentParser):
    """An argument parser made from the function of a command.

    Args:
        command: what the user types after ``segdistill``.
        function: what it runs; its docstring has an example to copy.
        sections: further sections of the help: titles, and the names of their options in order;
            ``head.*`` stands for ``head`` and all options that begin with ``head.``. Those whose
            titles end with ``(advanced)`` are left to ``--help-all``.
        distributed: whether the command can run in several processes.

    Attributes:
        command: as given.
        function: as given.
        arguments: its arguments by name.
        advanced: titles of the sections that ``--help`` leaves out.
    """

    def __init__(
        self,
        command: str,
        function: Callable[..., int | None],
        sections: Mapping[str, Sequence[str]],
        *,
        distributed: bool,
    ) -> None:
        docstring = docstring_of(function)
        text = f"{docstring.short_description} {docstring.long_description or ''}"
        # python -OO strips docstrings.
        example = next((each.description for each in docstring.examples), "")
        super().__init__(
            prog=f"segdistill {command}",
            description=f"{text}\n\n  {example}",
            formatter_class=HelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        # Values such as -1024,3071 are no options.
        self._negative_number_matcher = re.compile(r"^-\.?\d[\d.,eE+-]*$")
        self.command, self.function = command, function
        self.advanced = [title for title in sections if title.endswith(ADVANCED)]
        extra = [Processes] if distributed else []
        self.arguments = {each.name: each for each in arguments_of(function, *extra)}
        self._add_arguments(sections)
        self._usages = [_usage_of(each) for each in self._get_positional_actions()]
        self.usage = " ".join([self.prog, "[options]", *self._usages])

    def _add_arguments(self, sections: Mapping[str, Sequence[str]]) -> None:
        """Add the arguments, each to its section of the help."""
        self._positionals.title, self._optionals.title = "Arguments", OPTIONS
        titles = {name: title for title, names in sections.items() for name in names}
        groups = {title: self.add_argument_group(title) for title in sections if title != OPTIONS}
        groups[OPTIONS] = self._optionals
        ranks = {name: rank for rank, name in enumerate(titles)}
        for each in sorted(
            self.arguments.values(), key=lambda each: ranks.get(each.name, len(ranks))
        ):
            title = titles.get(each.name) or _title_of_group(each.name, titles)
            each.add_to(self._positionals if each.positional else groups[title])
        self._optionals.add_argument("-h", "--help", action="help", help="show this help and exit")
        # Every command has it: a user need not know which ones have more to show.
        self._optionals.add_argument(
            "--help-all",
            action=_HelpAll,
            nargs=0,
            help="show all options and exit" if self.advanced else argparse.SUPPRESS,
        )

    def format_help(self) -> str:
        """Return what ``--help`` shows: the options of daily use, and what the others are about."""
        groups = self._action_groups
        self._action_groups = [each for each in groups if each.title not in self.advanced]
        if self.advanced:
            about = ", ".join(
                each[0].lower() + each[1:].removesuffix(ADVANCED) for each in self.advanced
            )
            self.epilog = f"`{self.prog} --help-all` shows more options, about {about}."
        try:
            return super().format_help()
        finally:
            self._action_groups, self.epilog = groups, None

    def format_full_help(self) -> str:
        """Return what ``--help-all`` shows: all options."""
        return super().format_help()

    def parse(self, words: Sequence[str]) -> dict[str, Any]:
        """Return the values given, converted and checked, by the names of their arguments.

        Args:
            words: what the user typed after the command.

        Raises:
            UserError: RUN is not a run folder, a value has the wrong type or is out of range, a
                file or folder does not exist, or a settings file cannot be used.
        """
        words = _with_dashes(words)
        options = [word.partition("=")[0] for word in takewhile("--".__ne__, words)]
        for option in options:
            if option.startswith("--") and option not in self._option_string_actions:
                self.error(no_such("option", option, self.arguments.values()))
        parsed = vars(self.parse_intermixed_args(words))
        given = {name: value for name, value in parsed.items() if value is not None and value != []}
        self._check_runs(given, words)
        given = {name: self.arguments[name].converted(value) for name, value in given.items()}
        self._check_values(given)
        if "config" in self.arguments:
            given = values_from_files(given, self.arguments) | given
        if "print_config" in given:
            print_settings(keywords(self.function, given)["settings"])
            sys.exit(0)
        return given

    def _check_runs(self, given: Mapping[str, Any], words: Sequence[str]) -> None:
        """Check RUN, and options that take a run."""
        labels = {self.arguments[name].label: value for name, value in given.items()}
        if RUN in labels:
            # What may have been swapped with RUN.
            others = {
                label: value if isinstance(value, list) else [value]
                for label, value in labels.items()
                if not label.startswith("--") or label == "--images"
            }
            check_run(labels[RUN], others, self.command, words)
        for name, value in given.items():
            argument = self.arguments[name]
            if argument.metavar == RUN and not argument.positional:
                check_finished(value, argument.label)

    def _check_values(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            check = self.arguments[name].value.check
            for each in value if isinstance(value, list) else [value]:
                if check is not None:
                    check(each)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to fix it, and exit with status 2."""
        option = "--help-all" if self.advanced else "--help"
        sys.stderr.write(f"{self.prog}: {self._reword(message)}\nSee `{self.prog} {option}`.\n")
        sys.exit(2)

    def _how_to_quote(self, word: str) -> str:
        """Return a hint for a word that the shell may have split off, or made of a pattern."""
        if word.startswith("-") or not self._usages:
            return ""
        return "; put quotes around a pattern (such as 'photos/*.jpg') or a name with spaces"

    def _reword(self, message: str) -> str:
        """Return an error of argparse in plain words."""
        if superfluous := re.match(r"unrecognized arguments: (\S+)", message):
            if re.match(r"-[A-Za-z]", superfluous[1]):
                return no_such("option", superfluous[1], self.arguments.values())
            return f"{superfluous[1]}: unexpected argument{self._how_to_quote(superfluous[1])}"
        if missing := re.match(r"the following arguments are required: (.+)", message):
            names = missing[1].split(", ")
            missed = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"
            return f"{missed}; write {self.usage}" if len(self._usages) > 1 else missed
        if no_value := re.match(r"argument (--\S+): expected .*one argument", message):
            return f"{no_value[1]} needs a value"
        if flag := re.match(r"argument (--\S+): ignored explicit argument", message):
            return f"{flag[1]} takes no value"
        return message


class _HelpAll(argparse.Action):
    """Print the help with all options."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _values: object,
        _option: str | None = None,
    ) -> NoReturn:
        """Print it, and exit."""
        if isinstance(parser, CommandParser):
            sys.stdout.write(parser.format_full_help())
        parser.exit()


class HelpFormatter(argparse.HelpFormatter):
    """The layout of every command's help.

    Args:
        prog: name of the command.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=OPTION_COLUMN)
        self._width = min(self._width, WIDEST)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs == "+" and action.option_strings:
            return f"{action.metavar} ..."
        return super()._format_args(action, default_metavar)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        description, blank, example = text.partition("\n\n  ")
        filled = textwrap.fill(description, width, break_on_hyphens=False)
        return f"{filled}{blank}{indent}{example}"


def _title_of_group(name: str, titles: Mapping[str, str]) -> str:
    """Return the section of an option by the longest of its groups that has one."""
    group = name
    while "." in group:
        group = group.rpartition(".")[0]
        if f"{group}.*" in titles:
            return titles[f"{group}.*"]
    return OPTIONS


def _with_dashes(words: Sequence[str]) -> list[str]:
    """Return the words with dashes in options: `--crop_ratio`, as in files, is `--crop-ratio`."""
    typed = list(takewhile("--".__ne__, words))
    for index, word in enumerate(typed):
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            typed[index] = f"{dashed(option)}{equals}{value}"
    return [*typed, *words[len(typed) :]]


def _usage_of(positional: argparse.Action) -> str:
    """Return a positional argument as the usage line shows it."""
    name = positional.metavar
    forms = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}
    return forms.get(str(positional.nargs), str(name))
