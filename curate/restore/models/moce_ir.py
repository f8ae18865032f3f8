"""MoCE-IR: a U-shaped all-in-one restorer whose decoder routes each image to one of several experts of growing cost.

Zamfir et al., "Complexity Experts are Task-Discriminative Learners for Any Image Restoration", 2024. MOE-IR_30G is the
member with dim 8: 571,001 parameters by the document's count, of which 570,425 are trained and 576 are the fixed
high-pass filter, kept here as a buffer.

Where the document and the authors' code differ, the code's numbers are the published ones, so it is followed:

- Expert widths are C/8, C/4, C/2, C (the document prints C/2 ... C/16, which doesn't give 571 k).
- The document's "window self-attention" is a circular convolution of queries with keys inside tiles, done by FFT.
- The load of an expert is the mean of its probabilities over the batch (eq. 7 prints a product, which would underflow).
- The gate only scales what goes through bias-free linear maps into a normalised query, so the restoration loss gives
  the routers (and the frequency embedding) no gradient: the auxiliary loss alone trains them, as in the authors' code.

Unlike that code, evaluation draws no router noise, so it is deterministic, and images of a batch meet only their own
experts, so that a batch gives what its images give one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models.layers import (
    ChannelAttention,
    Downsample,
    GatedFeedForward,
    LayerNorm,
    TransformerBlock,
    Upsample,
    attend_channels,
    depthwise,
    pad_to_multiple,
)

__all__ = ["MoCEIR", "Route", "balance_loss"]

Route = Literal["auto"] | int | Sequence[int]
"""Who picks the experts: the routers, or one number for all images, or a number for each."""


class MoCEIR(nn.Module):
    """The whole network.

    Args:
        dim: channels at full size; they double with every level.
        num_blocks: transformer blocks of each encoder level, the last being the latent.
        num_dec_blocks: decoder blocks of each level, from full size down.
        refinement_blocks: transformer blocks after the decoder.
        heads: attention heads of each level; must divide dim, 2 dim, 4 dim, ...
        num_experts: experts of each decoder block; dim must be a multiple of 2^(num_experts - 1).
        expansion: hidden over input channels of the feed-forwards.
    """

    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_dec_blocks: Sequence[int] = (2, 4, 4),
        refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        num_experts: int = 4,
        expansion: float = 2.0,
    ) -> None:
        super().__init__()
        levels = len(num_blocks)
        if not len(num_dec_blocks) == levels - 1 == len(heads) - 1:
            raise ValueError("num_blocks and heads name every level, num_dec_blocks all but the deepest")
        if dim % 2 ** (num_experts - 1) or any(dim * 2**i % h for i, h in enumerate(heads)):
            raise ValueError(f"dim {dim} must be a multiple of {2 ** (num_experts - 1)}, and each level's of its heads")
        dims = [dim * 2**level for level in range(levels)]
        self.multiple = 2 ** (levels - 1)

        def stage(level: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(*(TransformerBlock(dims[level], heads[level], expansion) for _ in range(blocks)))

        self.patch_embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(stage(level, num_blocks[level]) for level in range(levels - 1))
        self.down = nn.ModuleList(Downsample(c) for c in dims[:-1])
        self.latent = stage(levels - 1, num_blocks[-1])
        self.frequency = FrequencyEmbedding(dims[-1])
        self.up = nn.ModuleList(Upsample(deep) for _, deep in pairwise(dims))
        self.fuse = nn.ModuleList(nn.Conv2d(2 * c, c, 1, bias=False) for c in dims[:-1])
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                DecoderBlock(dims[level], dims[-1], heads[level], num_experts, expansion) for _ in range(count)
            )
            for level, count in enumerate(num_dec_blocks)
        )
        self.refinement = stage(0, refinement_blocks)
        self.output = nn.Conv2d(dim, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            # start near the identity: a full-size random correction costs hundreds of steps to unlearn
            self.output.weight *= 0.1

    def forward(self, image_B3HW: Tensor, route: Route = "auto") -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        return self.forward_with_aux(image_B3HW, route)[0]

    def forward_with_aux(self, image_B3HW: Tensor, route: Route = "auto") -> tuple[Tensor, Tensor]:
        """The restored images, and the mean balance loss of the decoder blocks (0 in evaluation)."""
        height, width = image_B3HW.shape[2:]
        padded_B3HW = pad_to_multiple(image_B3HW, self.multiple)
        x_BCHW = self.patch_embed(padded_B3HW.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            skips.append(blocks(x_BCHW))
            x_BCHW = down(skips[-1])
        x_BCHW = self.latent(x_BCHW)
        frequency_BF = self.frequency(x_BCHW)

        losses: list[Tensor] = []
        for level in reversed(range(len(skips))):
            x_BCHW = self.fuse[level](torch.cat([self.up[level](x_BCHW), skips[level]], dim=1))
            for block in self.decoder[level].children():
                x_BCHW, loss = block(x_BCHW, frequency_BF, route)
                losses.append(loss)
        restored_B3HW = self.output(self.refinement(x_BCHW)) + padded_B3HW
        return restored_B3HW[..., :height, :width], torch.stack(losses).mean()


class FrequencyEmbedding(nn.Module):
    """What the routers know of the image's high frequencies: (B, C, H, W) of the latent -> (B, C)."""

    high_pass_C133: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        # a Laplacian (the document calls it Sobel); a buffer, because it is meant to stay as it is
        kernel_33 = -torch.ones(3, 3)
        kernel_33[1, 1] = 8
        self.register_buffer("high_pass_C133", kernel_33.expand(dim, 1, 3, 3).clone())
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        edges_BCHW = F.conv2d(x_BCHW, self.high_pass_C133, padding=1, groups=x_BCHW.shape[1])
        return self.mlp(F.gelu(edges_BCHW).mean((2, 3)))


