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
from markupsafe import Markup, escape
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

__all__ = [
    "LINES",
    "NARROW",
    "WIDE",
    "CategoryBar",
    "category_figure",
    "density_figure",
    "frequency_figure",
    "overlay_figure",
    "size_figure",
    "svg",
]

Counts = NDArray[np.int64]
Edges = NDArray[np.float64]

# placeholders that become the page's CSS variables, so that figures follow its light or dark theme
_COLOURS = {
    "ink": "#010101", "soft": "#020202", "rule": "#030303",
    "measured": "#040404", "kept": "#050505", "test": "#060606",
}  # fmt: skip
INK, SOFT, RULE, MEASURED, KEPT, TEST = _COLOURS.values()

LINES = ((KEPT, "-"), (INK, "--"), (MEASURED, "-"), (TEST, "-"), (SOFT, "-"), (SOFT, ":"))
"""Colour and dashes of lines that stand for datasets."""
WIDE, NARROW = 960, 360
"""Units of a figure's width: pixels of the page at its full width, and on a telephone."""
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
    counts: dict[str, Counts],
    mean: float,
    std: float,
    minimum: float | None,
    target: bool,
    page: int = WIDE,
) -> Markup:
    """Draw the distribution of the high-frequency ratio, as in the paper's Figure 3.

    Shares of measured and of kept images.

    Args:
        counts: images over RATIO_EDGES that part at `minimum`, "measured" and "kept".
        mean: of the target, in log10 of the ratio.
        std: of the target.
        minimum: smallest ratio that the filters let pass.
        target: whether to draw the target.
        page: WIDE or NARROW.
    """
    bound = float(np.log10(minimum)) if minimum is not None and minimum > 0 else None
    edges, shares = _coarse(counts, RATIO_EDGES, minimum)
    width = edges[-1] - edges[-2]

    def draw(figure: Figure) -> None:
        axes = _axes(figure)
        _shares(axes, edges, shares)
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
            text = f" filter: {100 * (minimum or 0):g} %"
            axes.text(bound, 0.99, text, transform=place, va="top", color=SOFT)
        _frame_ratios(axes, edges)

    title = "Distribution of the high-frequency ratio of measured and kept images"
    return svg((page, 360 if page == WIDE else 280), draw, "frequency", title)


def density_figure(counts: dict[str, Counts], bounds: Bounds, page: int = WIDE) -> Markup:
    """Draw the distributions of pixels and of bits per pixel, of measured and of kept images.

    Args:
        counts: see `size_figure`.
        bounds: of the recipe.
        page: WIDE or NARROW.
    """
    panels = (
        ("pixels", 1, PIXEL_EDGES, bounds.pixels, _short),
        ("bits per pixel", 0, BPP_EDGES, bounds.bpp, lambda value: f"{value:g}"),
    )

    def draw(figure: Figure) -> None:
        for place, (label, other, base, bound, name) in enumerate(panels):
            axes = _axes(figure, place, 2)
            sums = {group: table.sum(axis=other) for group, table in counts.items()}
            edges, shares = _coarse(sums, base, bound)
            _shares(axes, edges, shares)
            if bound:
                axes.axvline(log10(bound), color=SOFT, linewidth=1, linestyle=":")
            axes.set_xlim(edges[0], edges[-1])
            axes.set_ylim(0)
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_xlabel(f"{label}, logarithmic")
            axes.set_ylabel("% of images per bin")
            _log_ticks(axes, "x", name)

    title = "Distributions of pixels and of bits per pixel, of measured and of kept images"
    return svg((page, 280 if page == WIDE else 520), draw, "density", title)


def overlay_figure(kept: dict[str, Counts], page: int = WIDE) -> Markup:
    """Draw the distribution of the high-frequency ratio of several runs' kept images.

    Args:
        kept: images over RATIO_EDGES, by run.
        page: WIDE or NARROW.
    """
    together = np.asarray(sum(kept.values()))
    own = {"measured": together, "kept": together} | kept
    edges, shares = _coarse(own, RATIO_EDGES, None)

    def draw(figure: Figure) -> None:
        axes = _axes(figure)
        for number, name in enumerate(kept):
            colour, dashes = LINES[number % len(LINES)]
            axes.stairs(shares[name], edges, color=colour, linestyle=dashes, linewidth=1.6)
        _frame_ratios(axes, edges)

    title = f"Distribution of the high-frequency ratio of the kept images of {', '.join(kept)}"
    return svg((page, 360 if page == WIDE else 280), draw, "overlay", title)


def category_figure(bars: Sequence[CategoryBar], page: int = WIDE) -> Markup:
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
    # so may the share asked for: then its mark is left out
    largest = max(bar.pool for bar in bars)
    wanted = [bar.wanted for bar in bars if bar.wanted <= 2 * largest]
    most_taken = max(*(bar.train + bar.test for bar in bars), *wanted, 0)
    limit = max(1.0, min(largest, 4 * most_taken), most_taken)

    def draw(figure: Figure) -> None:
        left, right = 163 if page == WIDE else 122, 68 if page == WIDE else 52
        axes = figure.add_axes((left / page, 0.0, 1 - (left + right) / page, 1.0))
        y = np.array(places)
        axes.barh(y, [min(bar.pool, limit) for bar in ordered], 0.62, color=MEASURED, alpha=0.28)
        train, test = np.array([(bar.train, bar.test) for bar in ordered]).T
        axes.barh(y, train, 0.3, color=KEPT)
        axes.barh(y, test, 0.3, left=train, color=TEST)
        for place, bar in zip(y, ordered, strict=True):
            mark = [bar.wanted] * 2, [place - 0.4, place + 0.4]
            if bar.wanted <= limit:
                axes.plot(*mark, color=INK, linewidth=1.5, solid_capstyle="butt")
            axes.text(-limit * 0.012, place, bar.name, ha="right", va="center")
            end = f"{'→ ' if bar.pool > limit else ''}{bar.pool:,}"
            reach = max(min(bar.pool, limit), bar.train + bar.test)
            reach = max(reach, bar.wanted) if bar.wanted <= limit else reach
            axes.text(reach + limit * 0.012, place, end, va="center", color=SOFT, fontsize=11)
        style: dict[str, Any] = {"ha": "right", "va": "center", "color": SOFT, "style": "italic"}
        for place, broad in heads:
            axes.text(-limit * 0.012, place, broad, **style)
        axes.set_xlim(0, limit)
        axes.set_ylim(row - 0.9, -0.5)
        axes.set_axis_off()

    title = "Images of each sub-category: in the pool, taken for training and for test"
    return svg((page, round(22 * (row + 0.5))), draw, "category", title)


