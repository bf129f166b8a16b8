"""The views as HTML: what is shown, and that nothing given becomes markup."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segdistill.api.classes import hide_classes, name_classes
from segdistill.app import views
from segdistill.app.class_table import no_progress
from segdistill.app.state import AppState
from segdistill.images.finding import find_images

MARKUP = "<b>${1}{{x}}`"


def test_names_are_shown_as_they_are(run: Path, photos: Path, tmp_path: Path) -> None:
    name_classes(run, {0: MARKUP})
    folder = tmp_path / "strange"
    folder.mkdir()
    Image.open(photos / "picture_0.png").save(folder / f"{MARKUP}.png")
    state = AppState(run, find_images(folder))
    for html in (
        views.gallery(state, 0, no_progress),
        views.large(state, 0),
        views.classes(state.classes()),
        views.correspondences(state, 0, (0.5, 0.5), "codes"),
        views.comparison(state, 0, None),
        views.trial(state, folder / f"{MARKUP}.png"),
    ):
        assert "<b>" not in html
        assert "&lt;b&gt;${1}{{x}}`" in html


def test_hidden_classes_leave_the_legend(run: Path, state: AppState) -> None:
    name_classes(run, {0: "sky"})
    assert "sky" in views.gallery(state, 0, no_progress).split('class="gallery"')[0]
    hide_classes(run, [0])
    assert "sky" not in views.gallery(state, 0, no_progress).split('class="gallery"')[0]
    assert "checked" in views.classes(state.classes())


def test_shares_say_of_what_they_are(state: AppState) -> None:
    html = views.classes(state.classes())
    assert "Share <small>of the training images</small>" in html
    assert re.search(r'<span class="number">[\d.]+%</span>', html)


def test_the_mask_that_is_offered_holds_indices(state: AppState, photos: Path) -> None:
    mask = np.array([[0, 1], [3, 2]], np.uint8)
    assert views.mask_file(mask, state.run.classes).startswith("data:image/png;base64,")
    html = views.trial(state, photos / "picture_1.png")
    assert 'download="picture_1.png"' in html
    assert "96 × 64 pixels" in html


@pytest.mark.parametrize("view", ["correspondences", "comparison", "gallery"])
def test_without_images_a_view_says_so(run: Path, view: str) -> None:
    state = AppState(run, [])
    html = {
        "gallery": lambda: views.gallery(state, 0, no_progress),
        "correspondences": lambda: views.correspondences(state, 0, (0.5, 0.5), "codes"),
        "comparison": lambda: views.comparison(state, 0, None),
    }[view]()
    assert "--images" in html


def test_mistakes_are_told_in_the_page(state: AppState, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"x")
    assert "not an image" in views.trial(state, tmp_path / "x.png")
    assert 'role="alert"' in views.comparison(state, 0, str(tmp_path / "nowhere"))
