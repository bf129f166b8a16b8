"""The arguments of a command, taken from its function.

Parameters before ``*`` are positional, the others options. Their descriptions are those of the
docstring, or of :class:`Value` in their type where commands share them. A dataclass stands for its
fields, each an option. As a parameter named ``settings`` it may hold further dataclasses, and YAML
files can hold its values.
"""

import argparse
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import Docstring, DocstringStyle
from docstring_parser import parse as parse_docstring

from segdistill.config.suggestions import likely_names
from segdistill.config.validation import (
    Declared,
    Numbers,
    as_literal,
    checked,
    dashed,
    declared,
    shortened,
)
from segdistill.errors import UserError

METAVARS: dict[Any, str] = {
    int: "N",
    float: "X",
    bool: "{true,false}",
    Path: "PATH",
    Numbers: "X,X",
}
READERS: dict[Any, Callable[[str], Any]] = {
    int: int,
    float: float,
    bool: {"true": True, "false": False}.__getitem__,
    Numbers: lambda text: tuple(map(float, text.split(","))),
}
LONGEST_VALUE = 200
FLAGS = ("strict", "print_config")
"""Settings that take no value on the command line; other yes-no settings take true or false."""

PATHS = frozenset(["PATH", "FOLDER", "FILE", "RUN", "IMAGES", "IMAGE", "OTHER", "MASKS", "SOURCE"])
"""Metavars of values that are paths."""


@dataclass(frozen=True)
class Value:
    """How the value of an argument is shown and checked, for ``Annotated``.

    Attributes:
        metavar: stands for the value in the help.
        help: description, unless the docstring has one.
        check: raises ``UserError`` for a value that cannot be used.
        repeated: whether the option is given once per value.
    """

    metavar: str = ""
    help: str = ""
    check: Callable[[str], object] | None = None
    repeated: bool = False


@dataclass(frozen=True)
class Argument:
    """An argument of a command.

    Attributes:
        name: name of the parameter; for a setting, with its group, such as ``head.channels``.
        hint: type hint.
        default: default value; ``MISSING`` for an argument that is required.
        description: for the help.
        positional: whether it has no dashes.
        setting: whether it is a setting.
    """

    name: str
    hint: Any
    default: Any
    description: str
    positional: bool = False
    setting: bool = False

    @property
    def label(self) -> str:
        """The option with its dashes; the metavar of a positional argument."""
        if self.positional:
            return self.metavar
        return f"--{dashed(self.name)}"

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(declared(self.hint).type) is Sequence

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return self._item.type is bool and (not self.setting or self.name in FLAGS)

    @property
    def value(self) -> Value:
        """How a value is shown and checked."""
        return next((note for note in self._item.notes if isinstance(note, Value)), Value())

    @property
    def metavar(self) -> str:
        """What stands for a value in the help."""
        kind = self._item.type
        if get_origin(kind) is Literal:
            return f"{{{','.join(get_args(kind))}}}"
        return self.value.metavar or METAVARS.get(kind, self.name.rsplit("_")[-1].upper())

    @property
    def help(self) -> str:
        """The description, with the default if there is one and it is not described."""
        text = " ".join((self.description or self.value.help).split()).removesuffix(".")
        # Settings are described by their names in Python.
        text = re.sub("``(.+?)``", lambda name: f"`{dashed(name[1])}`", text)
        if self.default is MISSING:
            return text if self.positional else f"{text} (required)"
        if "default" in text or self.is_flag or self.default in (None, ()):
            return text
        return f"{text} (default: {_default_text(self.default)})"

    @property
    def _item(self) -> Declared:
        """The declaration of one value."""
        whole = declared(self.hint)
        return declared(get_args(whole.type)[0]) if self.is_list else whole

    def add_to(self, section: "argparse._ArgumentGroup") -> None:
        """Add the argument to a section of the help."""
        # Formatting the help expands %.
        options: dict[str, Any] = {"help": self.help.replace("%", "%%")}
        if self.is_flag:
            options |= {"action": "store_const", "const": True}
        else:
            options["metavar"] = self.metavar
        optional = self.default is not MISSING
        if self.value.repeated:
            options["action"] = "append"
        elif self.is_list:
            options["nargs"] = "*" if self.positional and optional else "+"
        elif self.positional and optional:
            options["nargs"] = "?"
        if self.positional:
            section.add_argument(self.name, **options)
        else:
            section.add_argument(self.label, dest=self.name, required=not optional, **options)

    def converted(self, given: Any) -> Any:
        """Return a value of the declared type.

        Args:
            given: text from the command line, or a value from a YAML file.

        Raises:
            UserError: it has another type, or is out of range.
        """
        if self.is_list and isinstance(given, list):
            return [self._converted(each, get_args(declared(self.hint).type)[0]) for each in given]
        return self._converted(given, self.hint)

    def _converted(self, given: Any, hint: Any) -> Any:
        kind, optional, _ = declared(hint)
        value = given
        if isinstance(given, str):
            if optional and given == "null":
                return None
            if not given and self.metavar in PATHS:
                # It would be the current folder.
                raise UserError(f"{self.label}: is empty; is a variable unset?")
            with suppress(KeyError, ValueError):
                value = READERS[kind](given)
        try:
            return checked(value, hint, self.label.removeprefix("--"), show=_as_typed)
        except UserError as error:
            raise UserError(str(error).removesuffix(" or None")) from error


