"""The page's figures, as SVG that takes its fonts and colours from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

from curate.stages.report.ledger_counts import BPP_EDGES, PIXEL_EDGES, RATIO_EDGES

__all__ = ["CategoryBar", "Thresholds", "category_figure", "frequency_figure", "size_figure"]

Counts = NDArray[np.int64]

# Stand-ins that become the page's CSS variables, so that figures follow its light or dark dress
_COLOURS = {
    "ink": "#010101",
    "soft": "#020202",
    "rule": "#030303",
    "measured": "#040404",
    "kept": "#050505",
}
_COLOURS |= {"test": "#060606"}
INK, SOFT, RULE, MEASURED, KEPT, TEST = _COLOURS.values()

_WIDTH = 960
"""Units of a figure's width: pixels of the page at its full measure."""
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


@dataclass(frozen=True)
class Thresholds:
    """The recipe's bounds that can be drawn over size and compression; None where there is none."""

    pixels: float | None
    nbytes: float | None
    bpp: float | None


def frequency_figure(
    counts: dict[str, Counts], mean: float, std: float, minimum: float | None, target: bool
) -> Markup:
    """Distribution of the high-frequency ratio, as in the paper's Figure 3: shares of measured and of kept images.

    Args:
        counts: images over RATIO_EDGES, "measured" and "kept".
        mean: of the target, in log10 of the ratio.
        std: of the target.
        minimum: smallest ratio that the filters let pass.
        target: whether to draw the target.
    """
    if minimum is not None and minimum <= 0:  # which parts nothing
        minimum = None
    first, last = _extent(counts["measured"], margin=5)
    # the more images the finer, as bins merged from those counted
    bins = int(np.clip(4 * np.cbrt(counts["kept"].sum() or counts["measured"].sum()), 24, 64))
    merge = -(-(last - first) // bins)
    if minimum is not None:  # one edge at the bound, so that no bin mixes what the filter parts
        first -= (first - int(np.searchsorted(RATIO_EDGES, log10(minimum) - 1e-9))) % merge
    last = first + merge * -(-(last - first) // merge)
    edges = RATIO_EDGES[0] + (RATIO_EDGES[1] - RATIO_EDGES[0]) * np.arange(first, last + 1, merge)
    width = edges[1] - edges[0]

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.06, 0.14, 0.92, 0.82))
        for group, colour, opacity in (("measured", MEASURED, 0.3), ("kept", KEPT, 0.4)):
            within = np.pad(counts[group], merge)[first + merge : last + merge]
            share = 100 * within.reshape(-1, merge).sum(axis=1) / max(1, within.sum())
            axes.stairs(share, edges, color=colour, fill=True, alpha=opacity, linewidth=0)
            axes.stairs(share, edges, color=colour, linewidth=1.5)
        if target:
            start = edges[0] if minimum is None else max(edges[0], log10(minimum))
            x = np.linspace(start, edges[-1], 200)
            mass = 1 - (0 if minimum is None else NormalDist(mean, std).cdf(log10(minimum)))
            density = np.exp(-(((x - mean) / std) ** 2) / 2) / (std * sqrt(2 * pi))
            axes.plot(
                x, 100 * width * density / max(mass, 1e-9), color=INK, linewidth=1.4, dashes=(5, 3)
            )
        if minimum is not None and edges[0] <= log10(minimum) <= edges[-1]:
            axes.axvline(log10(minimum), color=SOFT, linewidth=1, linestyle=":")
            place = axes.get_xaxis_transform()  # across by data, up by the axes' height
            axes.text(
                log10(minimum) + 0.02,
                0.99,
                f"filter: {100 * minimum:g} %",
                transform=place,
                va="top",
                color=SOFT,
            )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("high-frequency ratio, logarithmic")
        axes.set_ylabel("% of images per bin")
        _log_ticks(axes, "x", lambda value: f"{100 * value:g} %")

    return _svg(
        360,
        draw,
        "frequency",
        "Distribution of the high-frequency ratio of measured and kept images",
    )


def category_figure(bars: Sequence[CategoryBar]) -> Markup:
    """Images of each sub-category, by broad class as in the paper's Figure 7: what there was and what was taken."""
    groups = list(dict.fromkeys(bar.broad for bar in bars))
    row, places, heads = 0.0, [], []
    for broad in groups:
        heads.append((row, broad))
        for _ in (bar for bar in bars if bar.broad == broad):
            row += 1
            places.append(row)
        row += 1.5
    ordered = [bar for broad in groups for bar in bars if bar.broad == broad]
    # a pool may dwarf what is taken from it: then its bars are cut, and their numbers say how long they are
    most_taken = max(max(bar.train + bar.test, bar.wanted) for bar in bars)
    limit = max(1.0, min(max(bar.pool for bar in bars), 4 * most_taken), most_taken)

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.17, 0.0, 0.76, 1.0))
        y = np.array(places)
        axes.barh(y, [min(bar.pool, limit) for bar in ordered], 0.62, color=MEASURED, alpha=0.28)
        train, test = (
            np.array([getattr(bar, split) for bar in ordered]) for split in ("train", "test")
        )
        axes.barh(y, train, 0.3, color=KEPT)
        axes.barh(y, test, 0.3, left=train, color=TEST)
        for place, bar in zip(y, ordered, strict=True):
            axes.plot(
                [bar.wanted] * 2,
                [place - 0.4, place + 0.4],
                color=INK,
                linewidth=1.5,
                solid_capstyle="butt",
            )
            axes.text(-limit * 0.012, place, bar.name, ha="right", va="center")
            end = f"{'→ ' if bar.pool > limit else ''}{bar.pool:,}"
            reach = max(min(bar.pool, limit), bar.train + bar.test, bar.wanted)
            axes.text(reach + limit * 0.012, place, end, va="center", color=SOFT, fontsize=11)
        for place, broad in heads:
            axes.text(
                -limit * 0.012, place, broad, ha="right", va="center", color=SOFT, style="italic"
            )
        axes.set_xlim(0, limit)
        axes.set_ylim(row - 0.9, -0.5)
        axes.set_axis_off()

    height = round(22 * (row + 0.5))
    return _svg(
        height,
        draw,
        "category",
        "Images of each sub-category: in the pool, taken for training and for test",
    )


