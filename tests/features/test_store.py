"""The feature store: what is kept, what goes, what is never touched."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.errors import UserError
from segdistill.features.entry import EntryKind
from segdistill.features.store import FeatureStore, default_store_folder

TINY = "tiny-0123456789abcdef-32-true-v1"
MAP = np.arange(24, dtype=np.float16).reshape(2, 3, 4)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store", max_bytes=10**6)
    assert not store.has(TINY, "abcd")
    assert store.write(TINY, "abcd", MAP)
    assert store.has(TINY, "abcd")
    kept = store.read(TINY, EntryKind("abcd", MAP.shape))
    assert isinstance(kept, np.memmap)
    np.testing.assert_array_equal(kept, MAP)
    # Other programs can read it too.
    np.testing.assert_array_equal(np.load(store.path(TINY, "abcd")), MAP)
    assert store.damaged == set()
    [content] = store.contents()
    assert (content.backbone, content.maps) == (TINY, 1)


def test_the_map_longest_unused_goes_first(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, max_bytes=10**6)
    for number, key in enumerate(("aaaa", "bbbb", "cccc")):
        store.write(TINY, key, MAP)
        os.utime(store.path(TINY, key), (number, number))
    store.touch(TINY, "aaaa")
    size = store.path(TINY, "aaaa").stat().st_size
    small = FeatureStore(tmp_path, max_bytes=3 * size)
    assert small.make_room(size, set()) == size
    assert [small.has(TINY, key) for key in ("aaaa", "bbbb", "cccc")] == [True, False, True]


def test_maps_in_use_stay(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, max_bytes=10**6)
    store.write(TINY, "aaaa", MAP)
    full = FeatureStore(tmp_path, max_bytes=1)
    assert full.make_room(1000, {full.path(TINY, "aaaa")}) == 0
    assert full.has(TINY, "aaaa")


def test_clearing_removes_maps_and_nothing_else(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, max_bytes=10**6)
    store.write(TINY, "abcd", MAP)
    (tmp_path / "letter.txt").write_text("mine")
    (tmp_path / "scene" / "01").mkdir(parents=True)
    (tmp_path / "scene" / "01" / "mine.npy").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / TINY / "ab" / "notes.txt").write_text("mine too")
    assert store.clear() > 0
    assert store.contents() == []
    assert (tmp_path / "letter.txt").exists()
    assert (tmp_path / "scene" / "01" / "mine.npy").exists()
    assert (tmp_path / "empty").exists()
    assert (tmp_path / TINY / "ab" / "notes.txt").exists()


def test_what_was_never_finished_is_no_map_and_goes(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, max_bytes=10**6)
    store.write(TINY, "abcd", MAP)
    leftover = store.path(TINY, "abcd").with_name(".abce-q0w9_e8r.part.npy")
    leftover.write_bytes(b"half a map")
    [content] = store.contents()
    size = store.path(TINY, "abcd").stat().st_size
    assert (content.maps, content.size) == (1, size + leftover.stat().st_size)
    assert store.make_room(100, set()) == 100
    assert not leftover.exists()
    assert store.has(TINY, "abcd")


def test_a_place_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / TINY).write_text("in the way")
    store = FeatureStore(tmp_path, max_bytes=10**6)
    assert not store.write(TINY, "abcd", MAP)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        FeatureStore(tmp_path / "file", max_bytes=1)


def test_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGDISTILL_CACHE", "/somewhere")
    assert default_store_folder() == Path("/somewhere")
    monkeypatch.delenv("SEGDISTILL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_store_folder() == Path("/caches/segdistill")


def test_touching_tells_whether_a_map_is_kept(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, max_bytes=10**6)
    assert not store.touch(TINY, "abcd")
    store.write(TINY, "abcd", MAP)
    os.utime(store.path(TINY, "abcd"), (1, 1))
    assert store.touch(TINY, "abcd")
    assert store.path(TINY, "abcd").stat().st_mtime > 1


@settings(max_examples=40, deadline=None)
@given(
    ages=st.lists(st.integers(0, 99), min_size=1, max_size=12, unique=True),
    kept=st.sets(st.integers(0, 11)),
    files_wanted=st.integers(0, 12),
    data=st.data(),
)
def test_the_oldest_go_and_no_more_than_must(
    ages: list[int], kept: set[int], files_wanted: int, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), max_bytes=10**6)
        keys = [f"{number:02x}{number:02x}" for number in range(len(ages))]
        sizes = []
        for key, age in zip(keys, ages, strict=True):
            rows = data.draw(st.integers(1, 40))
            store.write(TINY, key, np.zeros((rows, 8, 8), np.float16))
            os.utime(store.path(TINY, key), (age, age))
            sizes.append(store.path(TINY, key).stat().st_size)
        bound = data.draw(st.integers(0, sum(sizes)))
        wanted = files_wanted * 200
        # As plainly as can be: from the oldest on, until it fits.
        left = dict(zip(keys, sizes, strict=True))
        in_use = {key for number, key in enumerate(keys) if number in kept}
        for _, key in sorted(zip(ages, keys, strict=True)):
            if sum(left.values()) + wanted > bound and key not in in_use:
                del left[key]
        small = FeatureStore(Path(folder), max_bytes=bound)
        room = small.make_room(wanted, {small.path(TINY, key) for key in in_use})
        assert [key for key in keys if small.has(TINY, key)] == list(left)
        assert room == max(0, min(wanted, bound - sum(left.values())))
