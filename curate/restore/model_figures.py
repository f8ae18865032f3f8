"""Figures of the models for an image of 1280x720, computed beforehand; importing takes no torch.

Counting them all builds every network, which takes half a minute. `model_figures.json` has them,
and the fingerprint of the code that they follow from: figures of other code are never returned.
`python -m benchmarks.model_figures` writes the file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["FILE", "HEIGHT", "WIDTH", "known_figures", "source_fingerprint"]

HEIGHT, WIDTH = 720, 1280
FILE = Path(__file__).with_suffix(".json")

_SOURCES = Path(__file__).with_name("models")


def known_figures(height: int, width: int) -> dict[str, dict[str, Any]]:
    """Return name -> fields of `ModelEntry` for each model; empty if they must be computed."""
    if (height, width) != (HEIGHT, WIDTH):
        return {}
    try:
        content = json.loads(FILE.read_bytes())
    except (OSError, ValueError):
        return {}
    if content["fingerprint"] != source_fingerprint():
        return {}
    entries: dict[str, dict[str, Any]] = content["models"]
    return entries


def source_fingerprint() -> str:
    """Return the SHA-256 of the code of the models, on which their figures depend."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
