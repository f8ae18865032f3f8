"""Hooks of the documentation's site, for what the pages don't hold as plain files.

- Pages at the top of the project become pages of the site.
- The menu's long lists are filled from the index and from the folder of decisions.
- Formulas become MathML, which browsers show without a script.
- Pictures are drawn where a page has `<!-- picture: NAME | TEXT -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from pictures import PICTURES, draw  # noqa: E402 - found by the line above

OUTSIDE = {
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "benchmarks/RESULTS.md": "project/benchmarks.md",
}
"""Page at the top of the project -> its place on the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the menu: the how-to pages in the order of the index, the decisions by number."""
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    how_to = re.findall(r"^- \[(.+?)\]\((how-to/[\w-]+\.md)\)", index, re.MULTILINE)
    decisions = sorted((ROOT / "docs/decisions").glob("0*.md"))
    lists = {
        "How to": [{title: page} for title, page in how_to],
        "Decisions": ["decisions/README.md", *(f"decisions/{page.name}" for page in decisions)],
    }
    config.nav = _with_lists(config.nav or [], lists)
    return config


def _with_lists(menu: list[Any], lists: dict[str, list[Any]]) -> list[Any]:
    """Return a menu with these lists in the place of its entries of their names."""
    filled = []
    for entry in menu:
        name, below = next(iter(entry.items()))
        if isinstance(below, list):
            below = lists.get(name) or _with_lists(below, lists)
        filled.append({name: below})
    return filled


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/, and the drawn pictures."""
    for source, place in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=_relinked(text, Path(source), place)))
    for name in PICTURES:
        files.append(File.generated(config, f"images/{name}", content=draw(name)))
    return files


def _relinked(text: str, source: Path, place: str) -> str:
    """Return a page's text with its links as they are from its place on the site."""
    up = "../" * place.count("/")

    def relink(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if ":" in target:
            return match[0]
        path = (ROOT / source.parent / target).resolve().relative_to(ROOT).as_posix()
        return f"]({up}{OUTSIDE.get(path, path.removeprefix('docs/'))}{anchor})"

    return re.sub(r"\]\(([^)#\s]+)(#[^)\s]*)?\)", relink, text)


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Set formulas as MathML, show drawn pictures, and mend links that lead out of docs/."""
    up = "../" * page.file.src_uri.count("/")
    for source, place in OUTSIDE.items():
        markdown = markdown.replace(f"]({up}../{source}", f"]({up}{place}")
    markdown = re.sub(
        r"<!-- picture: (\S+) \| (.+?) -->", rf"![\2]({up}images/\1)", markdown, flags=re.DOTALL
    )
    return re.sub(r"^```math\n(.*?)^```$", _formula, markdown, flags=re.MULTILINE | re.DOTALL)


def _formula(match: re.Match[str]) -> str:
    return f'<div class="formula">{convert(match[1].strip(), display="block")}</div>'
