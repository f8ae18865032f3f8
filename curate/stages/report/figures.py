"""Figures of the page, as SVG that takes its fonts and colours from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from math import log10, pi, sqrt
from statistics import NormalDist
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from curate.stages.report.ledger_counts import (
    BPP_EDGES,
    PIXEL_EDGES,
    RATIO_EDGES,
    Bounds,
    part_at,
)

__all__ = ["CategoryBar", "category_figure", "frequency_figure", "size_figure"]

Counts = NDArray[np.int64]
Edges = NDArray[np.float64]

# placeholders that become the page's CSS variables, so that figures follow its light or dark theme
_COLOURS = {
    "ink": "#010101", "soft": "#020202", "rule": "#030303",
    "measured": "#040404", "kept": "#050505", "test": "#060606",
}  # fmt: skip
INK, SOFT, RULE, MEASURED, KEPT, TEST = _COLOURS.values()

_WIDTH = 960
"""Units of a figure's width: pixels of the page at its full width."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 12,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class CategoryBar:
    """One line of the category figure."""

    broad: str
    name: str
    pool: int
    train: int
    test: int
    wanted: float
    """Training images that the recipe's weights ask for."""

    @property
    def is_short(self) -> bool:
        """Whether there are fewer than asked for, by more than rounding."""
        return self.train <= self.wanted - 1


def frequency_figure(
    counts: dict[str, Counts], mean: float, std: float, minimum: float | None, target: bool
) -> Markup:
    """Draw the distribution of the high-frequency ratio, as in the paper's Figure 3.

    Shares of measured and of kept images.

    Args:
        counts: images over RATIO_EDGES that part at `minimum`, "measured" and "kept".
        mean: of the target, in log10 of the ratio.
        std: of the target.
        minimum: smallest ratio that the filters let pass.
        target: whether to draw the target.
    """
    bound = float(np.log10(minimum)) if minimum is not None and minimum > 0 else None
    counted = part_at(RATIO_EDGES, minimum)
    at_bound = 0 if bound is None else int(np.searchsorted(counted, bound))
    first, last = _extent(counts["measured"], margin=5)
    # merge the counted bins: the more images, the finer
    bins = int(np.clip(4 * np.cbrt(counts["kept"].sum() or counts["measured"].sum()), 24, 64))
    merge = -(-(last - first) // bins)
    if bound is not None:  # one edge there, so that no bin mixes rejected and passing images
        first -= (first - at_bound) % merge
    last = first + merge * -(-(last - first) // merge)
    width = merge * (RATIO_EDGES[1] - RATIO_EDGES[0])
    edges = RATIO_EDGES[0] + width / merge * np.arange(first, last + 1, merge)
    if bound is not None and first <= at_bound <= min(last, len(counted) - 1):
        edges[(at_bound - first) // merge] = counted[at_bound]

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.06, 0.14, 0.92, 0.82))
        for group, colour, opacity in (("measured", MEASURED, 0.3), ("kept", KEPT, 0.4)):
            within = np.pad(counts[group], merge)[first + merge : last + merge]
            share = 100 * within.reshape(-1, merge).sum(axis=1) / max(1, within.sum())
            axes.stairs(share, edges, color=colour, fill=True, alpha=opacity, linewidth=0)
            axes.stairs(share, edges, color=colour, linewidth=1.5)
        if target:
            # normal density in % per bin, scaled up by the mass that the bound cuts off
            x = np.linspace(edges[0] if bound is None else max(edges[0], bound), edges[-1], 200)
            mass = 1 - (0 if bound is None else NormalDist(mean, std).cdf(bound))
            density = np.exp(-(((x - mean) / std) ** 2) / 2) / (std * sqrt(2 * pi))
            percent = 100 * width * density / max(mass, 1e-9)
            axes.plot(x, percent, color=INK, linewidth=1.4, dashes=(5, 3))
        if bound is not None and edges[0] <= bound <= edges[-1]:
            axes.axvline(bound, color=SOFT, linewidth=1, linestyle=":")
            place = axes.get_xaxis_transform()  # x in data, y in shares of the axes' height
            text = f"filter: {100 * (minimum or 0):g} %"
            axes.text(bound + 0.02, 0.99, text, transform=place, va="top", color=SOFT)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("high-frequency ratio, logarithmic")
        axes.set_ylabel("% of images per bin")
        _log_ticks(axes, "x", lambda value: f"{100 * value:g} %")

    title = "Distribution of the high-frequency ratio of measured and kept images"
    return _svg(360, draw, "frequency", title)


def category_figure(bars: Sequence[CategoryBar]) -> Markup:
    """Draw the pool and the taken images of each sub-category, as in the paper's Figure 7."""
    groups: dict[str, list[CategoryBar]] = {}
    for bar in bars:
        groups.setdefault(bar.broad, []).append(bar)
    # rows: the name of a broad class, its bars, and a gap of half a row
    row, places, heads = 0.0, [], []
    for broad, own in groups.items():
        heads.append((row, broad))
        places += [row + 1 + number for number in range(len(own))]
        row += len(own) + 1.5
    ordered = list(chain.from_iterable(groups.values()))
    # a pool may dwarf the images taken from it: then bars are cut, and numbers give their length
    most_taken = max(max(bar.train + bar.test, bar.wanted) for bar in bars)
    limit = max(1.0, min(max(bar.pool for bar in bars), 4 * most_taken), most_taken)

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.17, 0.0, 0.76, 1.0))
        y = np.array(places)
        axes.barh(y, [min(bar.pool, limit) for bar in ordered], 0.62, color=MEASURED, alpha=0.28)
        train, test = np.array([(bar.train, bar.test) for bar in ordered]).T
        axes.barh(y, train, 0.3, color=KEPT)
        axes.barh(y, test, 0.3, left=train, color=TEST)
        for place, bar in zip(y, ordered, strict=True):
            mark = [bar.wanted] * 2, [place - 0.4, place + 0.4]
            axes.plot(*mark, color=INK, linewidth=1.5, solid_capstyle="butt")
            axes.text(-limit * 0.012, place, bar.name, ha="right", va="center")
            end = f"{'→ ' if bar.pool > limit else ''}{bar.pool:,}"
            reach = max(min(bar.pool, limit), bar.train + bar.test, bar.wanted)
            axes.text(reach + limit * 0.012, place, end, va="center", color=SOFT, fontsize=11)
        style: dict[str, Any] = {"ha": "right", "va": "center", "color": SOFT, "style": "italic"}
        for place, broad in heads:
            axes.text(-limit * 0.012, place, broad, **style)
        axes.set_xlim(0, limit)
        axes.set_ylim(row - 0.9, -0.5)
        axes.set_axis_off()

    title = "Images of each sub-category: in the pool, taken for training and for test"
    return _svg(round(22 * (row + 0.5)), draw, "category", title)


