"""Experts of growing cost for one image each, and the routing between them: eqs. (1) to (9) of MoCE-IR's document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models.blocks import LayerNorm, by_strips, depthwise, macs_per_pixel

__all__ = ["MixtureOfComplexityExperts", "Route", "Routing", "balance_loss"]

Route = Literal["auto"] | int | Sequence[int] | Tensor
"""Who picks the experts: the routers, or one number for all images, or a number for each; or what
`MoCEIR.forward_with_choices` gave, (B, decoder blocks)."""


class Routing:
    """How the images of a batch go: who picks their experts, what they may still spend, and what was picked.

    Args:
        route: who picks.
        budget_B: multiply-accumulates, over those of the cheapest experts, that the routers may spend on each image.
    """

    def __init__(self, route: Route, budget_B: Tensor | None = None) -> None:
        self.choices: list[Tensor] = []
        """The expert of each image, block by block as they run."""
        self._route = route
        self._left_B = budget_B

    def pick(self, logits_Bn: Tensor, extra_n: Tensor) -> tuple[Tensor, Tensor]:
        """Each image's expert, and the logits with those struck out that it can't afford.

        A router takes its favourite among the experts that what is left pays for. The cheapest always is: blocks that
        run first choose first, and none can leave a later one without.

        Args:
            logits_Bn: the router's.
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
            expert_B = (route[:, len(self.choices)] if route.ndim == 2 else route).expand(
                len(logits_Bn)
            )
        self.choices.append(expert_B)
        return expert_B, logits_Bn

    def numbers(self, expert_B: Tensor) -> list[int]:
        """The picked experts as plain numbers; one route for all is never read back from a device or a graph."""
        return [self._route] * len(expert_B) if isinstance(self._route, int) else expert_B.tolist()


class MixtureOfComplexityExperts(nn.Module):
    """One expert an image, picked from its mean features and its frequency embedding: eqs. (1) to (4)."""

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
        self.macs_per_pixel = [expert.macs_per_pixel for expert in experts]
        """Multiply-accumulates a pixel of each expert; see `MoCEIR.macs`."""
        cheapest = min(self.macs_per_pixel)
        self.register_buffer(
            "extra_n", torch.tensor(self.macs_per_pixel) - cheapest, persistent=False
        )
        sizes_n = torch.tensor(
            [float(sum(p.numel() for p in expert.parameters())) for expert in self.experts]
        )
        self.register_buffer("complexity_n", sizes_n / sizes_n.max(), persistent=False)

    @property
    def router_macs(self) -> int:
        """Multiply-accumulates of the router's linear layers."""
        return self.from_image.weight.numel() + self.from_frequency.weight.numel()

    def forward(
        self, x_BCHW: Tensor, shared_BCHW: Tensor, frequency_BF: Tensor, routing: Routing
    ) -> tuple[Tensor, Tensor]:
        logits_Bn = (
            self.from_image(x_BCHW.mean((2, 3))) + self.from_frequency(frequency_BF)
        ).float()
        noisy_Bn = logits_Bn
        loss = logits_Bn.new_zeros(())
        if self.training:
            sigma = 1 / len(self.experts)
            noisy_Bn = logits_Bn + torch.randn_like(logits_Bn) * sigma
            loss = balance_loss(logits_Bn, noisy_Bn, self.complexity_n, sigma)
        expert_B, noisy_Bn = routing.pick(
            noisy_Bn, self.extra_n * x_BCHW.shape[2] * x_BCHW.shape[3]
        )
        gate_B = noisy_Bn.softmax(1).gather(1, expert_B[:, None])[:, 0].to(x_BCHW.dtype)
        experts_BCHW = self._run_experts(routing.numbers(expert_B), x_BCHW, shared_BCHW)
        return by_strips(lambda x: self.out(gate_B[:, None, None, None] * x), experts_BCHW), loss

    def _run_experts(self, choice: list[int], x_BCHW: Tensor, shared_BCHW: Tensor) -> Tensor:
        """Each image through its own expert, images that share one together."""
        if len(set(choice)) == 1:
            return self.experts[choice[0]](x_BCHW, shared_BCHW)
        parts, order = [], []
        for k in sorted(set(choice)):
            members = [i for i, chosen in enumerate(choice) if chosen == k]
            parts.append(self.experts[k](x_BCHW[members], shared_BCHW[members]))
            order += members
        return torch.cat(parts)[torch.tensor(order, device=x_BCHW.device).argsort()]


