"""Images at URLs: names as of folders here, patterns, and what is passed over."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from segdistill.errors import UserError
from segdistill.images.remote import find_remote_images, fits

ALL = [
    "a.jpg",
    "deep/b.PNG",
    "deep/deeper/c.tif",
    "others/e.jpg",
    "set[1]/g::h.jpg",
    "set[1]/f?.jpg",
]


def find_as_object_stores(system: MemoryFileSystem, root: str) -> list[str]:
    """List by prefix. Before 2026, fsspec's memory lost keys that hold two slashes in a row."""
    return sorted(key for key in system.store if key == root or key.startswith(f"{root}/"))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(MemoryFileSystem, "find", find_as_object_stores)
    system = fsspec.filesystem("memory")
    for name, content in {
        "a.jpg": b"",
        "deep/b.PNG": b"",
        "deep/deeper/c.tif": b"",
        "deep/notes.txt": b"",
        ".hidden/d.jpg": b"",
        "masks/a.png": b"",
        "masks/classes.json": b'[{"colour": [1, 2, 3]}]',
        "others/e.jpg": b"",
        "set[1]/f?.jpg": b"",
        "set[1]//g::h.jpg": b"",
        "others/classes.json": b"[]",
    }.items():
        system.pipe_file(f"/bucket/{name}", content)
    yield "memory://bucket"
    for key in find_as_object_stores(system, "/bucket"):
        system.rm_file(key)


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        ("", ALL),
        ("/", ALL),
        ("/deep", ["b.PNG", "deeper/c.tif"]),
        ("/deep/b.PNG", ["b.PNG"]),
        ("/*.jpg", ["a.jpg"]),
        ("/others/*.jpg", ["e.jpg"]),
        ("/set[1]", ["g::h.jpg", "f?.jpg"]),
        ("/set[1]/f?.jpg", ["f?.jpg"]),
        ("/d*/**", ["deep/b.PNG", "deep/deeper/c.tif"]),
        ("/masks", ["a.png"]),
    ],
)
def test_names_are_those_of_the_tree(bucket: str, rest: str, names: list[str]) -> None:
    found = find_remote_images(bucket + rest)
    assert [image.name.as_posix() for image in found] == names
    system = fsspec.filesystem("memory")
    for image in found:
        assert system.isfile(image.url.removeprefix("memory:/"))


@pytest.mark.parametrize("rest", ["/nowhere", "/nowhere.jpg", "/deep/*.jpg", "/.hidden/*.jpgg"])
def test_nothing_found_is_told(bucket: str, rest: str) -> None:
    with pytest.raises(UserError, match="check the URL"):
        find_remote_images(bucket + rest)


def test_what_is_no_image_is_told(bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    system = fsspec.filesystem("memory")
    for name in ("phone/a.jxl", "phone/b.JXL", "phone/c.mp4", "phone/d.txt"):
        system.pipe_file(f"/bucket/{name}", b"")
    with pytest.raises(
        UserError, match=r"only 2 files in formats that cannot be read: \.jxl \(2\)"
    ):
        find_remote_images(f"{bucket}/phone")
    with caplog.at_level("WARNING"):
        assert len(find_remote_images(bucket)) == len(ALL)
    assert ".jxl (2)" in caplog.text
    assert "1 video left out" in caplog.text


def test_of_stegos_layout_the_images_are_taken(bucket: str) -> None:
    system = fsspec.filesystem("memory")
    for name in ("imgs/train/x/a.png", "imgs/val/b.png", "labels/train/x/a.png"):
        system.pipe_file(f"/bucket/set/{name}", b"")
    (image,) = find_remote_images(f"{bucket}/set")
    assert (image.name.as_posix(), image.url) == ("x/a.png", f"{bucket}/set/imgs/train/x/a.png")


parts = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4)
patterns = st.lists(st.sampled_from(["a", "*", "a*", "?", "**"]), min_size=1, max_size=4)


@given(parts, patterns)
def test_patterns_fit_as_pathlib_says(name: list[str], pattern: list[str]) -> None:
    """Where ``**`` ends a pattern it stands for files below, too, which pathlib sees otherwise."""
    if pattern[-1] == "**":
        pattern = [*pattern, "*"]
    given_name, given_pattern = "/".join(name), "/".join(pattern)
    expected = _fits_by_cases(PurePosixPath(given_name), pattern)
    assert fits(given_name, given_pattern) == expected


def _fits_by_cases(name: PurePosixPath, pattern: list[str]) -> bool:
    """Try every number of parts, at most four, that each ``**`` can stand for."""
    if "**" not in pattern:
        return len(name.parts) == len(pattern) and all(
            PurePosixPath(part).match(each) for part, each in zip(name.parts, pattern, strict=True)
        )
    place = pattern.index("**")
    return any(
        _fits_by_cases(name, [*pattern[:place], *["*"] * count, *pattern[place + 1 :]])
        for count in range(5)
    )