def size_figure(counts: dict[str, Counts], bounds: Bounds, nbytes: float | None) -> Markup:
    """Draw pixels against bits per pixel of measured and of kept images, both logarithmic.

    Args:
        counts: images over PIXEL_EDGES and BPP_EDGES, parted at the bounds, "measured" and "kept".
        bounds: of the recipe.
        nbytes: its bound on the size of files.
    """
    edges = part_at(PIXEL_EDGES, bounds.pixels), part_at(BPP_EDGES, bounds.bpp)
    left, right = PIXEL_EDGES[[*_extent(counts["measured"].sum(axis=1), margin=4)]]
    bottom, top = BPP_EDGES[[*_extent(counts["measured"].sum(axis=0), margin=4)]]
    dotted: dict[str, Any] = {"color": SOFT, "linewidth": 1, "linestyle": ":"}

    def draw(figure: Figure) -> None:
        for place, (group, colour) in enumerate((("measured", MEASURED), ("kept", KEPT))):
            axes = figure.add_axes((0.06 + 0.48 * place, 0.12, 0.44, 0.8))
            _cells(axes, counts[group], edges, colour)
            if bounds.pixels:
                axes.axvline(log10(bounds.pixels), **dotted)
            if bounds.bpp:
                axes.axhline(log10(bounds.bpp), **dotted)
            if nbytes:  # 8 nbytes / pixels: a falling line
                at = log10(8 * nbytes)
                axes.plot([left, right], [at - left, at - right], **dotted)
            axes.set_xlim(left, right)
            axes.set_ylim(bottom, top)
            title = f"{group}: {counts[group].sum():,}"
            axes.set_title(title, loc="left", fontsize=12, color=colour)
            axes.set_xlabel("pixels")
            if not place:
                axes.set_ylabel("bits per pixel")
            _log_ticks(axes, "x", _short)
            _log_ticks(axes, "y", lambda value: f"{value:g}")

    return _svg(420, draw, "size", "Pixels against bits per pixel of measured and of kept images")


def _cells(axes: Axes, counts: Counts, edges: tuple[Edges, Edges], colour: str) -> None:
    """Draw a two-dimensional histogram in eight opacities, a compound path each."""
    (x, y), unit = edges, Path.unit_rectangle()
    width, height = np.diff(x), np.diff(y)
    level = np.ceil(8 * np.log1p(counts) / np.log1p(max(1, counts.max()))).astype(int)
    for opacity in range(1, 9):
        boxes = []
        for i, j in np.argwhere(level == opacity):
            box = Affine2D().scale(width[i], height[j]).translate(x[i], y[j])
            boxes.append(unit.transformed(box))
        if boxes:
            path, alpha = Path.make_compound_path(*boxes), 0.12 + 0.11 * opacity
            axes.add_patch(PathPatch(path, facecolor=colour, linewidth=0, alpha=alpha))


def _extent(counts: Counts, margin: int) -> tuple[int, int]:
    """Return the first and last edge of filled bins, and a margin; all bins when all are empty."""
    full = np.flatnonzero(counts)
    if not len(full):
        return 0, len(counts)
    return max(0, int(full[0]) - margin), min(len(counts), int(full[-1]) + 1 + margin)


def _log_ticks(axes: Axes, which: str, name: Callable[[float], str]) -> None:
    """Set ticks at 1, 2 and 5 times powers of ten on an axis of log10 values.

    At 1 and 3 times powers, or at powers alone, where more would crowd.
    """
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    steps = (1, 2, 5) if high - low < 2.6 else (1, 3) if high - low < 4 else (1,)
    ticks, names = [], []
    for power, step in product(range(int(low) - 1, int(high) + 2), steps):
        value = step * 10.0**power
        if low <= log10(value) <= high:
            ticks.append(log10(value))
            names.append(name(value))
    (axes.set_xticks if which == "x" else axes.set_yticks)(ticks, names)


def _short(value: float) -> str:
    """Format a number with M or k: 1.5 million as 1.5 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _svg(height: int, draw: Callable[[Figure], None], name: str, title: str) -> Markup:
    """Draw a figure as a part of a page: no ids that clash, no dates, the page's colours."""
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH / 72, height / 72))
        draw(figure)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata=metadata)
    svg = sink.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    label = f'role="img" aria-label="{title}"'
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', label, svg, count=1)
    for variable, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)