def size_figure(counts: dict[str, Counts], thresholds: Thresholds) -> Markup:
    """Pixels and bits per pixel, logarithmic, of measured and of kept images, with the recipe's bounds.

    Args:
        counts: images over PIXEL_EDGES and BPP_EDGES, "measured" and "kept".
        thresholds: what the recipe asks for.
    """
    columns = _extent(counts["measured"].sum(axis=1), margin=4)
    rows = _extent(counts["measured"].sum(axis=0), margin=4)
    left, right = PIXEL_EDGES[columns[0]], PIXEL_EDGES[columns[1]]
    bottom, top = BPP_EDGES[rows[0]], BPP_EDGES[rows[1]]

    def draw(figure: Figure) -> None:
        for place, (group, colour) in enumerate((("measured", MEASURED), ("kept", KEPT))):
            axes = figure.add_axes((0.06 + 0.48 * place, 0.12, 0.44, 0.8))
            _cells(axes, counts[group], colour)
            if thresholds.pixels:
                axes.axvline(log10(thresholds.pixels), color=SOFT, linewidth=1, linestyle=":")
            if thresholds.bpp:
                axes.axhline(log10(thresholds.bpp), color=SOFT, linewidth=1, linestyle=":")
            if thresholds.nbytes:  # 8 nbytes / pixels: a falling line
                at = log10(8 * thresholds.nbytes)
                axes.plot(
                    [left, right], [at - left, at - right], color=SOFT, linewidth=1, linestyle=":"
                )
            axes.set_xlim(left, right)
            axes.set_ylim(bottom, top)
            axes.set_title(
                f"{group}: {counts[group].sum():,}", loc="left", fontsize=12, color=colour
            )
            axes.set_xlabel("pixels")
            if not place:
                axes.set_ylabel("bits per pixel")
            _log_ticks(axes, "x", _short)
            _log_ticks(axes, "y", lambda value: f"{value:g}")

    return _svg(420, draw, "size", "Pixels against bits per pixel of measured and of kept images")


def _cells(axes: Axes, counts: Counts, colour: str) -> None:
    """A two-dimensional histogram in eight opacities; one compound path each keeps the page small."""
    level = np.ceil(8 * np.log1p(counts) / np.log1p(max(1, counts.max()))).astype(int)
    for opacity in range(1, 9):
        x, y = np.nonzero(level == opacity)
        boxes = [
            Path.unit_rectangle().transformed(
                Affine2D()
                .scale(PIXEL_EDGES[i + 1] - PIXEL_EDGES[i], BPP_EDGES[j + 1] - BPP_EDGES[j])
                .translate(PIXEL_EDGES[i], BPP_EDGES[j])
            )
            for i, j in zip(x, y, strict=True)
        ]
        if boxes:
            path = Path.make_compound_path(*boxes)
            axes.add_patch(
                PathPatch(path, facecolor=colour, linewidth=0, alpha=0.12 + 0.11 * opacity)
            )


def _extent(counts: Counts, margin: int) -> tuple[int, int]:
    """First and last edge of what isn't empty, with a margin of bins; the whole when all is empty."""
    full = np.flatnonzero(counts)
    if not len(full):
        return 0, len(counts)
    return max(0, int(full[0]) - margin), min(len(counts), int(full[-1]) + 1 + margin)


def _log_ticks(axes: Axes, which: str, name: Callable[[float], str]) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, or powers alone where those would crowd, on an axis of log10 values."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    steps = (1, 2, 5) if high - low < 2.6 else (1, 3) if high - low < 4 else (1,)
    values = [s * 10.0**p for p in range(int(low) - 1, int(high) + 2) for s in steps]
    values = [value for value in values if low <= log10(value) <= high]
    set_ticks = axes.set_xticks if which == "x" else axes.set_yticks
    set_ticks([log10(value) for value in values], [name(value) for value in values])


def _short(value: float) -> str:
    """1.5 million as 1.5 M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _svg(height: int, draw: Callable[[Figure], None], name: str, title: str) -> Markup:
    """Draw a figure and make it part of a page: no ids that clash, no dates, the page's colours."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH / 72, height / 72))
        draw(figure)
        sink = io.StringIO()
        figure.savefig(
            sink,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = sink.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', f'role="img" aria-label="{title}"', svg, count=1
    )
    for variable, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)
