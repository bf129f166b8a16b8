"""The built site in a browser: every page, as wide as a desk and as narrow as a phone."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.app.chromium import opened
from tests.docs.test_site import built_site

pytestmark = pytest.mark.slow

WIDTHS = (1280, 390)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of the served site, and its folder."""
    pytest.importorskip("playwright", reason="playwright is not installed (extra `dev`)")
    site = built_site(tmp_path_factory.mktemp("site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", site
        server.shutdown()


def test_pages_fit_and_ask_no_other_place(address: tuple[str, Path]) -> None:
    url, site = address
    pages = [path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")]
    shown = sorted(page for page in pages if not page.startswith("source"))
    assert len(shown) > 50
    outside: list[str] = []
    with opened(url, outside) as browser:
        for width in WIDTHS:
            browser.set_viewport_size({"width": width, "height": 900})
            for page in shown:
                browser.goto(f"{url}{page}/", timeout=120_000)
                needed = browser.evaluate("document.scrollingElement.scrollWidth")
                assert needed <= width, f"{page} is {needed} pixels wide on a screen of {width}"
    assert outside == []
