"""Catalogue of the models: size, work, memory, input and publication of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from curate.restore.models import DAMoE, MoCEIR, SwinIR, build_model, count_parameters
from curate.restore.models.cost import forward_cost, named_parts
from curate.restore.models.paper_flops import published_flops

__all__ = ["ModelEntry", "Part", "describe_model"]


@dataclass(frozen=True)
class Part:
    """One module of a network."""

    parameters: int
    macs: tuple[int, int]
    """Multiply-accumulates of the cheapest and the dearest route; equal without such routes."""


@dataclass(frozen=True)
class ModelEntry:
    """A network as `MODELS` builds it, and the cost of a forward pass of one image."""

    name: str
    parameters: int
    """Parameters as the network's paper counts them."""
    trained: int
    """Parameters that training changes by their gradient."""
    height: int
    """Height of the image in pixels."""
    width: int
    macs: tuple[int, int]
    """As in `Part`, by PyTorch's counter: convolutions, linear layers, products of matrices."""
    published: Mapping[str, tuple[int, int]]
    """Multiply-accumulates as the network's own paper counts them, by the name of the count."""
    activations: int
    """Peak bytes of 32-bit tensors for a whole picture, computed; without weights and workspace."""
    input: str
    """Sizes of pictures that the network accepts, and what else it needs."""
    source: str
    parts: Mapping[str, Part]
    """Modules in the order in which they run, by name."""


def describe_model(name: str, height: int = 720, width: int = 1280, **settings: Any) -> ModelEntry:
    """Describe a model without computing anything: a second, whatever its size and the image's.

    Args:
        name: one of `MODELS`.
        height: of the image in pixels.
        width: as height.
        settings: see `build_model`.

    Raises:
        RestoreError: see `build_model`.
    """
    with torch.device("meta"):  # weights without values
        model = build_model(name, **settings)
    # forward kwargs of the cheapest and of the dearest route
    routes: list[dict[str, Any]] = [{}]
    if isinstance(model, MoCEIR):
        routes = [{"route": 0}, {"route": model.num_experts - 1}]
    elif isinstance(model, DAMoE):
        routes = [{"task": 0}]
    costs = [forward_cost(model, height, width, **forward_kwargs) for forward_kwargs in routes]
    low, high = costs[0], costs[-1]
    parts: dict[str, Part] = {}
    for part, module in named_parts(model):
        parts[part] = Part(count_parameters(module), (low.macs[part], high.macs[part]))
    padding = f", mirrored to a multiple of {model.multiple}" if model.multiple != 1 else ""
    return ModelEntry(
        name=name,
        parameters=count_parameters(model),
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        height=height,
        width=width,
        macs=(low.total_macs, high.total_macs),
        published=_published_macs(model, height, width),
        activations=max(low.activations, high.activations),
        input=f"any size{padding}{'; told the task' if isinstance(model, DAMoE) else ''}",
        source=str(model.source),
        parts=parts,
    )


def _published_macs(model: nn.Module, height: int, width: int) -> dict[str, tuple[int, int]]:
    """Return the count of the model's paper where it differs from PyTorch's."""
    if isinstance(model, MoCEIR):
        low, high = (model.macs(height, width, expert) for expert in (0, model.num_experts - 1))
        return {"ptflops, as MOE-IR_30G's document": (low, high)}
    if isinstance(model, SwinIR) and 84 % model.window == 0:
        flops = published_flops(model)
        return {"table 10 of the HQ-50K paper, at 84x84": (flops, flops)}
    return {}
