"""Share of each expert that a model's routers pick per degradation: Figure 10 of the paper."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS
from curate.restore.models.routing_hooks import register_routing_hooks
from curate.restore.models.swinir import SwinBlock
from curate.storage import atomic
from curate.storage.text_table import to_csv

__all__ = ["Routes", "save_routes"]

Shares = NDArray[np.float64]

_COLUMNS = ("model", "layer", "task", "degradation", "expert", "share")
_MARGIN, _ROW = 1.15, 0.34
"""Inches that a model's panels need besides their rows, and for each row."""


class Routes:
    """Counter of the experts that a model's routers pick, layer by layer.

    DAMoE's soft mixtures pick for patches, MoCE-IR's for pictures. Shares are means over pictures,
    and each picture counts the same whatever its size.

    Args:
        name: the model's name, for the error.
        model: the network; hooks are registered on it.

    Raises:
        RestoreError: if nothing is routed in the model.
    """

    def __init__(self, name: str, model: nn.Module) -> None:
        self._counts: dict[str, Shares] = {}  # layer -> picks for the current picture
        # (degradation, task) -> layer -> shares for each picture
        self._shares: dict[tuple[str, str], dict[str, list[Shares]]] = {}
        layers = register_routing_hooks(model, self._count)
        if not layers:
            raise RestoreError(
                f"nothing is routed in {name}: routing is of DAMoE with soft mixtures, "
                "and of MoCE-IR"
            )
        # the figure shows the routed block that is nearest to the middle of the network
        soft = [int(layer.removeprefix("block ")) for layer in layers if layer.startswith("block ")]
        half = sum(isinstance(module, SwinBlock) for module in model.modules()) // 2
        self.shown = f"block {min(soft, key=lambda i: abs(i - half))}" if soft else None
        """Layer that the figure shows, in the paper the 18th block of 36; None for all layers."""

    @contextmanager
    def counting(self, degradation: str, task: str) -> Iterator[None]:
        """Count the block's picks as those for one picture with this degradation."""
        self._counts.clear()
        yield
        layers = self._shares.setdefault((degradation, task), {})
        for layer, counts in self._counts.items():
            layers.setdefault(layer, []).append(counts / counts.sum())

    def rows(self) -> Iterator[tuple[str, str, str, Shares]]:
        """Yield task, degradation, layer and the share of each expert, in the order of `TASKS`."""
        for degradation, task in sorted(self._shares, key=lambda key: TASKS.index(key[1])):
            for layer, shares_pe in self._shares[degradation, task].items():
                yield task, degradation, layer, np.mean(shares_pe, axis=0)

    def shares(self) -> dict[str, dict[str, Shares]]:
        """Return degradation -> layer -> share of each expert."""
        shares: dict[str, dict[str, Shares]] = {}
        for _, degradation, layer, shares_e in self.rows():
            shares.setdefault(degradation, {})[layer] = shares_e
        return shares

    def tasks(self) -> dict[str, str]:
        """Return degradation -> task that undoes it."""
        return dict(self._shares.keys())

    def _count(self, layer: str, experts: int, expert_N: Tensor) -> None:
        # a layer may be called several times for one picture, once for each piece
        counts = np.bincount(expert_N.cpu().numpy(), minlength=experts).astype(np.float64)
        self._counts[layer] = self._counts.get(layer, 0) + counts


def save_routes(routes: Mapping[str, Routes], path: str | Path) -> list[str]:
    """Write the heat map as a PNG, and the shares of all layers as a CSV beside it.

    Returns:
        Both paths.

    Raises:
        RestoreError: if the name doesn't end in .png.
    """
    png = Path(path)
    if png.suffix.lower() != ".png":
        raise RestoreError(f"the picture of the routing is a PNG: name it .png, not {png.name}")
    numbers = png.with_suffix(".csv")
    atomic.write(png, _draw(routes))
    atomic.write(numbers, _as_csv(routes).encode())
    return [str(png), str(numbers)]


def _as_csv(routes: Mapping[str, Routes]) -> str:
    rows = []
    for model, found in routes.items():
        for task, degradation, layer, shares_e in found.rows():
            for expert, share in enumerate(shares_e):
                values = (model, layer, task, degradation, expert, f"{share:.6f}")
                rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return to_csv(_COLUMNS, rows)


def _draw(routes: Mapping[str, Routes]) -> bytes:
    """Draw a row of panels for each model, one for each layer, as a PNG."""
    heights = [_MARGIN + _ROW * len(found.shares()) for found in routes.values()]
    figure = Figure(figsize=(12, sum(heights)), dpi=110)
    parts = figure.subfigures(len(routes), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, height, (model, found) in zip(parts, heights, routes.items(), strict=True):
        shares = found.shares()
        layers = [found.shown] if found.shown else list(next(iter(shares.values())))
        part.suptitle(model, fontsize=11, parse_math=False)
        # margins have the same size in inches, whatever the number of rows
        top, bottom = 1 - 0.6 / height, 0.5 / height
        part.subplots_adjust(left=0.11, right=0.99, top=top, bottom=bottom, wspace=0.08)
        panels = part.subplots(1, len(layers), sharey=True, squeeze=False)[0]
        for axes, layer in zip(panels, layers, strict=True):
            _draw_panel(axes, np.array([of_layer[layer] for of_layer in shares.values()]))
            axes.set_title(layer, fontsize=9)
        _name_rows(panels[0], list(shares), found.tasks())
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def _draw_panel(axes: Axes, shares_DE: Shares) -> None:
    """Draw the shares of experts (columns) for degradations (rows), those from 0.5 % as numbers."""
    axes.imshow(shares_DE, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, expert in np.argwhere(shares_DE >= 0.005):
        share = shares_DE[row, expert]
        colour = "white" if share > 0.55 else "black"
        text = axes.text(expert, row, f"{100 * share:.0f}", color=colour, fontsize=7)
        text.set(ha="center", va="center")
    experts = range(shares_DE.shape[1])
    axes.set_xticks(experts, list(map(str, experts)), fontsize=8)
    axes.set_xlabel("expert, % of picks", fontsize=8)
    axes.tick_params(length=0)


def _name_rows(axes: Axes, names: list[str], tasks: Mapping[str, str]) -> None:
    """Write the degradations to the left, and draw a line between tasks."""
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    for i, (above, below) in enumerate(pairwise(names)):
        if tasks[above] != tasks[below]:
            for panel in axes.figure.axes:
                panel.axhline(i + 0.5, color="white", linewidth=2.5)
