"""Commands in pages, run or not, have only options that exist, and parse."""

import functools
import re
import shlex
from pathlib import Path

import pytest
from tests.docs.blocks import PAGES, ROOT, blocks, command_lines, name_of

from segdistill.cli.main import parser_of
from segdistill.operations import COMMANDS

OTHERS_OPTIONS = {
    *("--version", "--help", "--local-dir", "--nproc-per-node"),
    *("--smallest", "--target", "--corpus", "--only", "--kind"),
}
"""Options that pages name and that belong to `segdistill` itself, or to other programs."""

_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*\w")


def segdistill_lines(page: Path) -> list[tuple[str, list[str]]]:
    """Return the words after ``segdistill`` of all lines of shell blocks, and their places."""
    return [
        (block.place, words[words.index("segdistill") + 1 :])
        for block in blocks(page)
        if block.language == "sh"
        for line in command_lines(block)
        if "segdistill" in (words := shlex.split(line, comments=True))
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if segdistill_lines(page)], ids=name_of)
def test_commands_parse(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place, words in segdistill_lines(page):
        command, *arguments = words[: words.index(">")] if ">" in words else words
        parser = parser_of(COMMANDS[command])
        # What exists is not the question here: everything that is named does.
        monkeypatch.setattr(type(parser), "_check_runs", lambda *_: None)
        monkeypatch.setattr(type(parser), "_check_values", lambda *_: None)
        monkeypatch.setattr("segdistill.cli.parser.values_from_files", lambda *_: {})
        try:
            parser.parse([word for word in arguments if word != "--print-config"])
        except SystemExit as exit_:
            pytest.fail(f"{place}: segdistill {shlex.join(words)} does not parse ({exit_.code})")


@functools.cache
def options_of_all_commands() -> set[str]:
    parsers = [parser_of(entry) for entry in COMMANDS.values()]
    return {option for parser in parsers for option in parser._option_string_actions}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_options_that_pages_name_exist(page: Path) -> None:
    known = OTHERS_OPTIONS | options_of_all_commands()
    for code in _CODE.findall(page.read_text()):
        if re.match(r"(python|pip|hf|make|torchrun|pytest|mkdocs)\b", code):
            continue
        named = code.split()
        if (
            named[0] == "segdistill"
            and len(named) > 1
            and named[1].isalpha()
            and named[1].islower()
        ):
            assert named[1] in COMMANDS, code
        for option in _OPTION.findall(code):
            assert option.replace("_", "-") in known, f"{code}: no option {option}"
