"""The built site: strict, complete, and without anything from another place."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.docs.blocks import ROOT

from segdistill.operations import COMMANDS, PUBLIC

pytestmark = pytest.mark.slow

LOADING = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "image": "href",
    "img": "src",
    "input": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""Elements that make a browser load something, and the attribute that says what."""

NOT_LOADED = {"canonical", "next", "prev"}
"""Values of ``rel`` of links that a browser does not follow by itself."""


class Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.styles.append(given.get("style") or "")
        if tag in LOADING and given.get("rel") not in NOT_LOADED:
            self.addresses += filter(None, [given.get(LOADING[tag]), given.get("srcset")])


def built_site(folder: Path) -> Path:
    """Build the site as `make docs` does; return its folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_site(tmp_path_factory.mktemp("site"))


def test_nothing_is_loaded_from_another_place(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        loads = Loads()
        text = page.read_text(encoding="utf-8")
        loads.feed(text)
        assert loads.addresses, page
        for address in loads.addresses:
            assert not re.match(r"(\w+:)?//", address), f"{page.relative_to(site)} loads {address}"
        assert "mermaid" not in re.findall(r'class="([^"]*)"', text), "drawn by a script from a CDN"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text())


def test_all_commands_and_functions_have_their_reference(site: Path) -> None:
    for name in COMMANDS:
        assert (site / "commands" / name / "index.html").is_file()
    reference = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name, module in PUBLIC.items():
        assert f'id="segdistill.{module}.{name}"' in reference


def test_formulas_are_drawn_without_a_script(site: Path) -> None:
    page = (site / "method" / "index.html").read_text(encoding="utf-8")
    assert page.count("<math") > 20
    assert "arithmatex" not in page
