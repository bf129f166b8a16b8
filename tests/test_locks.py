"""One writer per folder, whichever way a process ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segdistill.errors import UserError
from segdistill.locks import only_writer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows locks no folders")

HOLD = """
import sys, time
from pathlib import Path
from segdistill.locks import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "masks")]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=paths) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=r"masks: another command is writing to it"),
            only_writer(tmp_path / "masks"),
        ):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
    with only_writer(tmp_path / "masks"):
        pass


def test_a_second_writer_can_wait(tmp_path: Path) -> None:
    first = only_writer(tmp_path)
    first.__enter__()
    start = time.monotonic()
    with pytest.raises(UserError), only_writer(tmp_path, seconds=0.1):
        pass
    assert time.monotonic() - start >= 0.1
    first.__exit__(None, None, None)
    with only_writer(tmp_path, seconds=0.1):
        pass


def test_a_folder_that_stays_empty_is_removed_and_others_are_kept(tmp_path: Path) -> None:
    with only_writer(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()
    with only_writer(tmp_path / "new"):
        (tmp_path / "new" / "mask.png").touch()
    assert (tmp_path / "new" / "mask.png").exists()
    with only_writer(tmp_path):
        pass
    assert tmp_path.exists()


def test_what_is_no_folder_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with only_writer(tmp_path / "file"), only_writer(tmp_path / "file"), only_writer(None):
        pass
    with (
        pytest.raises(UserError, match="a file exists where a folder is needed"),
        only_writer(tmp_path / "file" / "folder"),
    ):
        pass
