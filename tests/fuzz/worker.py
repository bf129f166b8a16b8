"""One target in a process of its own, since libFuzzer never returns: see ``__main__``."""

import contextlib
import hashlib
import io
import logging
import os
import resource
import signal
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import atheris

from tests.fuzz.mutation import mutate
from tests.fuzz.target import MOST_BYTES, Finding, Target, examine

LONGEST_CALL = 600
"""Seconds after which libFuzzer ends the process; calls that take the processor are noticed before,
and on a busy machine any call may wait."""


def all_targets() -> dict[str, Target]:
    """Return all targets; what they read with is imported so that its coverage is counted."""
    # It names every module.
    with _instrumented(), contextlib.redirect_stderr(io.StringIO()):
        from tests.fuzz.registry import TARGETS
    return TARGETS


def work(name: str, seconds: int, corpus: Path, findings: Path) -> None:
    """Fuzz a target for so many seconds of the processor, which then ends the process.

    New findings are written, and do not end it.
    """
    logging.getLogger("segdistill").addHandler(logging.NullHandler())
    logging.getLogger("segdistill").propagate = False
    target = all_targets()[name]
    corpus.mkdir(parents=True, exist_ok=True)
    # What readers import when they are first called is counted, too.
    with _instrumented(), tempfile.TemporaryDirectory() as scratch:
        for content in [*target.seeds(), *(each.read_bytes() for each in target.corpus)]:
            _note(target, content, Path(scratch), findings)
            (corpus / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    _limit_memory()
    _fuzz(target, seconds, corpus, findings)


def _instrumented() -> AbstractContextManager[None]:
    imports: AbstractContextManager[None] = atheris.instrument_imports(include=["segdistill"])
    return imports


def _fuzz(target: Target, seconds: int, corpus: Path, findings: Path) -> None:
    scratch = tempfile.mkdtemp(prefix="fuzz-", dir=_memory_folder())

    end = time.process_time() + seconds

    def one_input(content: bytes) -> None:
        _note(target, content, Path(scratch), findings)
        if time.process_time() > end:
            # libFuzzer then prints its counts and ends; its own limit is of the time that passes.
            os.kill(os.getpid(), signal.SIGUSR1)

    def custom_mutator(content: bytes, most: int, seed: int) -> bytes:
        return mutate(content, target.form, most, seed, atheris.Mutate)

    findings.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_len={target.most}",
        f"-timeout={LONGEST_CALL}",
        "-rss_limit_mb=4096",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        f"-report_slow_units={LONGEST_CALL}",
        "-handle_usr1=1",
        "-verbosity=1",
    ]
    atheris.Setup(arguments, one_input, custom_mutator=custom_mutator)
    atheris.Fuzz()


def _note(target: Target, content: bytes, scratch: Path, findings: Path) -> None:
    """Let the target read an input; keep the shortest input of each finding."""
    finding = examine(target, content, scratch)
    if finding is None:
        return
    name = _name(finding)
    kept = findings / name
    if kept.exists() and kept.stat().st_size <= len(content):
        return
    findings.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        sys.stderr.write(f"NEW FINDING {name}\n{finding.text}\n")
    kept.write_bytes(content)
    kept.with_name(f"{name}.txt").write_text(finding.text, encoding="utf-8", errors="replace")


def _name(finding: Finding) -> str:
    place = "".join(c if c.isalnum() or c in "._" else "-" for c in finding.place)
    return f"{finding.kind}-{place}"


def _limit_memory() -> None:
    """Let an allocation that is far too large fail, instead of ending the process."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (held + 3 * MOST_BYTES,) * 2)


def _memory_folder() -> str | None:
    """Return a folder of files that are kept in memory, if there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a private folder in it
