"""Experts of growing cost, one for each image: eqs. (1) to (9) of MoCE-IR's document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models import blocks

__all__ = ["MixtureOfComplexityExperts", "Route", "RoutingState", "balance_loss"]

Route = Literal["auto"] | int | Sequence[int] | Tensor
"""Choice of the experts: "auto" for the routers', or one for all images, or one for each.

Or choices that `MoCEIR.forward_with_choices` returned, (B, decoder blocks)."""


class RoutingState:
    """Choices that a batch has met in the blocks so far, and its budget for the others.

    Args:
        route: choice of the experts.
        budget_B: multiply-accumulates, over those of the cheapest experts, that routers may spend
            on each image.
    """

    def __init__(self, route: Route, budget_B: Tensor | None = None) -> None:
        self.choices: list[Tensor] = []
        """Expert of each image, block by block as they run."""
        self._route = route
        self._left_B = budget_B

    def pick(self, logits_Bn: Tensor, extra_n: Tensor) -> tuple[list[int], Tensor]:
        """Return each image's expert, and the gate's probability of it, (B,).

        A router takes its favourite among the experts that the rest of the budget pays for. The
        cheapest is always affordable. Blocks that run first choose first.

        Args:
            logits_Bn: the router's outputs.
            extra_n: multiply-accumulates of each expert over those of the cheapest.
        """
        if isinstance(self._route, str):
            if self._left_B is not None:
                logits_Bn = logits_Bn.masked_fill(extra_n > self._left_B[:, None], -math.inf)
            expert_B = logits_Bn.argmax(1)
            if self._left_B is not None:
                self._left_B = self._left_B - extra_n[expert_B]
        else:
            route = torch.as_tensor(self._route, device=logits_Bn.device)
            expert_B = route[:, len(self.choices)] if route.ndim == 2 else route
            expert_B = expert_B.expand(len(logits_Bn))
        self.choices.append(expert_B)
        gate_B = logits_Bn.softmax(1).gather(1, expert_B[:, None])[:, 0]
        # one route for all images is never read back from a device or a graph
        if isinstance(self._route, int):
            return [self._route] * len(expert_B), gate_B
        return expert_B.tolist(), gate_B


class MixtureOfComplexityExperts(nn.Module):
    """One expert for each image, picked by mean features and frequencies: eqs. (1) to (4)."""

    complexity_n: Tensor
    extra_n: Tensor

    def __init__(self, dim: int, frequency_dim: int, num_experts: int) -> None:
        super().__init__()
        # both the width and the tile of an expert double from one to the next
        experts = [Expert(dim, dim >> (num_experts - 1 - i), 4 << i) for i in range(num_experts)]
        self.experts = nn.ModuleList(experts)
        self.from_image = nn.Linear(dim, num_experts, bias=False)
        self.from_frequency = nn.Linear(frequency_dim, num_experts, bias=False)
        self.out = nn.Conv2d(dim, dim, 1, bias=False)
        self.macs_per_pixel = [blocks.macs_per_pixel(expert) for expert in experts]
        """Multiply-accumulates a pixel of each expert; see `MoCEIR.macs`."""
        extra_n = torch.tensor(self.macs_per_pixel) - min(self.macs_per_pixel)
        self.register_buffer("extra_n", extra_n, persistent=False)
        sizes_n = torch.tensor([float(blocks.count_parameters(expert)) for expert in experts])
        self.register_buffer("complexity_n", sizes_n / sizes_n.max(), persistent=False)

    def forward(
        self, x_BCHW: Tensor, shared_BCHW: Tensor, frequency_BF: Tensor, routing: RoutingState
    ) -> tuple[Tensor, Tensor]:
        # logits of the experts; noise and balance loss in training
        logits_Bn = self.from_image(x_BCHW.mean((2, 3))) + self.from_frequency(frequency_BF)
        noisy_Bn = logits_Bn = logits_Bn.float()
        loss = logits_Bn.new_zeros(())
        if self.training:
            sigma = 1 / len(self.experts)
            noise_Bn = blocks.share_of_step(partial(_draw_noise, logits_Bn), len(logits_Bn))
            noisy_Bn = logits_Bn + noise_Bn * sigma
            loss = balance_loss(logits_Bn, noisy_Bn, self.complexity_n, sigma)
        # the picked expert of each image, scaled by the gate's probability of it
        height, width = x_BCHW.shape[2:]
        choice, gate_B = routing.pick(noisy_Bn, self.extra_n * height * width)
        gate_B111 = gate_B.to(x_BCHW.dtype)[:, None, None, None]
        y_BCHW = self._run_experts(choice, x_BCHW, shared_BCHW)
        return blocks.map_strips(lambda y: self.out(gate_B111 * y), y_BCHW), loss

    def _run_experts(self, choice: list[int], x_BCHW: Tensor, shared_BCHW: Tensor) -> Tensor:
        """Run each image through its own expert, images with the same one together."""
        if len(set(choice)) == 1:
            return self.experts[choice[0]](x_BCHW, shared_BCHW)
        parts, order = [], []
        for k in sorted(set(choice)):
            members = [i for i, chosen in enumerate(choice) if chosen == k]
            parts.append(self.experts[k](x_BCHW[members], shared_BCHW[members]))
            order += members
        return torch.cat(parts)[torch.tensor(order, device=x_BCHW.device).argsort()]


def _draw_noise(like_Bn: Tensor, count: int) -> Tensor:
    """Return normal noise for so many images."""
    return torch.randn(count, like_Bn.shape[1], dtype=like_Bn.dtype, device=like_Bn.device)


class Expert(nn.Module):
    """Tile mixing in a space of `width` channels, modulated by the shared expert's features."""

    def __init__(self, dim: int, width: int, tile: int) -> None:
        super().__init__()
        self.activations = width
        self.reduce = nn.Conv2d(dim, width, 1, bias=False)
        self.reduce_shared = nn.Conv2d(dim, width, 1, bias=False)
        self.mix = TileMixer(width, tile)
        self.widen = nn.Conv2d(width, dim, 1, bias=False)

    def forward(self, x_BCHW: Tensor, shared_BCHW: Tensor) -> Tensor:
        qkv_BDHW = blocks.map_strips(lambda x: self.mix.project(self.reduce(x)), x_BCHW, halo=3)

        def mix_tiles(x_BChW: Tensor, shared_BChW: Tensor, qkv_BDhW: Tensor) -> Tensor:
            return x_BChW + self.widen(self.mix(qkv_BDhW) * F.silu(self.reduce_shared(shared_BChW)))

        return blocks.map_strips(mix_tiles, x_BCHW, shared_BCHW, qkv_BDHW, multiple=self.mix.tile)


