"""The code in README.md and docs runs, page by page and in order, over tiny pictures.

`make test-docs` runs it, also in continuous integration.
"""

import warnings
from pathlib import Path
from typing import Any

import pytest
from tests.docs import materials
from tests.docs.blocks import LANGUAGES, PAGES, ROOT, blocks, name_of
from tests.docs.shell import run_block

RUN = [
    page
    for page in PAGES
    if any(each.language in {"sh", "python"} and not each.reason for each in blocks(page))
]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=map(name_of, RUN))
def test_blocks_run(page: Path, reader: Path) -> None:
    materials.add(name_of(page), reader)
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        if block.reason:
            continue
        if block.language == "sh":
            run_block(block)
        elif block.language == "python":
            # Lines as in the page, so that a traceback names them.
            code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
            with warnings.catch_warnings():
                exec(code, names)  # noqa: S102 - the code of our own pages


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_language(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, block.place
        assert not block.text.startswith("$"), f"{block.place}: without a prompt, to be copied"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_is_left_out_without_a_reason(page: Path) -> None:
    text = page.read_text()
    reasons = [block.reason for block in blocks(page) if block.reason]
    assert text.count("<!-- not run") == len(reasons), "a comment that belongs to no block"
    assert all(len(reason) > 10 for reason in reasons)


def test_commits_that_are_shown_are_still_in_the_code() -> None:
    shown = 0
    (page,) = (each for each in PAGES if each.name == "adding.md")
    for block in blocks(page):
        source = ""
        for line in block.text.splitlines() if block.language == "diff" else ():
            if line.startswith("+++ b/"):
                source = (ROOT / line.removeprefix("+++ b/")).read_text()
            elif line.startswith("+"):
                shown += 1
                assert line[1:] in source.splitlines(), f"{block.place}: {line}"
    assert shown > 30
