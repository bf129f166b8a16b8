"""The parser of every command: typed settings, YAML files, one-line errors that suggest a fix."""

import re
import shlex
import sys
from argparse import Action
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from jsonargparse import ArgumentParser, Namespace

from segdistill.cli.help import HelpFormatter
from segdistill.cli.run_check import check_finished, check_run
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.engines.work import EngineName
from segdistill.errors import UserError

if TYPE_CHECKING:
    from segdistill.api import LabelledSet

TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
}

LAST_OPTIONS = ("quiet", "help")
"""Options that every command has; the help shows them last."""

RUN = "RUN"
"""Stands for a run folder in the help; what it stands for is checked before anything else."""

OPTIONS = "Options"
"""The section of the help for options that belong to no other."""

COMPUTE = "Compute"
"""The section of the help for devices, precision, processes and workers."""

DEVICE_HELP = "device to compute on; auto takes a GPU if there is one"
PRECISION_HELP = (
    "precision of matrix products; auto takes bfloat16 where the device computes it natively"
)


class CommandParser(ArgumentParser):
    """An argument parser whose errors are one line and suggest the nearest option.

    Args:
        command: what the user types after ``segdistill``.
        description: shown at the top of the help.
        example: a command line to copy.

    Attributes:
        command: as given.
        file: the settings file that is being read, named in errors; ``None`` for the command line.
    """

    def __init__(self, command: str, description: str, example: str) -> None:
        super().__init__(
            prog=f"segdistill {command}",
            description=f"{description}\n\n  {example}",
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )
        self.command = command
        self.file: str | None = None
        self._sections = {OPTIONS: self._optionals}
        self._positionals.title = "Arguments"
        self._optionals.title = OPTIONS
        flag(self, "--quiet", "print only errors and results")

    @property
    def positionals(self) -> list[Action]:
        """The arguments without dashes, in order."""
        return [action for action in self._actions if not action.option_strings]

    @property
    def run_options(self) -> dict[str, str]:
        """The options that take a run folder, with their dashes, by destination."""
        taking = [action for action in self._actions if action.metavar == RUN]
        return {each.dest: each.option_strings[0] for each in taking if each.option_strings}

    def section(self, title: str) -> Any:
        """Return a section of the help, to which arguments can be added as to the parser.

        Args:
            title: shown above its options; a new one makes a new section.
        """
        if title not in self._sections:
            self._sections[title] = self.add_argument_group(title)
        return self._sections[title]

    def arrange(self, sections: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Move options to sections of the help, in the given order.

        Args:
            sections: title and options of each, by destination; ``head.*`` stands for ``head`` and
                all options that begin with ``head.``.
        """
        arranged: list[Action] = []
        for title, names in sections:
            named = [each for name in names for each in self._named(name) if each not in arranged]
            arranged += named
            for group in self._action_groups:
                others = [each for each in group._group_actions if each not in named]  # noqa: SLF001 - argparse has no public way
                group._group_actions[:] = others  # noqa: SLF001
            self.section(title)._group_actions.extend(named)  # noqa: SLF001

    def describe(self, name: str, description: str, metavar: str) -> None:
        """Set the help of an option that jsonargparse adds on its own.

        Args:
            name: the option without its dashes.
            description: for the help.
            metavar: stands for its value.
        """
        action = self._option_string_actions[f"--{name}"]
        action.help, action.metavar = description, metavar

    def format_help(self, *arguments: Any) -> str:
        """Return the help; the options that every command has come last in their section."""
        self.usage = " ".join([self.prog, "[options]", *map(usage_of, self.positionals)])
        options = self._optionals._group_actions  # noqa: SLF001 - argparse has no public way
        ranks = {name: rank for rank, name in enumerate(LAST_OPTIONS)}
        options.sort(key=lambda each: ranks.get(each.dest, -1))
        return super().format_help(*arguments)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong and how to fix it in one line, and exit with status 2.

        Raises:
            UserError: instead, for a mistake in a settings file.
        """
        if self.file is not None:
            raise UserError(f"{self.file}: {self.reword(message).removeprefix('--')}") from ex
        sys.stderr.write(f"{self.prog}: {self.reword(message)}\n")
        sys.stderr.write(f"See `{self.prog} --help`.\n")
        sys.exit(2)

    def reword(self, message: str) -> str:
        """Return an error message in plain words.

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
            return self._reword_missing((missing.group(1) or missing.group(2)).split(", "))
        return self._reword_usage(" ".join(message.split()))

    def _reword_missing(self, names: Sequence[str]) -> str:
        shown = {each.dest: name_of(each) for each in self.positionals}
        missing = [shown.get(name) or self._option_of(name.removeprefix("--")) for name in names]
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"

    def _reword_usage(self, message: str) -> str:
        group = re.search(r"[\"']?(\w+)[\"']?: ?Unable to load config '(.*?)'", message)
        if group:
            name = group.group(1)
            return f"--{name} {group.group(2)}: no such file; set values as --{name}.NAME"
        no_value = re.search(r"argument (--\S+): expected one argument", message)
        if no_value:
            return f"{no_value.group(1)} needs a value"
        flagged = re.search(r"argument (--\S+): ignored explicit argument", message)
        if flagged:
            return f"{flagged.group(1)} takes no value"
        return message

    def _named(self, name: str) -> list[Action]:
        """Return the options of a destination, or those that begin with it, as in ``head.*``."""
        prefix = name.removesuffix("*")
        if prefix == name:
            return [action for action in self._actions if action.dest == name]
        return [action for action in self._actions if f"{action.dest}.".startswith(prefix)]

    def _known_options(self) -> list[str]:
        return [
            name.removeprefix("--")
            for action in self._actions
            for name in action.option_strings
            if name.startswith("--")
        ]

    def _reword_unknown(self, name: str) -> str:
        dashes = "--" if name.startswith("--") else ""
        bare = name.removeprefix("--").split("=")[0]
        # YAML files name nested settings without their group: samples, not objective.samples.
        full_names = {option.rsplit(".")[-1]: option for option in self._known_options()}
        full_names |= {option: option for option in self._known_options()}
        near = get_close_matches(bare, full_names, n=1, cutoff=0.5)
        hint = f"; did you mean {dashes}{full_names[near[0]]}?" if near else ""
        return f"{dashes}{bare}: no such {'option' if dashes else 'setting'}{hint}"

    def _reword_invalid(self, key: str, message: str) -> str:
        given = re.search(r"(?:Given|Got) value: (.*)", message)
        value = given.group(1).strip() if given else ""
        choices = re.search(r"typing\.Literal\[(.*?)\]", message)
        types = set(re.findall(r"Expected an? <class '(\w+)'>", message))
        if choices:
            expected = f"one of {choices.group(1)}"
        elif types:
            named = sorted(types - {"NoneType"})
            expected = " or ".join(TYPE_NAMES.get(each, each) for each in named)
        else:
            expected = "of another type"
        return f"{self._option_of(key)} {value or repr('')}: must be {expected}"

    def _option_of(self, key: str) -> str:
        """Return the option that sets a value, dashes included."""
        for action in self._actions:
            if action.dest == key and action.option_strings:
                return str(action.option_strings[-1])
        return f"--{key}"


def name_of(positional: Action) -> str:
    """Return the name of a positional argument as the help shows it."""
    return str(positional.metavar or positional.dest.upper())


def usage_of(positional: Action) -> str:
    """Return a positional argument as the usage line shows it."""
    name = name_of(positional)
    forms = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}
    return forms.get(str(positional.nargs), name)


def parse_options(command: CommandParser, arguments: Sequence[str]) -> Namespace:
    """Return the parsed command line; RUN, and options that take a run, are checked first.

    Args:
        command: its parser.
        arguments: what the user typed after the command.

    Raises:
        UserError: one of them is not a run folder.
    """
    options = command.parse_args(list(arguments))
    if any(each.dest == "run" for each in command.positionals):
        check_run(options.run, images_given(command, options), command.command, arguments)
    for name, option in command.run_options.items():
        if options[name] is not None:
            check_finished(options[name], option)
    return options


def images_given(command: CommandParser, options: Namespace) -> dict[str, list[str]]:
    """Return what may have been swapped with RUN, by name: other positionals, and ``--images``.

    Args:
        command: its parser.
        options: as parsed.
    """
    given = {name_of(each): options[each.dest] for each in command.positionals}
    given["--images"] = options.get("images")
    return {
        name: [value] if isinstance(value, str) else list(value)
        for name, value in given.items()
        if isinstance(value, str | list)
    }


def flag(parser: CommandParser, name: str, description: str) -> None:
    """Add an on-off option that takes no value.

    Args:
        parser: to add it to.
        name: with its dashes.
        description: for the help.
    """
    parser.add_argument(name, action="store_true", help=description)


def run_argument(parser: CommandParser) -> None:
    """Add the run folder that a command works with."""
    parser.add_argument("run", metavar=RUN, help="run folder that `segdistill fit` wrote")


def upsampling_option(command: CommandParser) -> None:
    """Add the choice of how scores are upsampled from the feature grid to pixels."""
    command.add_argument(
        "--upsampling",
        type=Literal["guided", "bilinear"],
        default="guided",
        help="how scores are upsampled to pixels: guided follows the image's edges",
    )


def resolution_option(parser: CommandParser) -> None:
    """Add the resolution at which the backbone sees images."""
    parser.add_argument(
        "--resolution",
        type=int,
        help="shorter side, in pixels, at which the backbone sees images (default: as in training)",
    )


def backbone_option(parser: CommandParser) -> None:
    """Add the path of the backbone, for runs whose backbone has moved."""
    parser.add_argument(
        "--backbone",
        type=str,
        metavar="PATH",
        help="where the backbone is now, if it was moved (default: where the run says it is)",
    )


def compute_options(parser: CommandParser) -> None:
    """Add the options of commands that run a model."""
    compute = parser.section(COMPUTE)
    compute.add_argument("--device", type=DeviceName, default="auto", help=DEVICE_HELP)
    compute.add_argument("--precision", type=PrecisionName, default="auto", help=PRECISION_HELP)


def engine_options(parser: CommandParser) -> None:
    """Add the choice of what runs the work on very many images."""
    compute = parser.section(COMPUTE)
    compute.add_argument(
        "--engine",
        type=EngineName,
        default="local",
        help="what runs the work: this process, or Ray workers, here or on the cluster at"
        " RAY_ADDRESS",
    )
    compute.add_argument(
        "--workers",
        type=int,
        help="number of Ray workers (default: one per GPU, without GPUs one per core)",
    )


def compute_choice(options: Namespace) -> dict[str, Any]:
    """Return backbone, device and precision among the options, as arguments of the library."""
    return {name: options[name] for name in ("backbone", "device", "precision")}


def labelled_options(parser: CommandParser, *, split: str) -> None:
    """Add the options that name labelled images.

    Args:
        parser: to add them to.
        split: split of a benchmark that is taken by default.
    """
    parser.add_argument(
        "--images",
        type=str,
        metavar="FOLDER",
        help="folder of images, used with --labels (default: the images of --dataset)",
    )
    parser.add_argument(
        "--labels",
        type=str,
        metavar="FOLDER",
        help="folder of class-index PNGs with the images' names; 255 means 'not labelled'"
        " (default: the labels of --dataset)",
    )
    parser.add_argument(
        "--dataset",
        type=str,
        metavar="NAME",
        help="benchmark to take instead; `segdistill datasets` lists them (default: none)",
    )
    parser.add_argument(
        "--data-root",
        type=str,
        metavar="FOLDER",
        help="folder that holds the files of --dataset (default: none)",
    )
    parser.add_argument("--split", type=str, default=split, help="split of --dataset")


def labelled_set(options: Namespace) -> "LabelledSet":
    """Return the labelled images that the options of :func:`labelled_options` name.

    Raises:
        UserError: neither two folders nor a benchmark and its folder are given.
    """
    from segdistill.api import labelled_dataset, labelled_folders

    if options.dataset and options.data_root:
        return labelled_dataset(options.dataset, options.data_root, options.split)
    if options.images and options.labels:
        return labelled_folders(options.images, options.labels)
    raise UserError("no labels: give --images and --labels, or --dataset and --data-root")


def command_line(*words: object) -> str:
    """Return a command to copy into a shell, quoted where a name needs it.

    Example:
        >>> command_line("segment", "runs/my photos", "IMAGES")
        "segdistill segment 'runs/my photos' IMAGES"
    """
    return shlex.join(["segdistill", *map(str, words)])
