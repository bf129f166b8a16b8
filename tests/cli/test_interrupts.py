"""Ctrl-C at the start of a command, while libraries are imported."""

import signal
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from segdistill.cli import main as command_line
from segdistill.cli.interrupts import interruptible

INTERRUPTED = """
import signal

try:
    signal.raise_signal(signal.SIGINT)
except BaseException:
    pass  # as libraries do, to go on without what they lack
"""


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A library during whose import the user presses Ctrl-C."""
    (tmp_path / "interrupted_library.py").write_text(INTERRUPTED)
    monkeypatch.syspath_prepend(tmp_path)
    yield "interrupted_library"
    sys.modules.pop("interrupted_library", None)


def test_an_interrupt_during_an_import_comes_after_it(library: str) -> None:
    def work() -> None:
        import_module(library)
        time.sleep(30)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interruptible(work, pytest.fail)
    assert time.monotonic() - started < 20
    assert library in sys.modules
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_elsewhere_comes_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        interruptible(lambda: signal.raise_signal(signal.SIGINT), pytest.fail)


def test_work_that_ends_first_is_not_interrupted(library: str) -> None:
    assert interruptible(lambda: import_module(library), pytest.fail).__name__ == library
    time.sleep(0.2)


def test_a_long_import_is_not_waited_for(library: str, tmp_path: Path) -> None:
    (tmp_path / f"{library}.py").write_text(f"{INTERRUPTED}\nimport time\ntime.sleep(30)\n")

    class EndedError(Exception):
        """Stands for the end of the process."""

    def end() -> None:
        raise EndedError

    with pytest.raises(EndedError):
        interruptible(lambda: import_module(library), end)


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert interruptible(lambda: signal.raise_signal(signal.SIGINT), pytest.fail) is None
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_command_says_that_it_was_interrupted(
    library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_arguments: object) -> None:
        import_module(library)
        time.sleep(30)

    monkeypatch.setattr(command_line, "_run", run)
    assert command_line.main(["fit", "photos"]) == 130
    expected = "\nsegdistill fit: interrupted; to continue: segdistill fit photos --resume\n"
    assert capsys.readouterr().err == expected
