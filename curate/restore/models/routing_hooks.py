"""What a model's routers pick, heard as they pick it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from curate.restore.models.complexity_experts import MixtureOfComplexityExperts
from curate.restore.models.damoe import SoftMixture
from curate.restore.models.swinir import Block

__all__ = ["Hear", "listen"]

Hear = Callable[[str, int, Tensor], None]
"""Called with a layer's name, its number of experts, and those it picked, (N,): for each image, or for each patch of
one image after the other."""


def listen(model: nn.Module, hear: Hear) -> list[str]:
    """Has every layer that picks experts tell what it picked; returns their names, in the order in which they run.

    DAMoE's soft mixtures pick for patches, and are called by the number of their block among all, from 1. MoCE-IR's
    pick for images, and are called by the number of their block in the decoder.
    """

    def of_patches(name: str, gate: nn.Module, inputs: Any, logits_Pe: Tensor) -> None:
        hear(name, logits_Pe.shape[1], logits_Pe.argmax(1))

    def of_images(mixture: MixtureOfComplexityExperts, inputs: Any, output: Any) -> None:
        choices = inputs[-1].choices
        hear(f"decoder block {len(choices)}", len(mixture.experts), choices[-1])

    names = []
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    for number, block in enumerate(blocks, 1):
        if isinstance(block.feed_forward, SoftMixture):
            names.append(f"block {number}")
            block.feed_forward.gate.register_forward_hook(partial(of_patches, names[-1]))
    mixtures = [
        module for module in model.modules() if isinstance(module, MixtureOfComplexityExperts)
    ]
    for mixture in mixtures:
        mixture.register_forward_hook(of_images)
    return [*names, *(f"decoder block {number}" for number, _ in enumerate(mixtures, 1))]
