"""The texts of a report, filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from curate.humanize import bands

__all__ = ["render"]

_LONGEST = 200
"""Characters of a name in a table of Markdown."""


def render(name: str, content: Mapping[str, Any], *, markdown: bool = False) -> str:
    """A template of this room with its content.

    What comes from the web (hosts, licences, URLs) is escaped: in HTML like everything else, in Markdown by `| cell`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("curate.stages.report", "."), autoescape=not markdown, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=markdown,
    )  # fmt: skip
    environment.filters["count"] = partial(_number, form=",.0f")
    environment.filters["decimal"] = lambda value, digits=2: _number(value, f",.{digits}f")
    environment.filters["percent"] = lambda value, digits=1: _number(value, f".{digits}%").replace(
        "%", " %"
    )
    environment.filters["cell"] = _cell
    environment.filters["bands"] = bands
    return environment.get_template(name).render(content)


def _number(value: float | None, form: str) -> str:
    return "\N{EN DASH}" if value is None else format(value, form)


def _cell(value: object) -> str:
    """Text that may stand in a table of Markdown, and is neither markup nor a link there."""
    text = " ".join(str(value).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("://", ":&#47;&#47;")
    )
