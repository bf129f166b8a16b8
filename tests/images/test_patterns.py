"""Patterns of paths whose parts are files, gone, hidden or not to be read."""

import logging
from pathlib import Path

import pytest
from tests.images.test_folder import names, write

from segdistill.images.tree import is_output, matches_of


def test_parts_without_magic_are_looked_up(tmp_path: Path) -> None:
    for name in ("a/imgs/1.png", "b/imgs/2.png", "c/other/3.png", "d.png"):
        write(tmp_path / name)
    assert names(f"{tmp_path}/*/imgs/*.png") == ["a/imgs/1.png", "b/imgs/2.png"]
    # A file has nothing below it, and what is gone is not found.
    assert list(matches_of(tmp_path, "*.png/imgs")) == []
    assert list(matches_of(tmp_path, "none/*.png")) == []
    (tmp_path / "a/gone.png").symlink_to(tmp_path / "none")
    assert list(matches_of(tmp_path, "*/gone.png")) == [tmp_path / "a/gone.png"]


def test_hidden_entries_need_a_dot(tmp_path: Path) -> None:
    for name in (".x.png", "y.png", ".h/z.png"):
        write(tmp_path / name)
    assert [path.name for path in matches_of(tmp_path, "*.png")] == ["y.png"]
    assert [path.name for path in matches_of(tmp_path, ".*.png")] == [".x.png"]
    assert [path.name for path in matches_of(tmp_path, ".h/*")] == ["z.png"]
    assert [path.name for path in matches_of(tmp_path, "**")] == ["y.png"]


def test_folders_that_cannot_be_searched_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.png")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with caplog.at_level(logging.WARNING, "segdistill"):
        assert list(matches_of(tmp_path, "*.png")) == []
    assert caplog.messages == [f"{tmp_path}: cannot be searched (Permission denied)"]


def test_marks_that_cannot_be_read_mark_nothing(tmp_path: Path) -> None:
    (tmp_path / "segmenter.json").mkdir()
    assert not is_output(tmp_path, ["segmenter.json"])
    (tmp_path / "classes.json").write_text('[{"colour": [1, 2, 3]}]')
    assert is_output(tmp_path, ["segmenter.json", "classes.json"])