class DecoderBlock(nn.Module):
    """A routed expert asks (query), the shared expert answers (key and value)."""

    def __init__(self, dim: int, frequency_dim: int, heads: int, num_experts: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.to_shared = nn.Conv2d(dim, dim, 1)
        self.to_routed = nn.Conv2d(dim, dim, 1)
        self.shared = ChannelAttention(dim, heads, bias=False)
        self.routed = MixtureOfComplexityExperts(dim, frequency_dim, num_experts)
        self.cross = CrossAttention(dim, heads)
        self.norm2 = LayerNorm(dim)
        self.feed_forward = GatedFeedForward(dim, expansion, bias=False)

    def forward(self, x_BCHW: Tensor, frequency_BF: Tensor, route: Route) -> tuple[Tensor, Tensor]:
        normed_BCHW = self.norm1(x_BCHW)
        shared_BCHW = self.shared(self.to_shared(normed_BCHW))
        routed_BCHW, loss = self.routed(self.to_routed(normed_BCHW), shared_BCHW, frequency_BF, route)
        x_BCHW = x_BCHW + self.cross(routed_BCHW, shared_BCHW)
        return x_BCHW + self.feed_forward(self.norm2(x_BCHW)), loss


class CrossAttention(nn.Module):
    """Channel attention with queries from one map, keys and values from another."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.q = nn.Sequential(nn.Conv2d(dim, dim, 1, bias=False), depthwise(dim, 3, bias=False))
        self.kv = nn.Sequential(nn.Conv2d(dim, 2 * dim, 1, bias=False), depthwise(2 * dim, 7, bias=False))
        self.out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, asking_BCHW: Tensor, answering_BCHW: Tensor) -> Tensor:
        k_BCHW, v_BCHW = self.kv(answering_BCHW).chunk(2, dim=1)
        return attend_channels(self.q(asking_BCHW), k_BCHW, v_BCHW, self.temperature, self.out)


class MixtureOfComplexityExperts(nn.Module):
    """One expert an image, picked from its mean features and its frequency embedding: eqs. (1) to (4)."""

    complexity_n: Tensor

    def __init__(self, dim: int, frequency_dim: int, num_experts: int) -> None:
        super().__init__()
        # both the width and the tile of an expert double from one to the next
        self.experts = nn.ModuleList(Expert(dim, dim >> (num_experts - 1 - i), 4 << i) for i in range(num_experts))
        self.from_image = nn.Linear(dim, num_experts, bias=False)
        self.from_frequency = nn.Linear(frequency_dim, num_experts, bias=False)
        self.out = nn.Conv2d(dim, dim, 1, bias=False)
        sizes_n = torch.tensor([float(sum(p.numel() for p in expert.parameters())) for expert in self.experts])
        self.register_buffer("complexity_n", sizes_n / sizes_n.max(), persistent=False)

    def forward(self, x_BCHW: Tensor, shared_BCHW: Tensor, frequency_BF: Tensor, route: Route) -> tuple[Tensor, Tensor]:
        logits_Bn = (self.from_image(x_BCHW.mean((2, 3))) + self.from_frequency(frequency_BF)).float()
        noisy_Bn = logits_Bn
        loss = logits_Bn.new_zeros(())
        if self.training:
            sigma = 1 / len(self.experts)
            noisy_Bn = logits_Bn + torch.randn_like(logits_Bn) * sigma
            loss = balance_loss(logits_Bn, noisy_Bn, self.complexity_n, sigma)
        if isinstance(route, str):
            expert_B = noisy_Bn.argmax(1)
        else:
            expert_B = torch.as_tensor(route, device=x_BCHW.device).expand(len(x_BCHW))
        gate_B = noisy_Bn.softmax(1).gather(1, expert_B[:, None])[:, 0].to(x_BCHW.dtype)
        return self.out(gate_B[:, None, None, None] * self._run_experts(expert_B.tolist(), x_BCHW, shared_BCHW)), loss

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

    def forward(self, x_BCHW: Tensor, shared_BCHW: Tensor) -> Tensor:
        modulated_BrHW = self.mix(self.reduce(x_BCHW)) * F.silu(self.reduce_shared(shared_BCHW))
        return x_BCHW + self.widen(modulated_BrHW)


class TileMixer(nn.Module):
    """Circular convolution of queries with keys inside tiles, by FFT; times the values."""

    def __init__(self, dim: int, tile: int) -> None:
        super().__init__()
        self.tile = tile
        self.q = nn.Sequential(nn.Conv2d(dim, dim, 1, bias=False), depthwise(dim, 3, bias=True))
        self.kv = nn.Sequential(nn.Conv2d(dim, 2 * dim, 1, bias=False), depthwise(2 * dim, 7, bias=True))
        self.norm = LayerNorm(dim)
        self.out = nn.Conv2d(dim, dim, 1)

    def forward(self, x_BrHW: Tensor) -> Tensor:
        q_BrHW = self.q(x_BrHW)
        k_BrHW, v_BrHW = self.kv(x_BrHW).chunk(2, dim=1)
        return self.out(self.norm(self._convolve(q_BrHW, k_BrHW).to(v_BrHW.dtype)) * v_BrHW)

    def _convolve(self, q_BrHW: Tensor, k_BrHW: Tensor) -> Tensor:
        height, width = q_BrHW.shape[2:]
        pad = (0, -width % self.tile, 0, -height % self.tile)  # zeros at the right and bottom, as the authors' code

        def spectra(x_BrHW: Tensor) -> Tensor:
            tiles = F.pad(x_BrHW.float(), pad).unflatten(3, (-1, self.tile)).unflatten(2, (-1, self.tile))
            return torch.fft.rfft2(tiles, dim=(3, 5))

        tiles = torch.fft.irfft2(spectra(q_BrHW) * spectra(k_BrHW), s=(self.tile, self.tile), dim=(3, 5))
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
