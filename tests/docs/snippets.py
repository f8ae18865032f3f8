"""Code blocks of the pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True)
class Snippet:
    """A code block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_snippets(page: Path) -> Iterator[Snippet]:
    """Fenced blocks, and blocks that are set in by four spaces after an empty line."""
    fence: str | None = None
    block: list[str] = []
    start, indent, previous = 0, 0, ""
    for number, line in enumerate([*page.read_text(encoding="utf-8").splitlines(), "end"], 1):
        if line.lstrip().startswith("```"):
            if fence is None:
                fence, block, start = line.strip().removeprefix("```"), [], number
                indent = len(line) - len(line.lstrip())
            else:
                yield Snippet(page, start, fence, "\n".join(block))
                fence, block = None, []
        elif fence is not None:
            block.append(re.sub(f"^ {{0,{indent}}}", "", line))
        elif line.startswith("    ") and (block or not previous):
            start = start if block else number
            block.append(line[4:])
        elif block:
            yield Snippet(page, start, "", "\n".join(block))
            block = []
        previous = line.strip()
    assert fence is None, f"{page}: a fence is not closed"


def logical_lines(text: str) -> list[str]:
    """Return the lines of a shell block; one that ends with a backslash goes on in the next."""
    return text.replace("\\\n", " ").splitlines()
