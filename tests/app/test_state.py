"""What the app shows and changes, without a page."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segdistill.api.classes import classes_of, name_classes
from segdistill.app.pictures import MissingPicture, Picture
from segdistill.app.state import PAGE_SIZE, AppState
from segdistill.decoding.decode import read_image
from segdistill.errors import UserError
from segdistill.images.finding import find_images
from segdistill.model.segmenter import Segmenter


def names(run: Path) -> list[str]:
    return [each.name for each in classes_of(run)]


def passes(state: AppState) -> int:
    """How many images the backbone has encoded so far."""
    count: Any = state.run.segmenter.backbone.passes
    return int(count)


def change(state: AppState, **action: Any) -> tuple[str, bool]:
    view = state.change(action | {"revision": state.classes().revision})
    return view.message, view.failed


def picture(state: AppState, index: int) -> Picture:
    shown = state.small(index)
    assert isinstance(shown, Picture)
    return shown


def test_only_the_page_that_is_shown_is_segmented(state: AppState) -> None:
    assert state.pages == 2
    encoded: list[tuple[int, int]] = []
    first = state.page(0, lambda done, of: encoded.append((done, of)))
    assert passes(state) == len(first) == PAGE_SIZE
    assert encoded == [(done, PAGE_SIZE) for done in range(PAGE_SIZE)]
    state.page(0)
    assert passes(state) == PAGE_SIZE
    assert [each.index for each in state.page(1)] == [12, 13]
    assert [each.index for each in state.page(99)] == [12, 13]


def test_a_mask_is_that_of_segment(state: AppState, run: Path) -> None:
    file = state.files[3]
    expected = Segmenter.load(run).segment(file.path)
    np.testing.assert_array_equal(state.run.sample(file).mask, expected)


def test_the_largest_part_comes_first_and_shares_sum_to_one(state: AppState) -> None:
    shown = picture(state, 0)
    shares = [part.share for part in shown.parts]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert shown.alt.startswith(f"{shown.name}: {shown.parts[0].name} ")


def test_edits_are_saved_and_followed_without_another_pass(state: AppState, run: Path) -> None:
    state.page(0)
    before = passes(state)
    assert change(state, do="name_classes", names={"1": " road "}) == (
        "Renamed class 1 to road.",
        False,
    )
    assert names(run)[1] == "road"
    assert "road" in [part.name for part in picture(state, 0).parts]
    merged = "erged road and class 2 into road."
    assert change(state, do="merge_classes", indices=[1, 2]) == (f"M{merged}", False)
    assert names(run) == ["road", "class 1", "class 2"]
    assert change(state, do="undo_classes") == (f"Undone: m{merged}", False)
    assert names(run) == ["class 0", "road", "class 2", "class 3"]
    assert change(state, do="redo_classes") == (f"Redone: m{merged}", False)
    assert len(names(run)) == 3
    # 12 images of the page; the table looks at the other two for examples.
    assert passes(state) == before + 2


def test_colour_and_hiding(state: AppState, run: Path) -> None:
    state.page(0)
    assert not change(state, do="colour_classes", colours={"0": [10, 20, 30]})[1]
    assert classes_of(run)[0].colour == (10, 20, 30)
    seen_before = picture(state, 0).mask
    message, _ = change(state, do="hide_classes", indices=["0"], hide=True)
    assert message == "Hid class 0 in overlays and exports."
    assert picture(state, 0).mask != seen_before
    assert [part.hidden for part in picture(state, 0).parts if part.name == "class 0"] == [True]
    change(state, do="hide_classes", indices=["0"], hide=False)
    assert picture(state, 0).mask == seen_before


def test_the_number_of_classes_can_be_changed_and_comes_back(state: AppState, run: Path) -> None:
    change(state, do="name_classes", names={"0": "sky"})
    message, failed = change(state, do="recluster", classes="3")
    assert message == "Changed the number of classes: 3 instead of 4 classes."
    assert not failed
    assert len(classes_of(run)) == len(state.run.segmenter.classes) == 3
    change(state, do="recluster", classes="4")
    assert names(run)[0] == "sky"


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"do": "name_classes", "names": {"0": "class 1"}}, "would both be called"),
        ({"do": "merge_classes", "indices": [2]}, "at least two"),
        ({"do": "recluster", "classes": 1}, "2 to 255"),
        ({"do": "recluster", "level": "finer"}, "'finer'"),
        ({"do": "recluster"}, "either --classes or --level"),
        ({"do": "undo_classes"}, "nothing to undo"),
        ({"do": "redo_classes"}, "nothing to redo"),
        ({"do": "colour_classes", "colours": {"0": [0, 0, 256]}}, "not a colour"),
        ({"do": "colour_classes", "colours": {"0": "red"}}, "invalid request"),
        ({"do": "name_classes", "names": {"x": "a"}}, "invalid request"),
        ({"do": "name_classes"}, "invalid request"),
        ({"do": "hide_classes", "indices": [0], "run": "other"}, "invalid request"),
        ({"do": "fit"}, "'fit'"),
        ({}, "`do`"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    state: AppState, run: Path, action: dict[str, Any], reason: str
) -> None:
    before = (run / "segmenter.json").read_bytes()
    message, failed = change(state, **action)
    assert failed
    assert reason in message
    assert (run / "segmenter.json").read_bytes() == before


def test_a_page_that_counts_classes_otherwise_changes_nothing(state: AppState, run: Path) -> None:
    stale = state.classes().revision
    change(state, do="merge_classes", indices=[0, 1])
    view = state.change({"do": "name_classes", "names": {"2": "car"}, "revision": stale})
    assert view.failed
    assert "changed elsewhere" in view.message
    assert "car" not in names(run)
    # Names alone do not make a page stale.
    fresh = view.revision
    state.change({"do": "name_classes", "names": {"0": "a"}, "revision": fresh})
    assert not state.change({"do": "name_classes", "names": {"1": "b"}, "revision": fresh}).failed


def test_changes_made_elsewhere_are_followed(state: AppState, run: Path, finished: Path) -> None:
    picture(state, 0)
    name_classes(run, {0: "water"})
    assert state.run.classes[0].name == "water"
    # Another fit into the same folder.
    segmenter = Segmenter.load(finished / "runs" / "one")
    assert segmenter.prototypes is not None
    segmenter.prototypes.vectors.neg_()
    segmenter.save(run, overwrite=True)
    picture(state, 0)
    assert state.run.fit == 1
    assert state.run.classes[0].name == "class 0"
    # Nothing of the former model is kept.
    assert passes(state) == 1


def test_the_table_of_classes(state: AppState) -> None:
    view = state.classes()
    assert [row.display_name for row in view.rows] == [f"class {index}" for index in range(4)]
    assert [row.number for row in view.rows] == [row.display_name for row in view.rows]
    assert all(row.examples and row.share.endswith("%") for row in view.rows)
    assert max(row.bar for row in view.rows) == 1
    assert (view.can_undo, view.can_redo) == (False, False)
    assert view.most == 40
    assert view.tree is not None
    assert len(view.tree.leaves) == 4
    assert len(view.tree.mergers) == 3
    merged = state.change(
        {"do": "merge_classes", "indices": view.tree.first, "revision": view.revision}
    )
    assert not merged.failed
    union = sum(view.rows[index].clusters for index in view.tree.first)
    assert [row.clusters for row in merged.rows].count(union) == 1
    assert (merged.can_undo, merged.can_redo) == (True, False)


def test_an_image_that_cannot_be_read_is_told(run: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "some")
    (tmp_path / "some" / "picture_0.png").write_bytes(b"no image")
    state = AppState(run, find_images(tmp_path / "some"))
    spoilt = [each for each in state.page(0) if isinstance(each, MissingPicture)]
    assert [each.name for each in spoilt] == ["picture_0.png"]
    assert "not an image" in spoilt[0].reason
    assert isinstance(state.large(spoilt[0].index), MissingPicture)
    assert len(state.classes().rows) == 4
    shown = state.correspondences(0, (0.5, 0.5), "codes")
    assert "picture_0.png" not in [each.name for each in shown]


def test_a_file_that_is_dropped_in(state: AppState, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    small = Image.fromarray(read_image(state.files[0].path))
    small.resize((2400, 1600)).save(path)
    shown, mask = state.segment_file(path)
    assert mask.shape == (1600, 2400)
    assert (shown.height, shown.width) == (1067, 1600)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        state.segment_file(path)


@pytest.mark.parametrize("by", ["codes", "features"])
def test_correspondences(state: AppState, by: Any) -> None:
    shown = state.correspondences(2, (0.5, 0.9), by)
    assert shown[0].index == 2
    assert len({each.index for each in shown}) == 6
    assert all(each.best <= 1.0001 for each in shown)
    assert shown[0].best == pytest.approx(1, abs=0.05)


def test_runs_beside_and_another_run(state: AppState, run: Path) -> None:
    assert state.sibling_runs() == []
    shutil.copytree(run, run.parent / "two")
    (run.parent / "no run").mkdir()
    assert state.sibling_runs() == [(run.parent / "two").resolve()]
    name_classes(run.parent / "two", {0: "other"})
    other = state.other(run.parent / "two")
    shown = state.small(0, other)
    assert isinstance(shown, Picture)
    assert "other" in {part.name for part in shown.parts} | {each.name for each in other.classes}
    assert "other" not in {part.name for part in picture(state, 0).parts}
    with pytest.raises(UserError, match=r"no segmenter\.json"):
        state.other(run.parent / "no run")


def test_a_run_without_images(run: Path) -> None:
    state = AppState(run, [])
    assert (state.pages, state.page(0)) == (1, [])
    assert [row.examples for row in state.classes().rows] == [[]] * 4
