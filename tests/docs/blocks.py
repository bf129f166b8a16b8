"""The blocks of code in the pages of the documentation."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

LANGUAGES = {"sh", "python", "yaml", "csv", "text", "diff"}
"""Blocks of ``sh`` and ``python`` are run; the others are output, files and diagrams."""

_FENCE = re.compile(r"^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: (?P<reason>.+?) -->\n\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: the page, relative to the repository.
        line: number of its first line of code.
        language: what follows the fence.
        text: the code.
        reason: why it is not run, from a comment ``<!-- not run: REASON -->`` above it; empty if
            it is run.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(content):
        before = content[: fence.start()]
        reason = _REASON.search(before)
        found.append(
            Block(
                name_of(page),
                before.count("\n") + 2,
                fence["language"],
                fence["text"],
                reason["reason"] if reason else "",
            )
        )
    return found


def command_lines(block: Block) -> list[str]:
    """Return the lines of a shell block, continued lines joined, without empty ones."""
    joined = block.text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]
