"""The app as a person meets it: a real page in a real browser."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from PIL import Image
from tests.app.chromium import chromium_path, opened
from tests.helpers import striped_image

import segdistill
from segdistill.api.classes import classes_of
from segdistill.teaching.answers_file import read_answers

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _needs() -> None:
    for name, where in (("gradio", "extra `app`"), ("playwright", "extra `dev`")):
        pytest.importorskip(name, reason=f"{name} is not installed ({where})")
    chromium_path()


@contextmanager
def served(run: Path, photos: Path, scratch: Path) -> Iterator[str]:
    """The command, as a person starts it and ends it with Ctrl-C; yields the page's address."""
    scratch.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["app", run, "--images", photos, "--port", port, "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.app.serve", *map(str, command)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.startswith("Page:"):
                break
        else:
            pytest.fail("".join(printed))
        yield printed[-1].split()[1]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in rest
    assert "OUTSIDE" not in "".join([*printed, rest])
    assert "Changes are saved in the run" in rest
    assert process.returncode == 0
    assert list(scratch.iterdir()) == []


@contextmanager
def shown(run: Path, photos: Path, scratch: Path) -> Iterator["Page"]:
    """The app, opened in a browser; nothing may be asked of any other location."""
    outside: list[str] = []
    with served(run, photos, scratch) as url, opened(url, outside) as page:
        page.wait_for_selector("#gallery figure.tile")
        yield page
    assert outside == []


def told(page: "Page") -> str:
    return str(page.locator("#classes .notice").inner_text())


def go_to(page: "Page", tab: str, part: str) -> None:
    page.get_by_role("tab", name=tab).click()
    page.wait_for_selector(part)


def test_look_name_merge_undo_drop_click_and_open_again(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    with shown(run, photos, tmp_path / "scratch") as page:
        assert page.locator("#gallery figure.tile").count() == 12
        page.click("#page-on")
        page.wait_for_function("document.querySelectorAll('#gallery figure.tile').length === 2")
        page.locator("#gallery button[data-do=open]").first.click()
        page.wait_for_selector("#gallery .view.large")
        page.keyboard.press("Escape")

        go_to(page, "Classes", "#name-1")
        page.fill("#name-1", "road")
        page.press("#name-1", "Enter")
        page.wait_for_selector("#classes .notice:has-text('Renamed class 1 to road.')")
        # The field keeps the focus, so that the next key of a keyboard leads on from there.
        assert page.evaluate("document.activeElement.id") == "name-1"
        page.fill("#name-2", "road")
        page.press("#name-2", "Enter")
        page.wait_for_selector("#classes [role=alert]")
        assert "would both be called 'road'" in told(page)
        assert page.input_value("#name-2") == ""

        rows = "document.querySelectorAll('#classes tbody tr').length === {}"
        assert page.is_disabled("#merge")
        page.check("#pick-0")
        page.check("#pick-3")
        page.click("#merge")
        page.wait_for_selector("#classes .notice:has-text('Merged class 0 and class 3')")
        assert page.locator("#classes tbody tr").count() == 3
        page.click("#undo")
        page.wait_for_selector("#classes .notice:has-text('Undone')")
        assert page.locator("#classes tbody tr").count() == 4
        page.focus("#count")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(rows.format(3))
        page.click("#undo")
        page.wait_for_function(rows.format(4))
        page.check("#hide-2")
        page.wait_for_selector("#classes .notice:has-text('Hid class 2')")

        go_to(page, "Try an image", "#trial .notice")
        Image.fromarray(striped_image(99, 90, 130)).save(tmp_path / "new.png")
        page.set_input_files("input[type=file]", tmp_path / "new.png")
        page.wait_for_selector("#trial .view.large")
        assert "road" in page.inner_text("#trial")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the mask").click()
        assert download.value.suggested_filename == "new.png"
        with Image.open(download.value.path()) as mask:
            assert (mask.size, mask.mode) == ((130, 90), "P")

        go_to(page, "Correspondences", "#point")
        page.click("#point", position={"x": 20, "y": 30})
        page.wait_for_function("Number(document.querySelector('#point').dataset.x) < 0.3")
        page.focus("#point")
        before = float(page.get_attribute("#point", "data-x") or "nan")
        page.keyboard.press("ArrowRight")
        assert float(page.get_attribute("#point", "data-x") or "nan") > before

    named = [(each.name, each.hidden) for each in classes_of(run)]
    assert named == [("class 0", False), ("road", False), ("class 2", True), ("class 3", False)]
    with shown(run, photos, tmp_path / "scratch") as page:
        assert "road" in page.inner_text("#gallery .legend")
        page.get_by_label("Mask opacity").first.fill("20")
        page.wait_for_function(
            "getComputedStyle(document.querySelector('.mask')).opacity === '0.2'"
        )
        go_to(page, "Classes", "#name-1")
        assert page.input_value("#name-1") == "road"
        assert page.is_checked("#hide-2")


def test_every_input_has_a_name_and_nobody_else_is_let_in(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    with shown(run, photos, tmp_path / "scratch") as page:
        for tab, part in (
            ("Classes", "#name-1"),
            ("Correspondences", "#point"),
            ("Compare runs", "#comparison .view"),
        ):
            go_to(page, tab, part)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll(".view input, .view button")]
                .filter((each) => !each.labels?.length && !each.getAttribute("aria-label")
                    && !each.innerText.trim() && !each.querySelector("img[alt]"))
                .map((each) => each.outerHTML)"""
        )
        assert nameless == []
        assert page.locator(".view img:not([alt])").count() == 0
        direct = build_opener(ProxyHandler({}))
        with direct.open(page.url) as answer:
            assert "default-src 'self'" in answer.headers["content-security-policy"]
        # As another site's page would ask, through a name of its own that leads here.
        with pytest.raises(HTTPError, match="400"):
            direct.open(Request(page.url, headers={"Host": "evil.example"}))  # noqa: S310


def numbered(page: "Page") -> str:
    """What tells one view of the Teach tab from the next."""
    return str(page.get_attribute("#teaching .view", "data-number"))


def after(page: "Page", act: Callable[[], object]) -> str:
    """Do something in the Teach tab, wait for what it shows next, and return its message."""
    before = numbered(page)
    act()
    page.wait_for_function(
        f"document.querySelector('#teaching .view')?.dataset.number !== '{before}'"
    )
    return str(page.locator("#teaching .notice").inner_text())


def press(page: "Page", key: str) -> str:
    return after(page, lambda: page.keyboard.press(key))


def test_teach_by_keys_and_clicks_undo_and_open_again(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    with shown(run, photos, tmp_path / "scratch") as page:
        go_to(page, "Teach", "#teaching .card")
        # Keys that are typed into a field answer nothing.
        page.focus("#new-classes")
        page.keyboard.type("sky, rock, su0")
        page.wait_for_selector("#teaching .card")
        assert after(page, lambda: page.click("#add-classes")) == "Added sky, rock and su0."
        page.wait_for_selector("#given #taught-name-2")
        page.fill("#taught-name-2", "grass")
        renamed = after(page, lambda: page.press("#taught-name-2", "Enter"))
        assert renamed == "Renamed su0 to grass."
        page.evaluate("document.activeElement.blur()")

        assert press(page, "1") == "Saved: sky."
        assert press(page, "u") == "Undone: sky."
        assert press(page, "r") == "Redone: sky."
        said = [press(page, key) for key in "23123s0"]
        assert said[-2:] == ["Saved: skipped.", "Saved: several things."]
        page.wait_for_selector("#teaching .guess")
        guess = page.get_attribute("#teaching .guess button", "data-name")
        assert press(page, "Enter") == f"Saved: {guess}."
        assert len(read_answers(run).answers) == 9

        page.click("#brush-2")
        assert page.get_attribute("#brush-2", "aria-pressed") == "true"
        page.wait_for_selector("#taught #draw-0 .mask")
        place = page.get_attribute("#draw-0", "data-image")
        drawn = after(page, lambda: page.click("#draw-0", position={"x": 30, "y": 40}))
        assert drawn == f"Saved: grass in {place}."
        page.focus("#draw-question")
        page.keyboard.press("ArrowLeft")
        assert press(page, "Enter").startswith("Saved: grass in ")
        assert press(page, "Control+z") == "Undone: grass."
        page.keyboard.press("Escape")
        assert page.get_attribute("#brush-2", "aria-pressed") == "false"
        page.wait_for_selector("#teaching-progress :text('10 answers')")
        page.wait_for_selector(f"#teaching-progress :text('segment {run}/taught IMAGES')")

        page.click("#list-answers")
        page.wait_for_selector("#given table")
        choice = "#verdict-0"
        assert after(page, lambda: page.select_option(choice, label="rock")) == (
            "Answer 1 is now rock."
        )

    answers = read_answers(run)
    assert answers.names == ["sky", "rock", "grass"]
    assert len(answers.answers) == 10
    assert answers.answers[0].name == "rock"
    assert answers.answers[-1].stroke is not None
    with shown(run, photos, tmp_path / "scratch") as page:
        go_to(page, "Teach", "#teaching .card")
        page.wait_for_selector("#given :text('Show 10 answers')")
        assert page.input_value("#taught-name-0") == "sky"

    segdistill.segment(run / "taught", photos, out=tmp_path / "masks")
    assert len(list((tmp_path / "masks").rglob("*.png"))) == 14
