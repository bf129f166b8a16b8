"""A command's parser: typed settings, YAML files, and errors that name the mend."""

import re
import shlex
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from jsonargparse import ArgumentParser, Namespace

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
    "NoneType": "null",
}


class CommandParser(ArgumentParser):
    """An argument parser whose errors are one line and offer the nearest option.

    Args:
        command: what the user types after ``segdistill``.
        description: shown at the head of the help.
        example: a command line to copy.

    Attributes:
        file: settings file that is being read, named in errors; none for the command line.
    """

    def __init__(self, command: str, description: str, example: str) -> None:
        super().__init__(
            prog=f"segdistill {command}",
            description=f"{description}\n\nExample: {example}",
            usage=f"segdistill {command} [options] ...",
            allow_abbrev=False,
        )
        self.file: str | None = None

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line that says what is wrong and the mend, and exit with status 2.

        Raises:
            UserError: instead, for a mistake in a settings file.
        """
        if self.file is not None:
            raise UserError(f"{self.file}: {self.reword(message).removeprefix('--')}") from ex
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
        return self._reword_usage(" ".join(message.split()))

    def _reword_usage(self, message: str) -> str:
        group = re.search(r"[\"']?(\w+)[\"']?: ?Unable to load config '(.*?)'", message)
        if group:
            name = group.group(1)
            return f"--{name} {group.group(2)}: no settings file; set one by one, as --{name}.NAME"
        no_value = re.search(r"argument (--\S+): expected one argument", message)
        if no_value:
            return f"{no_value.group(1)} needs a value"
        flagged = re.search(r"argument (--\S+): ignored explicit argument", message)
        if flagged:
            return f"{flagged.group(1)} takes no value"
        return message

    def _known_options(self) -> list[str]:
        # The prefix actions --head, --objective and so on take whole YAML files.
        return [
            name.removeprefix("--")
            for action in self._actions
            for name in action.option_strings
            if name.startswith("--")
        ]

    def _reword_unknown(self, name: str) -> str:
        dashes = "--" if name.startswith("--") else ""
        bare = name.removeprefix("--").split("=")[0]
        # In a YAML file a nested setting is named without its group: sample, not objective.sample.
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
            # What it may be first, and that it may be left out last.
            ordered = sorted(types, key=lambda each: (each == "NoneType", each))
            expected = " or ".join(TYPE_NAMES.get(each, each) for each in ordered)
        else:
            expected = "of another form"
        return f"{self._option_of(key)} {value or repr('')}: must be {expected}"

    def _option_of(self, key: str) -> str:
        """Return the option that sets a value, which may be written with dashes."""
        for action in self._actions:
            if action.dest == key and action.option_strings:
                return str(action.option_strings[-1])
        return f"--{key}"


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


def run_argument(parser: CommandParser) -> None:
    """Add the run folder that a command works with."""
    parser.add_argument("run", help="run folder that `segdistill fit` wrote")


def upsampling_option(command: CommandParser) -> None:
    """Add the choice of how scores come from the backbone's grid to pixels."""
    command.add_argument(
        "--upsampling",
        type=Literal["guided", "bilinear"],
        default="guided",
        help="from the backbone's grid to pixels: along the image's edges, or without looking at"
        " them",
    )


def resolution_option(parser: CommandParser) -> None:
    """Add the size at which images are seen."""
    parser.add_argument(
        "--resolution",
        type=int,
        help="shorter side at which the backbone sees images (default: as in training)",
    )


def compute_options(
    parser: CommandParser, *, backbone: str = "where the backbone lies now, if it moved"
) -> None:
    """Add the options of commands that run a model.

    Args:
        parser: to add them to.
        backbone: help of the option that names one.
    """
    parser.add_argument("--backbone", type=str, help=backbone)
    parser.add_argument("--device", type=DeviceName, default="auto", help="where to compute")
    parser.add_argument(
        "--precision", type=PrecisionName, default="auto", help="of matrix products"
    )


def engine_options(parser: CommandParser) -> None:
    """Add the choice of who works on very many images."""
    parser.add_argument(
        "--engine",
        type=EngineName,
        default="local",
        help="who does it: this process, or workers of Ray, here or on the cluster that RAY_ADDRESS"
        " names",
    )
    parser.add_argument(
        "--workers", type=int, help="of Ray (default: one for each GPU, or for each core)"
    )


def compute_choice(options: Namespace) -> dict[str, Any]:
    """Return what the options of :func:`compute_options` say, as arguments of the library."""
    return {name: options[name] for name in ("backbone", "device", "precision")}


def labelled_options(parser: CommandParser, *, split: str) -> None:
    """Add the options that name labelled images.

    Args:
        parser: to add them to.
        split: taken of a benchmark data set unless another is named.
    """
    parser.add_argument("--images", type=str, help="folder of images")
    parser.add_argument(
        "--labels",
        type=str,
        help="folder of class-index PNGs of the same names; 255 means 'not labelled'",
    )
    parser.add_argument(
        "--dataset", type=str, help="a benchmark instead (`segdistill datasets` lists them)"
    )
    parser.add_argument("--data-root", type=str, help="folder in which the benchmark lies")
    parser.add_argument("--split", type=str, default=split, help="part of the benchmark")


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
    raise UserError("give --images and --labels, or --dataset and --data-root")


def command_line(*words: object) -> str:
    """Return a command to copy into a shell, quoted where a name needs it.

    Example:
        >>> command_line("segment", "runs/my photos", "IMAGES")
        "segdistill segment 'runs/my photos' IMAGES"
    """
    return shlex.join(["segdistill", *map(str, words)])