CONFIG = Argument(
    "config",
    Sequence[Annotated[str, Value("FILE", repeated=True)]],
    None,
    "YAML file of settings, such as settings.yaml of a run; the command line overrides it"
    " (default: none)",
)
PRINT_CONFIG = Argument(
    "print_config", bool, None, "print all settings as YAML and exit", setting=True
)
QUIET = Argument("quiet", bool, None, "print only errors and results")


def arguments_of(function: Callable[..., object], *groups: type) -> Iterator[Argument]:
    """Return the arguments of a command.

    Args:
        function: declares them; ``quiet`` is an argument of every command.
        groups: dataclasses of further options.
    """
    hints, texts = get_type_hints(function, include_extras=True), _descriptions(function)
    for name, parameter in inspect.signature(function).parameters.items():
        default = MISSING if parameter.default is parameter.empty else parameter.default
        if is_dataclass(hints[name]):
            yield from _arguments_of_fields(hints[name], setting=name == "settings")
        elif name != QUIET.name:
            positional = parameter.kind is not parameter.KEYWORD_ONLY
            yield Argument(name, hints[name], default, texts.get(name, ""), positional=positional)
    for group in groups:
        yield from _arguments_of_fields(group, setting=False)
    if "settings" in hints:
        yield from (CONFIG, PRINT_CONFIG)
    yield QUIET


def _arguments_of_fields(kind: Any, *, setting: bool, group: str = "") -> Iterator[Argument]:
    hints, texts = get_type_hints(kind, include_extras=True), _descriptions(kind)
    for field in fields(kind):
        hint, name = hints[field.name], f"{group}{field.name}"
        if is_dataclass(hint):
            yield from _arguments_of_fields(hint, setting=True, group=f"{name}.")
        else:
            yield Argument(name, hint, field.default, texts.get(field.name, ""), setting=setting)


def keywords(function: Callable[..., object], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a function.

    Args:
        function: the function.
        given: values by the names of its arguments.
    """
    hints = get_type_hints(function)
    return {
        name: _built(hint, given) if is_dataclass(hint) else given[name]
        for name, hint in hints.items()
        if is_dataclass(hint) or name in given
    }


def _built(kind: Any, given: Mapping[str, Any], group: str = "") -> Any:
    """Return a dataclass of the values given for its fields, and its defaults."""
    values = {}
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            values[name] = _built(hint, given, f"{group}{name}.")
        elif group + name in given:
            values[name] = given[group + name]
    return kind(**values)


def no_such(kind: str, name: str, arguments: Collection[Argument]) -> str:
    """Return the error for an option or setting that does not exist; it suggests the nearest.

    Args:
        kind: ``option`` or ``setting``.
        name: as given; options have their dashes.
        arguments: those that exist.
    """
    name = shortened(name, LONGEST_VALUE)
    dashes = "--" if name.startswith("-") else ""
    options = [each for each in arguments if not each.positional]
    known = [each.label.removeprefix("--") if dashes else each.name for each in options]
    values = [each.label for each in arguments if each.positional] if dashes else []
    near = likely_names(name.lstrip("-"), known, values)
    hint = f"; did you mean {' or '.join(f'{dashes}{each}' for each in near)}?" if near else ""
    if near and near[0] in values:
        hint = f"; give {near[0]} without {name}"
    return f"{name}: no such {kind}{hint}"


def docstring_of(documented: Any) -> Docstring:
    """Return the parsed docstring of a function or class."""
    return parse_docstring(documented.__doc__ or "", style=DocstringStyle.GOOGLE)


def _descriptions(documented: Any) -> dict[str, str]:
    """Return the descriptions of parameters or attributes by name."""
    return {each.arg_name: each.description or "" for each in docstring_of(documented).params}


def _default_text(default: Any) -> str:
    """Return a default as users type it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        small = 1e-6 <= default < 1e-4  # which :g writes as 5e-05
        return f"{default:.6f}".rstrip("0") if small else f"{default:g}"
    return " ".join(default) if isinstance(default, tuple) else str(default)


def _as_typed(value: Any) -> str:
    """Return a value as users type it, of bounded length."""
    if not isinstance(value, str):
        return as_literal(value)
    return shortened(" ".join(value.split()), LONGEST_VALUE) or "''"