def size_figure(
    counts: dict[str, Counts], bounds: Bounds, nbytes: float | None, page: int = WIDE
) -> Markup:
    """Draw pixels against bits per pixel of measured and of kept images, both logarithmic.

    Args:
        counts: images over PIXEL_EDGES and BPP_EDGES, parted at the bounds, "measured" and "kept".
        bounds: of the recipe.
        nbytes: its bound on the size of files.
        page: WIDE or NARROW.
    """
    edges = part_at(PIXEL_EDGES, bounds.pixels), part_at(BPP_EDGES, bounds.bpp)
    left, right = PIXEL_EDGES[[*_extent(counts["measured"].sum(axis=1), margin=4)]]
    bottom, top = BPP_EDGES[[*_extent(counts["measured"].sum(axis=0), margin=4)]]
    dotted: dict[str, Any] = {"color": SOFT, "linewidth": 1, "linestyle": ":"}

    def draw(figure: Figure) -> None:
        for place, (group, colour) in enumerate((("measured", MEASURED), ("kept", KEPT))):
            axes = _axes(figure, place, 2)
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
            axes.set_title(title, loc="left", fontsize=12)
            axes.set_xlabel("pixels")
            axes.set_ylabel("bits per pixel")
            _log_ticks(axes, "x", _short)
            _log_ticks(axes, "y", lambda value: f"{value:g}")

    title = "Pixels against bits per pixel, of measured and of kept images"
    return svg((page, 420 if page == WIDE else 680), draw, "size", title)


def _axes(figure: Figure, place: int = 0, panels: int = 1) -> Axes:
    """Add the axes of a panel: side by side where the page is wide, else one below the other."""
    width, height = figure.get_size_inches() * 72
    across, down = (panels, 1) if width == WIDE else (1, panels)
    left, right, bottom, top = 52, 14, 48, 28 if panels > 1 else 14
    wide, high = width / across, height / down
    column, row = (place, 0) if across > 1 else (0, panels - 1 - place)
    x, y = column * wide + left, row * high + bottom
    size = wide - left - right, high - bottom - top
    return figure.add_axes((x / width, y / height, size[0] / width, size[1] / height))


def _coarse(
    counts: dict[str, Counts], base: Edges, minimum: float | None
) -> tuple[Edges, dict[str, NDArray[np.float64]]]:
    """Merge counted bins, and return the edges and the % of images in each bin.

    The more images, the finer. One edge is at the bound, so that no bin has both its sides.

    Args:
        counts: over `base` parted at `minimum`, "measured" and "kept".
        base: even edges of log10 values.
        minimum: bound, as a value.
    """
    bound = float(np.log10(minimum)) if minimum is not None and minimum > 0 else None
    counted = part_at(base, minimum)
    at_bound = 0 if bound is None else int(np.searchsorted(counted, bound))
    first, last = _extent(counts["measured"], margin=5)
    bins = int(np.clip(4 * np.cbrt(counts["kept"].sum() or counts["measured"].sum()), 24, 64))
    merge = -(-(last - first) // bins)
    if bound is not None:
        first -= (first - at_bound) % merge
    last = first + merge * -(-(last - first) // merge)
    edges = base[0] + (base[1] - base[0]) * np.arange(first, last + 1, merge)
    if bound is not None and first <= at_bound <= min(last, len(counted) - 1):
        edges[(at_bound - first) // merge] = counted[at_bound]
    shares = {}
    for group, own in counts.items():
        within = np.pad(own, merge)[first + merge : last + merge]
        shares[group] = 100 * within.reshape(-1, merge).sum(axis=1) / max(1, within.sum())
    return edges, shares


def _shares(axes: Axes, edges: Edges, shares: dict[str, NDArray[np.float64]]) -> None:
    """Draw shares of measured and of kept images as filled outlines."""
    for group, colour, opacity in (("measured", MEASURED, 0.3), ("kept", KEPT, 0.4)):
        axes.stairs(shares[group], edges, color=colour, fill=True, alpha=opacity, linewidth=0)
        axes.stairs(shares[group], edges, color=colour, linewidth=1.5)


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


def _frame_ratios(axes: Axes, edges: Edges) -> None:
    """Label the axes of a distribution of the high-frequency ratio."""
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("high-frequency ratio, logarithmic")
    axes.set_ylabel("% of images per bin")
    _log_ticks(axes, "x", lambda value: f"{100 * value:g} %")


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


def svg(size: tuple[int, int], draw: Callable[[Figure], None], name: str, title: str) -> Markup:
    """Draw a figure as a part of a page: no ids that clash, no dates, the page's colours."""
    width, height = size
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": f"{name}-{width}"}):
        figure = Figure(figsize=(width / 72, height / 72))
        draw(figure)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata=metadata)
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    label = f'role="img" aria-label="{escape(title)}"'
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', label, text, count=1)
    for variable, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return Markup(text)
