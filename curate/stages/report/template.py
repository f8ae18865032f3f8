"""Templates of a report, and the filters that they use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from markupsafe import Markup

from curate.humanize import bands

__all__ = ["render"]

_LONGEST = 200
"""Characters of a name in a table of Markdown."""


_HOME = "curate.stages.report"


def render(
    name: str, content: Mapping[str, Any], *, markdown: bool = False, package: str = _HOME
) -> str:
    """Return a template of a package, filled with its content; it may include files of this folder.

    Text from the web (hosts, licences, URLs) is escaped: in HTML like everything else, in Markdown
    by `| cell`.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(home, ".") for home in (package, _HOME)]),
        autoescape=not markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=markdown,
    )
    environment.filters |= {
        "count": partial(_decimal, digits=0),
        "decimal": _decimal,
        "percent": _percent,
        "cell": _cell,
        "bands": bands,
        "measure": _measure,
        "headings": _headings,
    }
    return environment.get_template(name).render(content)


def _decimal(value: float | None, digits: int = 2) -> str:
    return "\N{EN DASH}" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.{digits}%}".replace("%", " %")


def _measure(value: float) -> str:
    """Format a value of any column: whole numbers in full, others with four digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def _headings(page: str) -> list[tuple[Markup, Markup]]:
    """Return ids and titles of the page's sections, for a list of contents."""
    found = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', page)
    return [(Markup(key), Markup(title)) for key, title in found]


def _cell(value: object) -> str:
    """Escape text for a table of Markdown, where it is neither markup nor a link."""
    text = " ".join(str(value).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    return escape(text, quote=False).replace("://", ":&#47;&#47;")