class TileMixer(nn.Module):
    """Circular convolution of queries with keys inside tiles, by FFT; times the values."""

    def __init__(self, dim: int, tile: int) -> None:
        super().__init__()
        self.tile = tile
        self.q = blocks.pointwise_depthwise(dim, dim, 3, False, True)
        self.kv = blocks.pointwise_depthwise(dim, 2 * dim, 7, False, True)
        self.norm = blocks.LayerNorm(dim)
        self.out = nn.Conv2d(dim, dim, 1)

    def project(self, x_BrHW: Tensor) -> Tensor:
        """Return queries, keys and values side by side: (B, 3r, H, W)."""
        return torch.cat([self.q(x_BrHW), self.kv(x_BrHW)], dim=1)

    def forward(self, qkv_BDHW: Tensor) -> Tensor:
        q_BrHW, k_BrHW, v_BrHW = qkv_BDHW.chunk(3, dim=1)
        return self.out(self.norm(self._convolve(q_BrHW, k_BrHW).to(v_BrHW.dtype)) * v_BrHW)

    def _convolve(self, q_BrHW: Tensor, k_BrHW: Tensor) -> Tensor:
        tile, (height, width) = self.tile, q_BrHW.shape[2:]
        # zeros at the right and bottom, as in the authors' code
        pad = (0, -width % tile, 0, -height % tile)

        def spectra(x_BrHW: Tensor) -> Tensor:
            # (B, r, n, t, m, t): n x m tiles, transformed over both t
            rows_BrHmt = F.pad(x_BrHW.float(), pad).unflatten(3, (-1, tile))
            return torch.fft.rfft2(rows_BrHmt.unflatten(2, (-1, tile)), dim=(3, 5))

        product = spectra(q_BrHW) * spectra(k_BrHW)
        tiles_Brntmt = torch.fft.irfft2(product, s=(tile, tile), dim=(3, 5))
        return tiles_Brntmt.flatten(4, 5).flatten(2, 3)[..., :height, :width]


def balance_loss(logits_Bn: Tensor, noisy_Bn: Tensor, complexity_n: Tensor, sigma: float) -> Tensor:
    """Return eq. (9): half the squared variations of the experts' importance and load in a batch.

    Args:
        logits_Bn: router outputs without noise.
        noisy_Bn: the same with the noise that routing used.
        complexity_n: parameters of each expert over those of the largest, b of eq. (8); it gives
            cheap experts more images.
        sigma: standard deviation of the noise.
    """
    importance_n = complexity_n * logits_Bn.softmax(1).sum(0)
    threshold_B1 = noisy_Bn.amax(1, keepdim=True)
    # the probability that another draw of the expert's noise lifts it over the threshold: eq. (6)
    load_n = (0.5 * torch.erfc((threshold_B1 - logits_Bn) / (sigma * math.sqrt(2)))).mean(0)
    return 0.5 * blocks.squared_variation(importance_n) + 0.5 * blocks.squared_variation(load_n)
