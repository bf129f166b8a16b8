"""Pages as readers and browsers see them."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

VOID_TAGS = {"br", "hr", "img", "input", "link", "meta", "wbr"}


class PageReader(HTMLParser):
    """Collects what the page holds and checks that its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        if tag in {"td", "th"}:
            self.text += " "

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data

    def attributes(self, tag: str, name: str) -> list[str]:
        return [found[name] or "" for each, found in self.tags if each == tag and name in found]

    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


class Page(NamedTuple):
    text: str
    reader: PageReader


def read_page(path: Path) -> Page:
    page = path.read_text(encoding="utf-8")
    reader = PageReader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return Page(page, reader)


def check_self_contained(page: str, reader: PageReader) -> None:
    assert not re.findall(r"https?://", page)
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in reader.tags}
    assert not reader.attributes("script", "src")
    assert all(url.startswith("data:image/") for url in reader.attributes("img", "src"))
    assert all(url.startswith("#") for url in reader.attributes("a", "href"))
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def check_accessible(page: str, reader: PageReader) -> None:
    """Check that a page can be used without seeing or pointing."""
    tags = [tag for tag, _ in reader.tags]
    for landmark in ("header", "nav", "main", "footer"):
        assert tags.count(landmark) == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identities = [found["id"] for _, found in reader.tags if "id" in found]
    assert len(set(identities)) == len(identities)
    named = reader.attributes("label", "for") + [
        address.removeprefix("#") for address in reader.attributes("a", "href")
    ]
    assert set(named) <= set(identities)
    assert len(reader.attributes("img", "alt")) == tags.count("img")
    assert ("html", {"lang": "en"}) in reader.tags
    assert "prefers-color-scheme: dark" in page
