"""The sample crawl site: pictures drawn from a seed, photographs that installed packages ship, served with every misbehaviour.

    draw         a picture of a category of the taxonomy, from a seed
    DRAWINGS     the drawings of every category
    photographs  the shipped photographs; crop and crops take parts of them

Each name loads its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.demo.draw import DRAWINGS, draw
    from curate.demo.photographs import Photograph, crop, crops, photographs

__all__ = ["DRAWINGS", "Photograph", "crop", "crops", "draw", "photographs"]

_HOMES = {
    "DRAWINGS": "draw",
    "draw": "draw",
    "Photograph": "photographs",
    "crop": "photographs",
    "crops": "photographs",
    "photographs": "photographs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
