"""Radar of the five aspects that the paper judges datasets by, as in its Figure 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import cos, log10, pi, sin

from markupsafe import Markup
from matplotlib.figure import Figure

from curate.manifest.paper_statistics import PUBLISHED
from curate.manifest.statistics import Statistics
from curate.stages.report.figures import LINES, RULE, SOFT, svg

__all__ = ["published_beside", "radar_figure"]

_ASPECTS = (
    ("number", "images"),
    ("pixels", "pixels"),
    ("bpp", "bits per pixel"),
    ("hf_ratio_032", "texture"),
    ("diversity", "diversity"),
)
"""Attribute of the statistics, and name of its axis."""
_OF_PNG = frozenset({"DIV2K", "Flickr2K", "WED", "HQ-50K"})
"""Datasets whose published bits per pixel are of lossless files, not of files as served."""
_SIZE = 300


def published_beside() -> dict[str, Statistics]:
    """Return published statistics to draw beside a run's, without bits per pixel of PNG files."""
    found = {}
    for name in ("HQ-50K", "DIV2K", "Laion-HR"):
        known = PUBLISHED[name]
        found[name] = replace(known, bpp=None) if name in _OF_PNG else known
    return found


def radar_figure(datasets: Mapping[str, Statistics]) -> Markup:
    """Draw a line a dataset over the five aspects, each as a share of the largest shown.

    The number of images is on a logarithmic axis. A line has a gap where a value is unknown.
    """
    largest = {}
    for key, _ in _ASPECTS:
        values = [_value(of, key) or 0 for of in datasets.values()]
        largest[key] = max(values, default=0) or 1

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        for share in (0.25, 0.5, 0.75, 1.0):
            ring = [_point(corner, share) for corner in range(6)]
            axes.plot(*zip(*ring, strict=True), color=RULE, linewidth=0.8)
        for corner, (_, label) in enumerate(_ASPECTS):
            x, y = _point(corner, 1.0)
            axes.plot([0, x], [0, y], color=RULE, linewidth=0.8)
            side = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
            # labels at the sides stand above the corner, where the figure is as wide as it gets
            level = "bottom" if y > -0.1 else "top"
            axes.text(min(1.3, max(-1.3, 1.06 * x)), 1.06 * y, label, ha=side, va=level, color=SOFT)
        for number, of in enumerate(datasets.values()):
            colour, dashes = LINES[number % len(LINES)]
            shares = [_share(of, key, largest[key]) for key, _ in _ASPECTS]
            points = [_point(corner, share) for corner, share in enumerate([*shares, shares[0]])]
            across, up = zip(*points, strict=True)
            axes.plot(across, up, dashes, color=colour, linewidth=1.8, marker="o", markersize=3.5)
            if not number and None not in shares:
                axes.fill(across, up, color=colour, alpha=0.18, linewidth=0)
        axes.set_xlim(-1.5, 1.5)
        axes.set_ylim(-1.2, 1.3)
        axes.set_aspect("equal")
        axes.set_axis_off()

    names = ", ".join(datasets)
    return svg((_SIZE, _SIZE), draw, "radar", f"Five aspects of {names}; the numbers are below")


def _value(of: Statistics, key: str) -> float | None:
    value = getattr(of, key)
    if key == "number" and value is not None:
        return log10(max(1, value))
    return None if value is None else float(value)


def _share(of: Statistics, key: str, largest: float) -> float | None:
    value = _value(of, key)
    return None if value is None else value / largest


def _point(corner: int, share: float | None) -> tuple[float, float]:
    """Return the place of a share on the axis of a corner; the first axis points up."""
    if share is None:
        return float("nan"), float("nan")
    angle = pi / 2 - 2 * pi * corner / len(_ASPECTS)
    return share * cos(angle), share * sin(angle)
