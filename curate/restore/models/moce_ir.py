"""MoCE-IR: a U-shaped all-in-one restorer whose decoder routes images to experts of growing cost.

Zamfir et al., "Complexity Experts are Task-Discriminative Learners for Any Image Restoration",
2024. MOE-IR_30G is the member with dim 8: 571,001 parameters by the document's count. 570,425 of
them are trained; the other 576 are the fixed high-pass filter, a buffer here.

Where the document and the authors' code differ, the code has the published numbers. As it does:

- Expert widths are C/8, C/4, C/2, C. The document's C/2 ... C/16 doesn't give 571 k.
- The document's "window self-attention" is a circular convolution of queries with keys inside
  tiles, done by FFT.
- The load of an expert is its mean probability in the batch. Eq. (7)'s product would underflow.
- The gate only scales the input of bias-free linear maps into a normalised query. So the
  restoration loss gives routers and frequency embedding no gradient; the auxiliary loss alone
  trains them. `gate="residual"` adds the scaled features to the block's output too, and so the
  restoration loss reaches them.
- The document wants under 30 G multiply-accumulates for any picture of 1280 x 720. Half of all
  routings take more; `max_macs` holds the routers to a budget.

Unlike that code, evaluation draws no router noise, so it is deterministic. Images of a batch meet
only their own experts, so a batch gives the same results as its images one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models import blocks
from curate.restore.models.complexity_experts import MixtureOfComplexityExperts, Route, RoutingState

__all__ = ["Gate", "MoCEIR"]

Gate = Literal["moce", "residual"]
"""Use of the features that the gate scales: in queries alone (the paper), or in the output too."""

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
        gate: see `Gate`.
        max_macs: multiply-accumulates that a picture of 1280 x 720 may take when the routers pick,
            counted as `macs` does; other pictures in proportion to their pixels. None: no limit.
    """

    source = "Zamfir et al. 2024, arXiv 2411.18466"

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
        deepest = len(num_blocks) - 1
        if not len(num_dec_blocks) == deepest == len(heads) - 1:
            raise ValueError(
                "num_blocks and heads name every level, num_dec_blocks all but the deepest"
            )
        widest = 2 ** (num_experts - 1)
        if dim % widest or any(dim * 2**i % h for i, h in enumerate(heads)):
            raise ValueError(
                f"dim {dim} must be a multiple of {widest}, and each level's of its heads"
            )
        dims = [dim * 2**level for level in range(deepest + 1)]
        self.multiple, self.num_experts = 2**deepest, num_experts
        # the largest tile, 4 * widest pixels at the deepest decoder level, in pixels of the picture
        self.grid = 2 ** (deepest - 1) * 4 * widest

        def stage(level: int, count: int) -> nn.Sequential:
            settings = (dims[level], heads[level], expansion, True, blocks.LayerNorm)
            return blocks.transformer_stage(count, *settings)

        def decoder_level(level: int, count: int) -> nn.ModuleList:
            settings = (dims[level], dims[-1], heads[level], num_experts, expansion, gate)
            return nn.ModuleList(DecoderBlock(*settings) for _ in range(count))

        self.patch_embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(map(stage, range(deepest), num_blocks))
        self.down = nn.ModuleList(map(blocks.downsample, dims[:-1]))
        self.latent = stage(deepest, num_blocks[-1])
        self.frequency = FrequencyEmbedding(dims[-1])
        self.up = nn.ModuleList(map(blocks.upsample, dims[1:]))
        self.fuse = nn.ModuleList(nn.Conv2d(2 * c, c, 1, bias=False) for c in dims[:-1])
        self.decoder = nn.ModuleList(map(decoder_level, range(deepest), num_dec_blocks))
        self.refinement = stage(0, refinement_blocks)
        self.output = nn.Conv2d(dim, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            # start near the identity: random corrections at full size take hundreds of steps to go
            self.output.weight *= 0.1
        self.max_macs = max_macs
        if max_macs is not None and (least := self.macs(720, 1280)) > max_macs:
            raise ValueError(
                f"max_macs {max_macs:g} is less than the {least:,} of the cheapest experts"
            )

    def forward(self, image_B3HW: Tensor, route: Route = "auto") -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        return self._forward(image_B3HW, self._routing(image_B3HW, route))[0]

    def forward_with_aux(self, image_B3HW: Tensor, route: Route = "auto") -> tuple[Tensor, Tensor]:
        """Return the restored images and the mean balance loss of the blocks (0 in evaluation)."""
        return self._forward(image_B3HW, self._routing(image_B3HW, route))

    def forward_with_choices(
        self, image_B3HW: Tensor, route: Route = "auto"
    ) -> tuple[Tensor, Tensor]:
        """Return the restored images and their experts: (B, decoder blocks), as the blocks run."""
        routing = self._routing(image_B3HW, route)
        return self._forward(image_B3HW, routing)[0], torch.stack(routing.choices, dim=1)

    def macs(self, height: int, width: int, choices: int | Sequence[int] = 0) -> int:
        """Return the multiply-accumulates for a picture.

        Counted as by ptflops with its backend `pytorch`, which gave the document's figure:
        convolutions, linear layers and their biases, one for each element of an activation (two of
        a GELU layer and of a mean over pixels), nothing for attention, normalisation and FFTs.

        Args:
            height: of the picture in pixels.
            width: as height.
            choices: expert of each decoder block as they run, or one for all.
        """
        count = sum(1 for level in self.decoder for _ in level.children())
        choices = [choices] * count if isinstance(choices, int) else choices
        if len(choices) != count:
            raise ValueError(
                f"choices names an expert for each of the {count} decoder blocks, "
                f"not {len(choices)}"
            )
        per_pixel, experts, levels = blocks.macs_per_pixel, iter(choices), len(self.decoder)
        # pixels of the padded picture; a quarter of them at each next level
        full = blocks.round_up(height, self.multiple) * blocks.round_up(width, self.multiple)
        deepest = full >> 2 * levels
        total = full * per_pixel(self.patch_embed, self.refinement, self.output)
        total += deepest * per_pixel(self.latent) + self.frequency.macs(deepest)
        for level in reversed(range(levels)):
            pixels = full >> 2 * level
            total += pixels * per_pixel(self.encoder[level], self.down[level], self.fuse[level])
            total += (pixels >> 2) * per_pixel(self.up[level])
            for block in self.decoder[level].children():
                assert isinstance(block, DecoderBlock)
                total += block.macs(pixels, next(experts))
        return total

    def _routing(self, image_B3HW: Tensor, route: Route) -> RoutingState:
        if self.max_macs is None:
            return RoutingState(route)
        height, width = image_B3HW.shape[2:]
        pixels = blocks.round_up(height, self.multiple) * blocks.round_up(width, self.multiple)
        # what the limit leaves for dearer experts than the cheapest
        budget = max(0, int(self.max_macs * pixels / _720P) - self.macs(height, width))
        return RoutingState(route, torch.full((len(image_B3HW),), budget, device=image_B3HW.device))

    def _forward(self, image_B3HW: Tensor, routing: RoutingState) -> tuple[Tensor, Tensor]:
        map_strips, (height, width) = blocks.map_strips, image_B3HW.shape[2:]
        padded_B3HW = blocks.pad_to_multiple(image_B3HW, self.multiple)
        padded_B3HW = padded_B3HW.contiguous(memory_format=torch.channels_last)
        x_BCHW = map_strips(self.patch_embed, padded_B3HW, halo=1)
        # each level of the encoder leaves a map for the decoder's level of the same size
        skips: list[Tensor] = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            skips.append(stage(x_BCHW))
            x_BCHW = down(skips[-1])
        x_BCHW = self.latent(x_BCHW)
        frequency_BF = self.frequency(x_BCHW)

        # the decoder, from its deepest level: its blocks run in this order
        losses: list[Tensor] = []
        levels = zip(self.fuse[::-1], self.up[::-1], skips[::-1], self.decoder[::-1], strict=True)
        for fuse, up, skip_BCHW, level in levels:
            x_BCHW = map_strips(
                lambda *maps, fuse=fuse: fuse(torch.cat(maps, dim=1)), up(x_BCHW), skip_BCHW
            )
            for block in level.children():
                x_BCHW, loss = block(x_BCHW, frequency_BF, routing)
                losses.append(loss)
        restored_B3HW = map_strips(
            lambda x, image: self.output(x) + image, self.refinement(x_BCHW), padded_B3HW, halo=1
        )
        return restored_B3HW[..., :height, :width], torch.stack(losses).mean()


class FrequencyEmbedding(nn.Module):
    """Embedding of the image's high frequencies for the routers: latent (B, C, H, W) -> (B, C)."""

    high_pass_C133: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        # a Laplacian (the document calls it Sobel); a buffer, because it isn't trained
        kernel_33 = -torch.ones(3, 3)
        kernel_33[1, 1] = 8
        self.register_buffer("high_pass_C133", kernel_33.expand(dim, 1, 3, 3).clone())
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        edges_BCHW = F.conv2d(x_BCHW, self.high_pass_C133, padding=1, groups=x_BCHW.shape[1])
        return self.mlp(F.gelu(edges_BCHW).mean((2, 3)))

    def macs(self, pixels: int) -> int:
        """Return the multiply-accumulates; see `MoCEIR.macs`."""
        dim = self.high_pass_C133.shape[0]
        weights = sum(parameter.numel() for parameter in self.mlp.parameters())
        return pixels * dim * (9 + 2) + weights + 2 * (2 * dim)


class DecoderBlock(nn.Module):
    """Cross-attention of a routed expert (queries) to the shared expert (keys and values)."""

    def __init__(
        self, dim: int, latent_dim: int, heads: int, num_experts: int, expansion: float, gate: Gate
    ) -> None:
        super().__init__()
        self.gate = gate
        self.norm1 = blocks.LayerNorm(dim)
        self.to_shared = nn.Conv2d(dim, dim, 1)
        self.to_routed = nn.Conv2d(dim, dim, 1)
        self.shared = blocks.SelfAttention(dim, heads, bias=False)
        self.routed = MixtureOfComplexityExperts(dim, latent_dim, num_experts)
        self.cross = CrossAttention(dim, heads)
        self.norm2 = blocks.LayerNorm(dim)
        self.feed_forward = blocks.GatedFeedForward(dim, expansion, bias=False)
        experts = sum(self.routed.macs_per_pixel)
        self.macs_per_pixel = blocks.macs_per_pixel(self) - experts + 2 * dim
        """Multiply-accumulates a pixel without experts; the last term is the router's mean."""

    def forward(
        self, x_BCHW: Tensor, frequency_BF: Tensor, routing: RoutingState
    ) -> tuple[Tensor, Tensor]:
        map_strips, cross, shared = blocks.map_strips, self.cross, self.shared
        normed_BCHW = map_strips(self.norm1, x_BCHW)
        # shared expert: channel attention
        v_BCHW, attention_BCC = shared.attend(
            lambda x: shared.qkv(self.to_shared(x)), normed_BCHW, halo=1
        )
        shared_BCHW = map_strips(lambda v: shared.mix(v, attention_BCC), v_BCHW)
        # routed expert: one of several for each image
        to_routed_BCHW = map_strips(self.to_routed, normed_BCHW)
        routed_BCHW, loss = self.routed(to_routed_BCHW, shared_BCHW, frequency_BF, routing)
        # attention from the routed to the shared expert, then the feed-forward
        v_BCHW, attention_BCC = cross.attend(cross.project, routed_BCHW, shared_BCHW, halo=3)

        def second_pass(x_BChW: Tensor, v_BChW: Tensor, routed_BChW: Tensor) -> Tensor:
            x_BChW = x_BChW + cross.mix(v_BChW, attention_BCC)
            if self.gate == "residual":
                x_BChW = x_BChW + routed_BChW
            return x_BChW + self.feed_forward(self.norm2(x_BChW))

        return map_strips(second_pass, x_BCHW, v_BCHW, routed_BCHW, halo=1), loss

    def macs(self, pixels: int, expert: int) -> int:
        """Return the multiply-accumulates; see `MoCEIR.macs`."""
        per_pixel = self.macs_per_pixel + self.routed.macs_per_pixel[expert]
        routers = self.routed.from_image.weight.numel() + self.routed.from_frequency.weight.numel()
        return pixels * per_pixel + routers


class CrossAttention(blocks.ChannelAttention):
    """Channel attention with queries from one map, keys and values from another."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads, bias=False)
        self.q = blocks.pointwise_depthwise(dim, dim, 3, False, False)
        self.kv = blocks.pointwise_depthwise(dim, 2 * dim, 7, False, False)

    def project(self, routed_BCHW: Tensor, shared_BCHW: Tensor) -> Tensor:
        """Return queries of one map, keys and values of the other: (B, 3C, H, W)."""
        return torch.cat([self.q(routed_BCHW), self.kv(shared_BCHW)], dim=1)