class Expert(nn.Module):
    """Tile mixing in a space of `width` channels, modulated by the shared expert's features."""

    def __init__(self, dim: int, width: int, tile: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(dim, width, 1, bias=False)
        self.reduce_shared = nn.Conv2d(dim, width, 1, bias=False)
        self.mix = TileMixer(width, tile)
        self.widen = nn.Conv2d(width, dim, 1, bias=False)

    @property
    def macs_per_pixel(self) -> int:
        """Multiply-accumulates a pixel, one of them for each element of the activation."""
        return macs_per_pixel(self) + self.widen.in_channels

    def forward(self, x_BCHW: Tensor, shared_BCHW: Tensor) -> Tensor:
        qkv_BDHW = by_strips(lambda x: self.mix.project(self.reduce(x)), x_BCHW, reach=3)

        def finish(x_BChW: Tensor, shared_BChW: Tensor, qkv_BDhW: Tensor) -> Tensor:
            return x_BChW + self.widen(self.mix(qkv_BDhW) * F.silu(self.reduce_shared(shared_BChW)))

        return by_strips(finish, x_BCHW, shared_BCHW, qkv_BDHW, multiple=self.mix.tile)


class TileMixer(nn.Module):
    """Circular convolution of queries with keys inside tiles, by FFT; times the values."""

    def __init__(self, dim: int, tile: int) -> None:
        super().__init__()
        self.tile = tile
        self.q = nn.Sequential(nn.Conv2d(dim, dim, 1, bias=False), depthwise(dim, 3, bias=True))
        self.kv = nn.Sequential(
            nn.Conv2d(dim, 2 * dim, 1, bias=False), depthwise(2 * dim, 7, bias=True)
        )
        self.norm = LayerNorm(dim)
        self.out = nn.Conv2d(dim, dim, 1)

    def project(self, x_BrHW: Tensor) -> Tensor:
        """(B, 3r, H, W): queries, keys and values."""
        return torch.cat([self.q(x_BrHW), self.kv(x_BrHW)], dim=1)

    def forward(self, qkv_BDHW: Tensor) -> Tensor:
        q_BrHW, k_BrHW, v_BrHW = qkv_BDHW.chunk(3, dim=1)
        return self.out(self.norm(self._convolve(q_BrHW, k_BrHW).to(v_BrHW.dtype)) * v_BrHW)

    def _convolve(self, q_BrHW: Tensor, k_BrHW: Tensor) -> Tensor:
        height, width = q_BrHW.shape[2:]
        pad = (
            0,
            -width % self.tile,
            0,
            -height % self.tile,
        )  # zeros at the right and bottom, as the authors' code

        def spectra(x_BrHW: Tensor) -> Tensor:
            tiles = (
                F.pad(x_BrHW.float(), pad)
                .unflatten(3, (-1, self.tile))
                .unflatten(2, (-1, self.tile))
            )
            return torch.fft.rfft2(tiles, dim=(3, 5))

        tiles = torch.fft.irfft2(
            spectra(q_BrHW) * spectra(k_BrHW), s=(self.tile, self.tile), dim=(3, 5)
        )
        return tiles.flatten(4, 5).flatten(2, 3)[..., :height, :width]


def balance_loss(logits_Bn: Tensor, noisy_Bn: Tensor, complexity_n: Tensor, sigma: float) -> Tensor:
    """Eq. (9): half the squared coefficients of variation of the experts' importance and load over a batch.

    Args:
        logits_Bn: router outputs without noise.
        noisy_Bn: the same with the noise that routing used.
        complexity_n: parameters of each expert over those of the largest, b of eq. (8): cheap experts get more images.
        sigma: standard deviation of the noise.
    """
    importance_n = complexity_n * logits_Bn.softmax(1).sum(0)
    threshold_B1 = noisy_Bn.amax(1, keepdim=True)
    # the probability that another draw of the expert's noise lifts it over the threshold: eq. (6)
    load_n = (0.5 * torch.erfc((threshold_B1 - logits_Bn) / (sigma * math.sqrt(2)))).mean(0)
    return 0.5 * _squared_variation(importance_n) + 0.5 * _squared_variation(load_n)


def _squared_variation(x_n: Tensor) -> Tensor:
    return (x_n.std() / (x_n.mean() + 1e-8)) ** 2
