"""Which experts a model's routers pick for which degradation: Figure 10 of the HQ-50K paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

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

__all__ = ["Routes", "save_routes"]

Shares = NDArray[np.float64]

_ROOM, _ROW = 1.15, 0.34
"""Inches that a model's panels need beside their rows, and for each row."""


class Routes:
    """What a model's routers picked, layer by layer: DAMoE's soft mixtures for patches, MoCE-IR's for pictures.

    Shares are means over pictures, each counting the same whatever its size.

    Raises:
        RestoreError: if nothing is routed in the model.
    """

    def __init__(self, name: str, model: nn.Module) -> None:
        self._now: dict[str, Shares] = {}
        self._sums: dict[tuple[str, str], dict[str, Shares]] = {}
        self._pictures: dict[tuple[str, str], int] = {}
        layers = register_routing_hooks(model, self._hear)
        if not layers:
            raise RestoreError(
                f"nothing is routed in {name}: routing is of DAMoE with soft mixtures, and of MoCE-IR"
            )
        soft = [int(layer.removeprefix("block ")) for layer in layers if layer.startswith("block ")]
        half = sum(isinstance(module, SwinBlock) for module in model.modules()) // 2
        self.shown = f"block {min(soft, key=lambda i: abs(i - half))}" if soft else None
        """The layer that the paper's figure shows, the 18th block of 36; None for all."""

    @contextmanager
    def counting(self, degradation: str, task: str) -> Iterator[None]:
        """What is picked within the block is picked for one picture with this degradation."""
        self._now.clear()
        yield
        key = (degradation, task)
        sums = self._sums.setdefault(key, {})
        for layer, counts in self._now.items():
            sums[layer] = sums.get(layer, 0) + counts / counts.sum()
        self._pictures[key] = self._pictures.get(key, 0) + 1

    def shares(self) -> dict[str, dict[str, Shares]]:
        """Degradation -> layer -> share of each expert; degradations by task, in the order of `TASKS`."""
        order = sorted(self._sums, key=lambda key: TASKS.index(key[1]))
        return {
            key[0]: {layer: total / self._pictures[key] for layer, total in self._sums[key].items()}
            for key in order
        }

    def tasks(self) -> dict[str, str]:
        """Degradation -> what undoing it is."""
        return dict(list(self._sums))

    def _hear(self, layer: str, experts: int, expert_N: Tensor) -> None:
        counts = np.bincount(expert_N.cpu().numpy(), minlength=experts).astype(np.float64)
        self._now[layer] = self._now.get(layer, 0) + counts


def save_routes(routes: Mapping[str, Routes], path: str | Path) -> list[str]:
    """Write the heat map as a PNG, and all layers' numbers as a CSV beside it; returns both places.

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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "layer", "task", "degradation", "expert", "share"))
    for model, found in routes.items():
        tasks = found.tasks()
        for degradation, layers in found.shares().items():
            for layer, shares in layers.items():
                for expert, share in enumerate(shares):
                    writer.writerow(
                        (model, layer, tasks[degradation], degradation, expert, f"{share:.6f}")
                    )
    return text.getvalue()


def _draw(routes: Mapping[str, Routes]) -> bytes:
    """A row of panels for each model."""
    heights = [_ROOM + _ROW * len(found.shares()) for found in routes.values()]
    figure = Figure(figsize=(12, sum(heights)), dpi=110)
    parts = figure.subfigures(len(routes), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (model, found) in zip(parts, routes.items(), strict=True):
        shares = found.shares()
        layers = [found.shown] if found.shown else list(next(iter(shares.values())))
        part.suptitle(model, fontsize=11, parse_math=False)
        height = _ROOM + _ROW * len(shares)  # margins in inches, whatever the number of rows
        part.subplots_adjust(
            left=0.11, right=0.99, top=1 - 0.6 / height, bottom=0.5 / height, wspace=0.08
        )
        panels = part.subplots(1, len(layers), sharey=True, squeeze=False)[0]
        for axes, layer in zip(panels, layers, strict=True):
            _panel(axes, np.array([of_layer[layer] for of_layer in shares.values()]))
            axes.set_title(layer, fontsize=9)
        _name_rows(panels[0], shares, found.tasks())
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def _panel(axes: Axes, shares_DE: Shares) -> None:
    axes.imshow(shares_DE, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, expert in np.argwhere(shares_DE >= 0.005):
        share = shares_DE[row, expert]
        colour = "white" if share > 0.55 else "black"
        axes.text(
            expert, row, f"{share:.0%}"[:-1], ha="center", va="center", color=colour, fontsize=7
        )
    axes.set_xticks(
        range(shares_DE.shape[1]), [str(i) for i in range(shares_DE.shape[1])], fontsize=8
    )
    axes.set_xlabel("expert, % of picks", fontsize=8)
    axes.tick_params(length=0)


def _name_rows(axes: Axes, shares: Mapping[str, Any], tasks: Mapping[str, str]) -> None:
    """Degradations, with a line between tasks."""
    names = list(shares)
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    for i, (above, below) in enumerate(pairwise(names)):
        if tasks[above] != tasks[below]:
            for panel in axes.figure.axes:
                panel.axhline(i + 0.5, color="white", linewidth=2.5)
