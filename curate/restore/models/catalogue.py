"""What is known of each model: size, work, memory, what it takes in, where it was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from curate.restore.models import (
    AirNet,
    DAMoE,
    MoCEIR,
    Restormer,
    SwinIR,
    build_model,
    count_parameters,
)
from curate.restore.models.cost import forward_cost, parts
from curate.restore.models.paper_flops import published_flops

__all__ = ["ModelEntry", "Part", "describe_model"]

_SOURCES: dict[type[nn.Module], str] = {
    AirNet: "Li et al. 2022, CVPR, All-In-One Image Restoration for Unknown Corruption",
    MoCEIR: "Zamfir et al. 2024, arXiv 2411.18466",
    SwinIR: "Liang et al. 2021, arXiv 2108.10257",
    DAMoE: "Yang et al. 2023, arXiv 2306.05390",
    Restormer: "Zamir et al. 2022, arXiv 2111.09881",
}


@dataclass(frozen=True)
class Part:
    """One module of a network."""

    parameters: int
    macs: tuple[int, int]
    """Multiply-accumulates of the cheapest and the dearest route; equal where nothing is routed by cost."""


@dataclass(frozen=True)
class ModelEntry:
    """A network as `MODELS` builds it, and what a forward pass of one image takes."""

    name: str
    parameters: int
    """As its paper counts them."""
    trained: int
    """Those that training changes by their gradient."""
    height: int
    """Of the image, in pixels."""
    width: int
    macs: tuple[int, int]
    """See `Part`; by PyTorch's counter, halved: convolutions, linear layers and products of matrices alone."""
    published: Mapping[str, tuple[int, int]]
    """The same by the counting of the network's own paper, under its name."""
    activations: int
    """Bytes of 32-bit tensors that are there at once, at most, for a picture that is taken whole: computed, without the
    weights and kernels' workspace."""
    input: str
    """What it takes in."""
    source: str
    parts: Mapping[str, Part]
    """Module by module, as it runs."""


def describe_model(name: str, height: int = 720, width: int = 1280, **settings: Any) -> ModelEntry:
    """Look at a model without computing anything: a second, whatever its size and the image's.

    Args:
        name: one of `MODELS`.
        height: of the image in pixels.
        width: as height.
        settings: see `build_model`.

    Raises:
        RestoreError: see `build_model`.
    """
    with torch.device("meta"):
        model = build_model(name, **settings)
    told: list[dict[str, Any]] = [{}]
    if isinstance(model, MoCEIR):
        told = [{"route": 0}, {"route": model.num_experts - 1}]
    elif isinstance(model, DAMoE):
        told = [{"task": 0}]
    costs = [forward_cost(model, height, width, **each) for each in told]
    low, high = costs[0], costs[-1]
    size = (
        f"any size, mirrored to a multiple of {model.multiple}"
        if model.multiple != 1
        else "any size"
    )
    return ModelEntry(
        name=name,
        parameters=count_parameters(model),
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        height=height,
        width=width,
        macs=(low.total_macs, high.total_macs),
        published=_published(model, height, width),
        activations=max(cost.activations for cost in costs),
        input=f"{size}; told the task" if "task" in told[0] else size,
        source=_SOURCES[type(model)],
        parts={
            part: Part(count_parameters(module), (low.macs[part], high.macs[part]))
            for part, module in parts(model)
        },
    )


def _published(model: nn.Module, height: int, width: int) -> dict[str, tuple[int, int]]:
    """By the counting of the model's paper, where that isn't PyTorch's."""
    if isinstance(model, MoCEIR):
        count = "ptflops, as MOE-IR_30G's document"
        return {
            count: (model.macs(height, width, 0), model.macs(height, width, model.num_experts - 1))
        }
    if isinstance(model, SwinIR) and 84 % model.window == 0:
        flops = published_flops(model)
        return {"table 10 of the HQ-50K paper, at 84x84": (flops, flops)}
    return {}
