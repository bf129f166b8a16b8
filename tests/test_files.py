"""Writing files: whole or not at all."""

import errno
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from segdistill import files
from segdistill.errors import UserError
from segdistill.files import (
    as_json,
    atomic_path,
    from_json,
    read_json,
    remove_leftovers,
    translate_os_errors,
    write_text_atomically,
)


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


def test_json_larger_than_any_of_ours_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 2**20)
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
