"""Writing files: whole or not at all."""

import errno
from pathlib import Path

import pytest

from segdistill.errors import UserError
from segdistill.files import atomic_path, translate_os_errors, write_text_atomically


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
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


def test_files_have_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text_atomically(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot be written"),
        (errno.ENOTDIR, "a file stands where a folder is needed"),
        (errno.ENOENT, "cannot be made here"),
    ],
)
def test_what_a_user_can_mend_is_reworded(code: int, message: str) -> None:
    with (
        pytest.raises(UserError, match=f"place.*{message}"),
        translate_os_errors(Path("place")),
    ):
        raise OSError(code, "reason")


def test_other_failures_stay_as_they_are() -> None:
    with pytest.raises(OSError, match="reason"), translate_os_errors(Path("place")):
        raise OSError(errno.EIO, "reason")


def test_a_folder_under_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        write_text_atomically(tmp_path / "file" / "note.txt", "x")
