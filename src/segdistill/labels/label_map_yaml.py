"""YAML of label maps: no aliases, no repeated keys, decimal numbers, one-line errors."""

import re
from pathlib import Path
from typing import Any

import yaml

from segdistill.config.yaml_text import UniqueKeyLoader, parse_yaml
from segdistill.errors import UserError
from segdistill.files import read_short_text

_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
_UNQUOTED = re.compile(r"[\[,:\s]#[0-9A-Fa-f]{3,8}\s*[,}\]\n]")


class _Loader(UniqueKeyLoader):
    """YAML without aliases, which can make a few bytes huge, and without repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases (*) are not allowed; write the values out",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)


# YAML 1.1 reads 010 as 8 and 1:30 as 90; here a number is what it looks like, or text.
_Loader.yaml_implicit_resolvers = {
    start: [each for each in resolvers if each[0] != "tag:yaml.org,2002:int"]
    for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _DECIMAL, list("-+0123456789"))


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file of at most 1 MB.

    Raises:
        UserError: the file is missing, too large, not UTF-8 or not YAML.
    """
    text = read_short_text(path, what="a label map", option="--label-map")
    try:
        return parse_yaml(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        position = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # An unquoted # begins a comment, which may leave a bracket open.
        cut = isinstance(error, yaml.parser.ParserError) and _UNQUOTED.search(text)
        advice = ' (colours need quotes: "#rrggbb")' if cut else ""
        raise UserError(f"{path}: not YAML{position}: {_short(error.problem)}{advice}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({_short(error)})") from error


def _short(problem: object) -> str:
    text = " ".join(str(problem).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
