"""Local and remote folders behave alike."""

import pickle
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from segdistill import storage
from segdistill.errors import UserError
from segdistill.storage import RemoteFolder, is_url, open_folder


@pytest.fixture(params=["local", "memory", "github-like"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "local":
        return str(tmp_path / "folder")
    if request.param == "github-like":
        # A store where a partial file is visible.
        monkeypatch.setattr(storage, "ATOMIC_STORES", frozenset[str]())
    return f"memory://{tmp_path.name}"


def test_sent_files_can_be_fetched(place: str, tmp_path: Path) -> None:
    folder = open_folder(place)
    assert list(folder.names()) == []
    source = tmp_path / "source"
    for name, text in (
        ("a.txt", "one"),
        ("b/c d.txt", "two"),
        ("a.txt", "three"),
        ("a[1]?*.txt", "four"),
    ):
        source.write_text(text)
        folder.send(source, name)
    again = pickle.loads(pickle.dumps(folder))  # noqa: S301 - made here
    assert sorted(again.names()) == ["a.txt", "a[1]?*.txt", "b/c d.txt"]
    again.fetch("a.txt", tmp_path / "x" / "copy")
    assert (tmp_path / "x" / "copy").read_text() == "three"
    again.fetch("b/c d.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "two"
    again.fetch("a[1]?*.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "four"
    with pytest.raises(UserError, match=r"b\.txt: no such file"):
        again.fetch("b.txt", tmp_path / "copy")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"memory://nowhere/a\.jpg: no such file"):
        RemoteFolder("memory://nowhere").fetch("a.jpg", tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://a/b", "nonsense://a/b: this URL scheme is not supported"),
        ("oci://a/b", "oci://a/b: the driver is not installed; Install ocifs"),
    ],
)
def test_unknown_schemes_are_reported(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_folder(url)


def test_a_missing_driver_with_an_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_url: str) -> None:
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UserError, match=r"pip install .*\[gs\]'"):
        open_folder("gs://bucket/photos")


class _Failing:
    """A driver that fails a number of times."""

    protocol = "memory"

    def __init__(self, times: int, error: Callable[[], Exception]) -> None:
        self.times, self.error = times, error

    def invalidate_cache(self) -> None:
        """Nothing is cached."""

    def isfile(self, _path: str) -> bool:
        if self.times:
            self.times -= 1
            raise self.error()
        return True


def test_passing_errors_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    folder = RemoteFolder("memory://x")
    driver = _Failing(3, lambda: ConnectionError("reset"))
    folder.__dict__["_filesystem"] = (driver, "x")
    assert folder.is_file()
    assert waits == [0.5, 1.0, 2.0]
    driver.times = 4
    with pytest.raises(UserError, match=r"memory://x: cannot be reached \(ConnectionError: reset"):
        folder.is_file()


def test_final_errors_are_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: pytest.fail("waited"))
    folder = RemoteFolder("memory://x")
    folder.__dict__["_filesystem"] = (_Failing(1, lambda: PermissionError("not yours")), "x")
    with pytest.raises(UserError, match="memory://x: not yours"):
        folder.is_file()


def test_windows_drives_are_not_urls() -> None:
    assert not is_url("c:\\photos")
    assert not is_url(Path("s3://bucket"))
    assert is_url("https://example.org/a.jpg")
