"""What subsets came out like, beside the paper's Table 9: in cells for a terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from curate.manifest.paper_statistics import ABLATIONS
from curate.manifest.statistics import Statistics

__all__ = [
    "ASPECTS",
    "COLUMN_OF",
    "HEADINGS",
    "LEGEND",
    "Subset",
    "cells",
    "csv_of",
    "json_of",
    "rows",
]

ASPECTS = ("resolution", "bpp", "frequency", "diversity")
"""The four that Table 9 ablates."""

COLUMN_OF = {
    "resolution": "pixels",
    "bpp": "bpp",
    "frequency": "hf_ratio_032",
    "diversity": "diversity",
}
"""Aspect -> which of the statistics it is."""

_COLUMNS = {
    "subset": ("subset", "{}"),
    "number": ("images", "{:,}"),
    "pixels": ("pixels", "{:,.0f}"),
    "hf_ratio_032": ("ratio 0.32", "{:.4%}"),
    "bpp": ("bpp", "{:.3f}"),
    "lossless_bpp": ("as PNG", "{:.3f}"),
    "diversity": ("diversity", "{:.3f}"),
    "made": ("made", "{}"),
}
"""Column -> its heading and the form of its values, for readers."""

HEADINGS = [heading for heading, _ in _COLUMNS.values()]
LEGEND = (
    "Means over images. ratio: power beyond 0.32 of the half-diagonal; bpp: of the files; as PNG: of their pixels, "
    "stored without loss; diversity: over sub-categories, to base 10."
)


@dataclass(frozen=True)
class Subset:
    """One manifest, what it is like, and how far it is what was wanted."""

    name: str
    made: str
    """`chosen`, or what copies were made with."""
    statistics: Statistics
    lossless_bpp: float
    """Mean bits per pixel of the pixels stored as PNG: the paper's kind of bpp."""
    aspect: str | None = None
    """What it has less of; None for the reference and for sizes."""
    target: float | None = None
    reached: bool = True
    """Whether the target was, within the tolerance."""
    off: dict[str, float] = field(default_factory=dict)
    """Measures that should be as the reference's and aren't within the tolerance -> by which share."""
    lowest: float | None = None
    """What no choice of the pool is under, where the target was not reached."""
    freed: dict[str, float] = field(default_factory=dict)
    """What held it back -> how low the aspect could go without that."""
    lacking: dict[str, int] = field(default_factory=dict)
    """Category -> images at or under the target that the pool has too few of."""
    not_fetched: int = 0
    """Images that the filters rejected for this aspect before they were downloaded."""


def rows(subsets: Sequence[Subset]) -> Iterator[dict[str, Any]]:
    """The subsets, then the paper's, by column; None where there is nothing to say."""
    for subset in subsets:
        own = {"subset": subset.name, "lossless_bpp": subset.lossless_bpp, "made": subset.made}
        yield asdict(subset.statistics) | own
    for name, statistics in ABLATIONS.items():
        bpp, lossless = (statistics.bpp, None) if name == "low_bpp" else (None, statistics.bpp)
        own = {"subset": f"{name} (paper)", "bpp": bpp, "lossless_bpp": lossless, "made": None}
        yield asdict(statistics) | own


def cells(row: dict[str, Any]) -> list[str]:
    """A row as one reads it."""
    return [
        "-" if row[name] is None else form.format(row[name]) for name, (_, form) in _COLUMNS.items()
    ]


def csv_of(subsets: Sequence[Subset]) -> bytes:
    """A line each; empty where there is nothing to say."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_COLUMNS), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows(subsets))
    return text.getvalue().encode()


def json_of(subsets: Sequence[Subset], settings: dict[str, Any]) -> bytes:
    """Everything."""
    paper = {name: asdict(statistics) for name, statistics in ABLATIONS.items()}
    found = [asdict(subset) for subset in subsets]
    return (
        json.dumps({"settings": settings, "subsets": found, "paper": paper}, indent=1) + "\n"
    ).encode()
