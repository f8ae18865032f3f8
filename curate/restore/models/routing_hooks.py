"""Forward hooks that report the experts a model's routers pick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from curate.restore.models.complexity_experts import MixtureOfComplexityExperts
from curate.restore.models.damoe import SoftMixture
from curate.restore.models.swinir import SwinBlock

__all__ = ["RoutingCallback", "register_routing_hooks"]

RoutingCallback = Callable[[str, int, Tensor], None]
"""Called with a layer's name, its number of experts, and the picked experts, (N,).

N counts images, or patches of one image after the other."""


def register_routing_hooks(model: nn.Module, callback: RoutingCallback) -> list[str]:
    """Report the picks of every layer that routes; return the layers' names, in forward order.

    DAMoE's soft mixtures pick for patches; their names have the number of the block among all,
    from 1. MoCE-IR's mixtures pick for images; their names have the number of the decoder block.
    """

    def report_patches(name: str, gate: nn.Module, inputs: Any, logits_Pe: Tensor) -> None:
        callback(name, logits_Pe.shape[1], logits_Pe.argmax(1))

    def report_images(mixture: MixtureOfComplexityExperts, inputs: Any, output: Any) -> None:
        # counted as blocks run: the decoder's levels are registered the other way round
        choices = inputs[-1].choices
        callback(f"decoder block {len(choices)}", len(mixture.experts), choices[-1])

    names: list[str] = []
    blocks = mixtures = 0
    for module in model.modules():
        if isinstance(module, SwinBlock):
            blocks += 1
            if isinstance(module.feed_forward, SoftMixture):
                names.append(f"block {blocks}")
                module.feed_forward.gate.register_forward_hook(partial(report_patches, names[-1]))
        elif isinstance(module, MixtureOfComplexityExperts):
            mixtures += 1
            names.append(f"decoder block {mixtures}")
            module.register_forward_hook(report_images)
    return names
