"""The help of every command, and the check of RUN that commands share."""

import os
import re
import subprocess
import sys
from argparse import SUPPRESS, Action
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from segdistill.cli.main import main, parser_of
from segdistill.cli.parser import CommandParser, HelpFormatter
from segdistill.layout import DESCRIPTION_FILE, SETTINGS_FILE
from segdistill.operations import COMMANDS

PARSERS = {name: parser_of(command) for name, command in COMMANDS.items()}

commands = pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS.keys())


def shown(parser: CommandParser) -> list[Action]:
    return [action for action in parser._actions if action.help != SUPPRESS]


def description(parser: CommandParser, action: Action) -> str:
    return str(HelpFormatter(parser.prog)._expand_help(action))


@commands
def test_everything_is_described(parser: CommandParser) -> None:
    for action in shown(parser):
        assert description(parser, action).strip(), action.dest
        assert any(action in group._group_actions for group in parser._action_groups), action.dest


@commands
@pytest.mark.parametrize("columns", [80, 100])
def test_help_shows_no_python(
    parser: CommandParser, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = parser.format_full_help()
    for noise in ("null", "<class", "type:", "Literal", "None", "Optional", "``", "==SUPPRESS=="):
        assert noise not in text
    for title in [str(group.title) for group in parser._action_groups if group._group_actions]:
        assert re.fullmatch(r"[A-Z][A-Za-z ()]*", title)
        assert f"\n{title}:\n" in text
    for line in text.splitlines():
        # An example to copy, or a list of choices, is not broken.
        assert len(line) <= columns or line.startswith("  segdistill ") or "{" in line


@commands
def test_each_default_is_shown_once_or_described(parser: CommandParser) -> None:
    for action in shown(parser):
        text = description(parser, action)
        defaults = text.count("default:")
        assert defaults <= 1, action.dest
        if action.required and not action.option_strings:
            assert not defaults, action.dest
        elif action.required or "(required" in text:
            assert action.default is None, action.dest
            assert not defaults, action.dest
        elif action.nargs != 0 and action.option_strings and action.metavar != "":
            assert defaults, f"{action.dest}: says not what happens when it is left out"
        else:
            assert "(default: False)" not in text


def test_common_settings_come_before_advanced_ones() -> None:
    text = PARSERS["fit"].format_full_help()
    common, advanced = text.split("(advanced):", maxsplit=1)
    for option in ("--out", "--classes", "--backbone", "--resolution", "--depth.folder", "--seed"):
        assert f"  {option} " in common
        assert f"  {option} " not in advanced
    assert "  --objective.weight-self " in advanced


@commands
def test_the_help_fits_on_two_screens_and_the_rest_is_named(
    parser: CommandParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, full = parser.format_help(), parser.format_full_help()
    assert len(short.splitlines()) <= 60
    for action in shown(parser):
        assert f" {action.option_strings[-1] if action.option_strings else action.metavar}" in full
    if not parser.advanced:
        assert short == full
        return
    assert "(advanced)" not in short
    last = " ".join(short.rpartition("\n\n")[2].split())
    assert last.startswith(f"`{parser.prog} --help-all` shows more options, about ")
    for title in parser.advanced:
        assert title.removesuffix(" (advanced)").lower() in last.lower()
    # Its options are grouped, and none is shown twice.
    assert short.count("\n\n") > 4
    assert full.count("\n  --out ") == short.count("\n  --out ") == 1


def test_all_options_are_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    for command, option in [("fit", "--head.channels"), ("segment", "--nodes"), ("name", "--top")]:
        for flag in ("--help", "--help-all"):
            with pytest.raises(SystemExit) as shown_help:
                main([command, flag])
            assert shown_help.value.code == 0
            out = capsys.readouterr().out
            assert out.startswith(f"usage: segdistill {command} ")
            assert (f"  {option} " in out) == (flag == "--help-all" or command == "name")


def test_help_is_a_command_as_well(segdistill: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert segdistill("help")[0] == 0
    assert segdistill("help") == segdistill("--help")
    with pytest.raises(SystemExit) as shown_help:
        main(["help", "classes"])
    assert shown_help.value.code == 0
    assert "usage: segdistill classes" in capsys.readouterr().out
    status, _, error = segdistill("help", "paint")
    assert status == 2
    assert "no command 'paint'" in error


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_only_the_beginning_of_the_help_may_be_read() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-u", "-m", "segdistill.cli.main", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.stderr == ""


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys\n"
        "from segdistill.cli.main import parser_of\n"
        "from segdistill.operations import COMMANDS\n"
        "for command in COMMANDS.values(): parser_of(command).format_help()\n"
        "assert not {'torch', 'gradio', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "swapped", "fixed"),
    [
        ("segment photos RUN", "IMAGES", "segment RUN photos"),
        (
            "segment photos RUN --out photos/masks",
            "IMAGES",
            "segment RUN photos --out photos/masks",
        ),
        ("correspond photos/picture_0.png RUN", "IMAGE", "correspond RUN photos/picture_0.png"),
        ("export masks RUN --format coco", "MASKS", "export RUN masks --format coco"),
        ("evaluate photos --images RUN", "--images", "evaluate RUN --images photos"),
        ("evaluate photos --images=RUN", "--images", "evaluate RUN --images=photos"),
        ("segment photos RUN --out photos", "IMAGES", "segment RUN photos --out photos"),
        ("figures photos --images RUN", "--images", "figures RUN --images photos"),
        ("app photos --images RUN", "--images", "app RUN --images photos"),
        (
            "recluster photos --images RUN --undo",
            "--images",
            "recluster RUN --images photos --undo",
        ),
    ],
)
def test_run_and_images_swapped(
    photos: Path, segdistill: Run, arguments: str, swapped: str, fixed: str
) -> None:
    run = photos.parent / "runs" / "photos"
    run.mkdir(parents=True)
    (run / DESCRIPTION_FILE).write_text("{}")
    status, out, error = segdistill(*arguments.replace("RUN", "runs/photos").split())
    assert (status, out) == (2, "")
    assert f": not a run folder. Did you swap RUN and {swapped}? Try: " in error
    assert error.endswith(f"Try: segdistill {fixed.replace('RUN', 'runs/photos')}\n")
    assert not Path("masks").exists()


def test_what_is_not_a_run_is_reported_first(photos: Path, segdistill: Run) -> None:
    (photos.parent / "half").mkdir()
    (photos.parent / "half" / SETTINGS_FILE).write_text("")
    for run, message in [
        ("none", "none: no such run folder; `segdistill fit` writes one"),
        ("photos", "photos: not a run folder (no segmenter.json); give a folder that"),
        ("half", "half: the fit has not finished; resume it: segdistill fit IMAGES --out half"),
        ("x" * 300, "no such run folder"),
    ]:
        status, _, error = segdistill("segment", run, "nowhere", "--resolution", "0")
        assert status == 2
        assert message in error
        assert error.count("\n") == 1
