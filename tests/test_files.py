"""Writing files: whole or not at all."""

import errno
import json
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from segdistill import json_files
from segdistill.errors import FullDiskError, UserError
from segdistill.files import (
    atomic_path,
    remove_leftovers,
    translate_os_errors,
    write_text_atomically,
)
from segdistill.json_files import as_json, from_json, read_json
from tests.forking import Server


def test_a_failure_keeps_the_old_file_and_leaves_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text_atomically(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text_atomically(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot be written"),
        (errno.ENOTDIR, "a file exists where a folder is needed"),
        (errno.ENOENT, "cannot be created here"),
    ],
)
def test_errors_that_a_user_can_fix_are_reworded(code: int, message: str) -> None:
    with (
        pytest.raises(UserError, match=f"place.*{message}"),
        translate_os_errors(Path("place")),
    ):
        raise OSError(code, "reason")


def test_other_errors_are_unchanged() -> None:
    with pytest.raises(OSError, match="reason"), translate_os_errors(Path("place")):
        raise OSError(errno.EIO, "reason")


def test_a_folder_under_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file exists where a folder is needed"):
        write_text_atomically(tmp_path / "file" / "note.txt", "x")


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is removed where nothing is locked")
def test_only_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    def leave(name: str) -> None:
        """Write a file and get killed before it is moved into place."""
        with atomic_path(tmp_path / name) as temporary:
            shutil.copy(temporary, tmp_path / "copy")
            kept = temporary.name
        (tmp_path / name).unlink()
        (tmp_path / "copy").rename(tmp_path / kept)

    for name in ("a.png", "b.overlay.jpg", "plain", f"{'long' * 20}.npy"):
        leave(name)
    assert len(list(tmp_path.iterdir())) == 4
    mine = [".a-draft.png", ".a-abcdefgh.png", "a-abcdefgh.part.png", ".a.part.png"]
    for name in mine:
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "now.png") as temporary:
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {*mine, temporary.name}
    assert {path.name for path in tmp_path.iterdir()} == {*mine, "now.png"}
    remove_leftovers(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "hidden", [OSError("42 requested and 0 written"), RuntimeError("unexpected pos"), ValueError()]
)
def test_a_full_disk_is_found_behind_errors_that_hide_it(
    hidden: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_where: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "no space left")

    def write() -> None:
        with atomic_path(tmp_path / "map.npy"):
            raise hidden

    with pytest.raises(type(hidden)) as raised:
        write()
    assert raised.value is hidden
    monkeypatch.setattr("segdistill.files.tempfile.TemporaryFile", full)
    with pytest.raises(FullDiskError, match=r"map\.npy: the disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
def test_libraries_that_meet_a_full_disk_give_one_line(tmp_path: Path, forking: Server) -> None:
    from tests.limited_writing import WRITERS  # noqa: PLC0415 - imports torch

    status, out, error = forking.run(tmp_path, tmp_path, entry="tests.limited_writing:write_all")
    assert "Traceback" not in error
    assert status == 0, error
    assert [line.split(":")[0] for line in out.splitlines()] == list(WRITERS)
    for line in out.splitlines():
        assert line.endswith("larger than the disk or `ulimit -f` allows; choose another folder")
    # Nothing but TensorBoard's log, which is written bit by bit, is left.
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_json_larger_than_any_of_ours_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 2**20)
    path = tmp_path / "a.json"
    path.write_text(" " * 2**20 + "[]")
    with pytest.raises(UserError, match=r"a\.json: larger than 1 MiB; run again"):
        read_json(path, list[int], what="numbers", fix="run again")


def test_json_is_plain_and_keeps_what_python_can_name() -> None:
    assert json.loads(as_json({"a": np.float64(0.5), "b": (np.int64(3),)})) == {"a": 0.5, "b": [3]}
    with pytest.raises(TypeError, match="object in JSON"):
        as_json([object()])
    names = ["caf\udce9.png", "海.png"]
    assert from_json(as_json(names), list[str], name="a", what="names", fix="") == names
