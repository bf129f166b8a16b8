"""Messages: one line each, of bounded length, without control characters."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import QUICK, Run
from tests.forking import Server
from tests.helpers import edited, write_striped_folder

from segdistill.errors import LONGEST_MESSAGE, UserError, printable
from segdistill.files import MAX_TEXT_BYTES

# Where memory can be limited: macOS and Windows have no such limit.
limits_memory = pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS of Linux")


def aliases(levels: int, *, key: str) -> str:
    """A few lines of YAML that stand for 9 to the power of ``levels`` values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)
    ]
    return "\n".join([*lines, f"{key}: *a{levels - 1}", ""])


def only_aliased(levels: int, key: str) -> str:
    """The same as the value of one setting, nested in itself."""
    value = "&a0 [x, x, x, x, x, x, x, x, x]"
    for level in range(1, levels):
        value = f"&a{level} [{value}, {', '.join([f'*a{level - 1}'] * 8)}]"
    return f"{key}: {value}\n"


@pytest.mark.parametrize(
    "content",
    [
        only_aliased(12, "classes"),
        only_aliased(12, "backbone"),
        only_aliased(12, "training"),
        aliases(12, key="classes"),
        "? " + "k" * 900_000 + "\n: 1\n",
        "classes: " + "9" * 900_000 + "\n",
        "classes: 0x" + "f" * 9_000 + "\n",
        "training:\n  steps: 0x" + "f" * 9_000 + "\n",
        "classes: '" + "many " * 100_000 + "'\n",
        "classes: &a [*a]\n",
        "head: &a {head: *a}\n",
        "x0: &x0 {k: 1}\n"
        + "".join(f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
        "[" * 50_000,
        "a: " * 50_000,
    ],
    ids=range(14),
)
def test_settings_that_stand_for_gigabytes(photos: Path, segdistill: Run, content: str) -> None:
    Path("odd.yaml").write_text(content)
    status, _, error = segdistill("fit", photos, "--config", "odd.yaml")
    assert status == 2
    assert error.startswith("segdistill fit: odd.yaml: ")
    assert error.count("\n") == 1
    assert len(error) <= LONGEST_MESSAGE + 100


def test_files_without_an_end_are_no_settings(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill("fit", photos, "--config", "/dev/zero")
    assert status == 2
    assert "/dev/zero: too long for a YAML file of settings" in error
    Path("long.yaml").write_text(f"classes: 3 #{' ' * MAX_TEXT_BYTES}")
    assert segdistill("fit", photos, "--config", "long.yaml")[0] == 2


def test_aliases_may_be_used(photos: Path, segdistill: Run) -> None:
    Path("settings.yaml").write_text("classes: &n 4\nhead: {channels: *n}\n")
    status, printed, _ = segdistill("fit", photos, "--config", "settings.yaml", "--print_config")
    assert status == 0
    assert yaml.safe_load(printed)["head"]["channels"] == 4


def test_options_are_quoted_in_part(segdistill: Run) -> None:
    for given in (["--" + "x" * 100_000], ["photos", "--classes", "9" * 100_000]):
        status, _, error = segdistill("fit", *given)
        assert status == 2
        assert len(error) < LONGEST_MESSAGE + 100


def test_errors_are_bounded_lines() -> None:
    error = UserError(f"start\x1b[2J\n{'long' * 10**6} advice\udcff")
    assert len(str(error)) < 3 * LONGEST_MESSAGE
    assert str(error).startswith(r"start\x1b[2J\n")
    assert str(error).endswith(r"advice\udcff")
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café 漢字 👩‍🚀".replace("\u200d", ""), "café 漢字 👩🚀"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(printable(text)) == shown


def test_names_of_classes_are_printed_without_control_characters(
    fitted: Path, segdistill: Run
) -> None:
    description = fitted / "segmenter.json"
    changed, count = re.subn(
        r'"name": "class 0"', r'"name": "road\\u001b[2J\\u202e"', description.read_text()
    )
    changed = json.dumps(edited(changed))
    assert count == 1
    description.write_text(changed)
    status, printed, error = segdistill("classes", fitted)
    assert status == 0, error
    assert r"road\x1b[2J\u202e" in printed
    assert "\x1b" not in printed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_of_files_are_printed_without_control_characters(
    fitted: Path, photos: Path, segdistill: Run
) -> None:
    (photos / "odd\x1b[31m\n.png").write_bytes(b"no image")
    out = photos.parent / "masks\x1b[1m"
    status, printed, error = segdistill("segment", fitted, photos, "--out", out, "--quiet")
    assert status == 0, error
    assert r"odd\x1b[31m\n.png" in printed
    assert r"masks\x1b[1m" in printed
    assert "\x1b" not in printed + error
    arguments = ["--backbone", "tiny", "--classes", 3, *QUICK, "--out", "again", "--quiet"]
    status, printed, error = segdistill("fit", photos, *arguments, "--strict")
    assert status == 2
    assert r"odd\x1b[31m\n.png" in error
    assert "\x1b" not in printed + error


@limits_memory
@pytest.mark.parametrize("kind", ["torch", "numpy", "Python", "file"])
def test_out_of_memory_is_one_line_that_names_what_to_lower(
    kind: str, tmp_path: Path, forking: Server
) -> None:
    write_striped_folder(tmp_path / "photos", 2)
    entry = "tests.cli.limited_memory:run"
    status, _, error = forking.run(tmp_path, kind, "photos", "run", entry=entry)
    assert status == 1, error
    assert error == (
        "segdistill fit: out of memory; lower --resolution or --training.batch-size;"
        " to continue: segdistill fit photos --backbone hungry --out run --quiet --resume\n"
    )


@limits_memory
def test_too_little_memory_to_start_is_one_line(tmp_path: Path) -> None:
    write_striped_folder(tmp_path / "photos", 2)
    limited = 'ulimit -v 400000; exec "$0" -m segdistill.cli.main fit photos'
    done = subprocess.run(
        ["bash", "-c", limited, sys.executable],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("segdistill fit: out of memory; close other programs")
    assert done.stderr.count("\n") == 1
