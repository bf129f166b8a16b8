"""Runs the shell blocks of pages in this process, over tiny data, as fast as it gets.

``segdistill`` is called without a new process, and fits take a few small steps. Lines that set
something up (``pip``, ``make``) are not run but checked: the extra or target must exist.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from tests.docs.blocks import ROOT, Block, command_lines

from segdistill.cli.main import main

QUICK = {"sample": {"--train": "8", "--val": "4", "--width": "128", "--height": "96"}}
"""Options that make a command fast, used where the page does not give them."""

REPEATED = {"evaluate", "export", "export-model", "features", "figures", "fit", "segment"}
"""Commands that pages give more than once, and that replace nothing without --overwrite."""


def run_block(block: Block) -> None:
    """Run a shell block in the current folder; fails at the first line that fails."""
    for line in command_lines(block):
        run_line(line, block.place)


def run_line(line: str, place: str) -> None:
    words = shlex.split(os.path.expandvars(line), comments=True)
    if not words:
        return
    words, target = _without_redirection(words)
    program = words[0]
    if program not in _PROGRAMS:
        pytest.fail(
            f"{place}: {program} is not run by this test; say why with <!-- not run: ... -->"
        )
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        _PROGRAMS[program](words[1:], place)
    if target is not None:
        Path(target).write_text(printed.getvalue())


def _without_redirection(words: list[str]) -> tuple[list[str], str | None]:
    if ">" in words:
        position = words.index(">")
        return words[:position], words[position + 1]
    return words, None


def quickened(words: Sequence[str]) -> list[str]:
    """Return the words of a command with options that make it fast and let it be repeated."""
    command = words[0]
    options = {word.partition("=")[0] for word in words}
    added = [
        word
        for option, value in QUICK.get(command, {}).items()
        if option not in options
        for word in (option, value)
    ]
    if command in REPEATED and not {"--overwrite", "--resume", "--print-config"} & options:
        added.append("--overwrite")
    return [*words, *added]


def _segdistill(words: Sequence[str], place: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            status = main(quickened(words))
        except SystemExit as exit_:
            status = int(exit_.code or 0)
    assert status == 0, f"{place}: segdistill {shlex.join(words)}: {errors.getvalue()}"


def _pip(words: Sequence[str], place: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"\[([\w,]+)\]", " ".join(words))
    for extra in ",".join(named).split(",") if named else []:
        assert extra in extras["optional-dependencies"], f"{place}: no extra {extra}"
    for option, file in pairwise(words):
        assert option != "-c" or (ROOT / file).is_file(), f"{place}: no file {file}"


def _make(words: Sequence[str], place: str) -> None:
    targets = re.findall(r"^([\w-]+)[\w\s-]*:(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in (word for word in words if "=" not in word):
        assert target in targets, f"{place}: no target {target}"


def _python(words: Sequence[str], place: str) -> None:
    script, *arguments = words
    if script == "-m":  # an environment is made, which pip and make are not run in either
        assert arguments[0] == "venv", f"{place}: say why `python -m {arguments[0]}` is not run"
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(str(ROOT / script), run_name="__main__")


_PROGRAMS: dict[str, Callable[[Sequence[str], str], None]] = {
    "segdistill": _segdistill,
    "pip": _pip,
    "make": _make,
    "python": _python,
}
