"""Description of each subset beside the paper's Table 9, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from curate.manifest.paper_statistics import ABLATIONS
from curate.manifest.statistics import Statistics
from curate.storage.text_table import TextColumn, TextTable

__all__ = ["ASPECTS", "COLUMN_OF", "Subset", "subset_table"]

COLUMN_OF = {
    "resolution": "pixels",
    "bpp": "bpp",
    "frequency": "hf_ratio_032",
    "diversity": "diversity",
}
"""Aspect -> its field of `Statistics`."""

ASPECTS = tuple(COLUMN_OF)
"""The four aspects that Table 9 ablates."""

_COLUMNS = (
    TextColumn("subset", ("subset",), left=True),
    TextColumn("images", ("number",), "{:,}".format),
    TextColumn("pixels", ("pixels",), "{:,.0f}".format),
    TextColumn("ratio 0.32", ("hf_ratio_032",), "{:.4%}".format),
    TextColumn("bpp", ("bpp",), "{:.3f}".format),
    TextColumn("as PNG", ("lossless_bpp",), "{:.3f}".format),
    TextColumn("diversity", ("diversity",), "{:.3f}".format),
    TextColumn("made", ("made",)),
)
_LEGEND = (
    "Means over images. ratio: power beyond 0.32 of the half-diagonal; bpp: of the files; as PNG: "
    "of their pixels, stored without loss; diversity: over sub-categories, to base 10."
)


@dataclass(frozen=True)
class Subset:
    """One manifest, its statistics, and how far it is from the wanted ones."""

    name: str
    made: str
    """`chosen`, or the change that copies were made with."""
    statistics: Statistics
    lossless_bpp: float
    """Mean bits per pixel of the pixels stored as PNG: the paper's kind of bpp."""
    aspect: str | None = None
    """Aspect that it has less of; None for the reference and for sizes."""
    target: float | None = None
    reached: bool = True
    """Whether the target was reached, within the tolerance."""
    off: dict[str, float] = field(default_factory=dict)
    """Measure that differs from the reference's by more than the tolerance -> by which share."""
    lowest: float | None = None
    """Least value that the pool allows, where the target was not reached."""
    freed: dict[str, float] = field(default_factory=dict)
    """Constraint that holds it back -> how low the aspect could go without it."""
    lacking: dict[str, int] = field(default_factory=dict)
    """Category -> images at or under the target that the pool has too few of."""
    not_fetched: int = 0
    """Images that the filters rejected for this aspect before they were downloaded."""


def subset_table(subsets: Sequence[Subset], settings: dict[str, Any] | None = None) -> TextTable:
    """Return the subsets, then the paper's.

    Args:
        subsets: the rows; JSON holds all of their fields.
        settings: settings that JSON holds before them.
    """
    rows = []
    for subset in subsets:
        own = {"subset": subset.name, "lossless_bpp": subset.lossless_bpp, "made": subset.made}
        rows.append(asdict(subset.statistics) | own)
    for name, statistics in ABLATIONS.items():
        # the paper's bpp are of PNG files, but for the subset that was compressed
        bpp, lossless = (statistics.bpp, None) if name == "low_bpp" else (None, statistics.bpp)
        own = {"subset": f"{name} (paper)", "bpp": bpp, "lossless_bpp": lossless, "made": None}
        rows.append(asdict(statistics) | own)
    content: dict[str, Any] = {} if settings is None else {"settings": settings}
    content["subsets"] = list(map(asdict, subsets))
    content["paper"] = {name: asdict(statistics) for name, statistics in ABLATIONS.items()}
    return TextTable(_COLUMNS, rows, legend=_LEGEND, content=content)
