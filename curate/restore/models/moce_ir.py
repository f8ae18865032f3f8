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
  `gate="residual"` adds what the gate scales to the block's output too, so that the restoration loss reaches them.
- The document wants under 30 G multiply-accumulates for any picture of 1280 x 720, and half of all routings take more.
  `max_macs` holds the routers to a budget.

Unlike that code, evaluation draws no router noise, so it is deterministic, and images of a batch meet only their own
experts, so that a batch gives what its images give one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, repeat
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models.blocks import (
    ChannelAttention,
    Downsample,
    GatedFeedForward,
    LayerNorm,
    SelfAttention,
    TransformerBlock,
    Upsample,
    by_strips,
    depthwise,
    macs_per_pixel,
    pad_to_multiple,
)
from curate.restore.models.complexity_experts import MixtureOfComplexityExperts, Route, Routing

__all__ = ["Gate", "MoCEIR"]

Gate = Literal["moce", "residual"]
"""What the gate scales: the routed expert as query alone, as in the paper, or also as a part of the output."""

_720P = 720 * 1280


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
        gate: what the gate of a routed expert scales.
        max_macs: multiply-accumulates that a picture of 1280 x 720 may take, and others in proportion to their pixels,
            when the routers pick; counted as `macs` does. None lets them pick what they like.
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
        gate: Gate = "moce",
        max_macs: float | None = None,
    ) -> None:
        super().__init__()
        if gate not in get_args(Gate):
            raise ValueError(f"gate is one of {', '.join(get_args(Gate))}, not {gate!r}")
        levels = len(num_blocks)
        if not len(num_dec_blocks) == levels - 1 == len(heads) - 1:
            raise ValueError(
                "num_blocks and heads name every level, num_dec_blocks all but the deepest"
            )
        if dim % 2 ** (num_experts - 1) or any(dim * 2**i % h for i, h in enumerate(heads)):
            raise ValueError(
                f"dim {dim} must be a multiple of {2 ** (num_experts - 1)}, and each level's of its heads"
            )
        dims = [dim * 2**level for level in range(levels)]
        self.multiple, self.num_experts = 2 ** (levels - 1), num_experts
        self.grid = 2 ** (levels - 2) * (
            4 << (num_experts - 1)
        )  # the experts' largest tile, in the picture's pixels

        def stage(level: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(
                *(TransformerBlock(dims[level], heads[level], expansion) for _ in range(blocks))
            )

        self.patch_embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(stage(level, num_blocks[level]) for level in range(levels - 1))
        self.down = nn.ModuleList(Downsample(c) for c in dims[:-1])
        self.latent = stage(levels - 1, num_blocks[-1])
        self.frequency = FrequencyEmbedding(dims[-1])
        self.up = nn.ModuleList(Upsample(deep) for _, deep in pairwise(dims))
        self.fuse = nn.ModuleList(nn.Conv2d(2 * c, c, 1, bias=False) for c in dims[:-1])
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                DecoderBlock(dims[level], dims[-1], heads[level], num_experts, expansion, gate)
                for _ in range(count)
            )
            for level, count in enumerate(num_dec_blocks)
        )
        self.refinement = stage(0, refinement_blocks)
        self.output = nn.Conv2d(dim, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            # start near the identity: a full-size random correction costs hundreds of steps to unlearn
            self.output.weight *= 0.1
        self.max_macs = max_macs
        if max_macs is not None and self.macs(720, 1280) > max_macs:
            raise ValueError(
                f"max_macs {max_macs:g} is less than the {self.macs(720, 1280):,} of the cheapest experts"
            )

    def forward(self, image_B3HW: Tensor, route: Route = "auto") -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        return self._forward(image_B3HW, self._routing(image_B3HW, route))[0]

    def forward_with_aux(self, image_B3HW: Tensor, route: Route = "auto") -> tuple[Tensor, Tensor]:
        """The restored images, and the mean balance loss of the decoder blocks (0 in evaluation)."""
        return self._forward(image_B3HW, self._routing(image_B3HW, route))

    def forward_with_choices(
        self, image_B3HW: Tensor, route: Route = "auto"
    ) -> tuple[Tensor, Tensor]:
        """The restored images, and the experts that they met: (B, decoder blocks), as the blocks run."""
        routing = self._routing(image_B3HW, route)
        return self._forward(image_B3HW, routing)[0], torch.stack(routing.choices, dim=1)

    def macs(self, height: int, width: int, choices: int | Sequence[int] = 0) -> int:
        """Multiply-accumulates for a picture, given the expert of each decoder block as they run, or one for all.

        Counted as ptflops does by its backend `pytorch`, which the document's figure comes from: convolutions, linear
        layers and their biases, one for each element of an activation (two of a GELU layer and of a mean over pixels),
        nothing for attention, normalisation and FFTs.
        """
        pixels = [
            self._padded(height) * self._padded(width) >> 2 * level
            for level in range(len(self.encoder) + 1)
        ]
        total = pixels[0] * macs_per_pixel(self.patch_embed, self.refinement, self.output)
        for level, (blocks, down) in enumerate(zip(self.encoder, self.down, strict=True)):
            total += pixels[level] * macs_per_pixel(blocks, down)
        total += pixels[-1] * macs_per_pixel(self.latent) + self.frequency.macs(pixels[-1])
        count = sum(1 for level in self.decoder for _ in level.children())
        if not isinstance(choices, int) and len(choices) != count:
            raise ValueError(
                f"choices names an expert for each of the {count} decoder blocks, not {len(choices)}"
            )
        experts = repeat(choices) if isinstance(choices, int) else iter(choices)
        for level in reversed(range(len(self.decoder))):
            total += pixels[level + 1] * macs_per_pixel(self.up[level])
            total += pixels[level] * macs_per_pixel(self.fuse[level])
            for block, expert in zip(self.decoder[level].children(), experts, strict=False):
                assert isinstance(block, DecoderBlock)
                total += block.macs(pixels[level], expert)
        return total

    def _padded(self, side: int) -> int:
        return -(-side // self.multiple) * self.multiple

    def _routing(self, image_B3HW: Tensor, route: Route) -> Routing:
        if self.max_macs is None:
            return Routing(route)
        height, width = image_B3HW.shape[2:]
        pixels = self._padded(height) * self._padded(width)
        budget = max(0, int(self.max_macs * pixels / _720P) - self.macs(height, width))
        return Routing(route, torch.full((len(image_B3HW),), budget, device=image_B3HW.device))

    def _forward(self, image_B3HW: Tensor, routing: Routing) -> tuple[Tensor, Tensor]:
        height, width = image_B3HW.shape[2:]
        padded_B3HW = pad_to_multiple(image_B3HW, self.multiple)
        padded_B3HW = padded_B3HW.contiguous(memory_format=torch.channels_last)
        x_BCHW = by_strips(self.patch_embed, padded_B3HW, reach=1)
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            skips.append(blocks(x_BCHW))
            x_BCHW = down(skips[-1])
        x_BCHW = self.latent(x_BCHW)
        frequency_BF = self.frequency(x_BCHW)

        losses: list[Tensor] = []
        for level in reversed(range(len(skips))):
            x_BCHW = by_strips(
                lambda *maps, level=level: self.fuse[level](torch.cat(maps, dim=1)),
                self.up[level](x_BCHW),
                skips[level],
            )
            for block in self.decoder[level].children():
                x_BCHW, loss = block(x_BCHW, frequency_BF, routing)
                losses.append(loss)
        restored_B3HW = by_strips(
            lambda x, image: self.output(x) + image, self.refinement(x_BCHW), padded_B3HW, reach=1
        )
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

    def macs(self, pixels: int) -> int:
        """Multiply-accumulates; see `MoCEIR.macs`."""
        dim = self.high_pass_C133.shape[0]
        return (
            pixels * dim * (9 + 2) + sum(p.numel() for p in self.mlp.parameters()) + 2 * (2 * dim)
        )


class DecoderBlock(nn.Module):
    """A routed expert asks (query), the shared expert answers (key and value)."""

    def __init__(
        self,
        dim: int,
        frequency_dim: int,
        heads: int,
        num_experts: int,
        expansion: float,
        gate: Gate,
    ) -> None:
        super().__init__()
        self.gate = gate
        self.norm1 = LayerNorm(dim)
        self.to_shared = nn.Conv2d(dim, dim, 1)
        self.to_routed = nn.Conv2d(dim, dim, 1)
        self.shared = SelfAttention(dim, heads, bias=False)
        self.routed = MixtureOfComplexityExperts(dim, frequency_dim, num_experts)
        self.cross = CrossAttention(dim, heads)
        self.norm2 = LayerNorm(dim)
        self.feed_forward = GatedFeedForward(dim, expansion, bias=False)

    def forward(
        self, x_BCHW: Tensor, frequency_BF: Tensor, routing: Routing
    ) -> tuple[Tensor, Tensor]:
        normed_BCHW = by_strips(self.norm1, x_BCHW)
        v_BCHW, attention_BCC = self.shared.look(
            lambda x: self.shared.qkv(self.to_shared(x)), normed_BCHW, reach=1
        )
        shared_BCHW = by_strips(lambda v: self.shared.mix(v, attention_BCC), v_BCHW)
        to_routed_BCHW = by_strips(self.to_routed, normed_BCHW)
        routed_BCHW, loss = self.routed(to_routed_BCHW, shared_BCHW, frequency_BF, routing)
        v_BCHW, attention_BCC = self.cross.look(
            self.cross.project, routed_BCHW, shared_BCHW, reach=3
        )

        def finish(x_BChW: Tensor, v_BChW: Tensor, routed_BChW: Tensor) -> Tensor:
            x_BChW = x_BChW + self.cross.mix(v_BChW, attention_BCC)
            if self.gate == "residual":
                x_BChW = x_BChW + routed_BChW
            return x_BChW + self.feed_forward(self.norm2(x_BChW))

        return by_strips(finish, x_BCHW, v_BCHW, routed_BCHW, reach=1), loss

    def macs(self, pixels: int, expert: int) -> int:
        """Multiply-accumulates; see `MoCEIR.macs`."""
        around = macs_per_pixel(
            self.to_shared,
            self.to_routed,
            self.shared,
            self.cross,
            self.feed_forward,
            self.routed.out,
        )
        of_routing = pixels * 2 * self.to_routed.out_channels + self.routed.router_macs
        return pixels * (around + self.routed.macs_per_pixel[expert]) + of_routing


class CrossAttention(ChannelAttention):
    """Channel attention with queries from one map, keys and values from another."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads, bias=False)
        self.q = nn.Sequential(nn.Conv2d(dim, dim, 1, bias=False), depthwise(dim, 3, bias=False))
        self.kv = nn.Sequential(
            nn.Conv2d(dim, 2 * dim, 1, bias=False), depthwise(2 * dim, 7, bias=False)
        )

    def project(self, asking_BCHW: Tensor, answering_BCHW: Tensor) -> Tensor:
        """(B, 3C, H, W): queries, keys and values."""
        return torch.cat([self.q(asking_BCHW), self.kv(answering_BCHW)], dim=1)
