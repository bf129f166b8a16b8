"""A browser that tests can drive, if there is one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
]
PATIENCE_MILLISECONDS = 30_000


def chromium_path() -> str:
    """The program named by SEGDISTILL_CHROMIUM, or one on the path; skips where there is none."""
    found = os.environ.get("SEGDISTILL_CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES)), ""
    )
    if not found:
        pytest.skip(f"no browser: none of {', '.join(NAMES)}, and SEGDISTILL_CHROMIUM is not set")
    return found


@contextmanager
def opened(url: str, outside: list[str]) -> Iterator["Page"]:
    """Open a page; addresses that lead away from it are added to ``outside``."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not installed everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MILLISECONDS)

        def note(address: str) -> None:
            if not address.startswith((url, "data:", "blob:")):
                outside.append(address)

        page.on("request", lambda request: note(request.url))
        page.goto(url)
        yield page
        browser.close()
