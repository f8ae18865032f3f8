"""Restormer: a U-shaped transformer that attends between channels, so that its cost grows with the pixels alone.

Zamir et al., "Restormer: Efficient
Transformer for High-Resolution Image Restoration", 2022: 26,111,668 parameters with the norm of its Gaussian denoisers,
26,126,644 with that of its other networks. Written from the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from curate.restore.models.blocks import (
    Downsample,
    LayerNorm,
    TransformerBlock,
    Upsample,
    pad_to_multiple,
)

__all__ = ["BiasFreeLayerNorm", "Norm", "Restormer"]

Norm = Literal["bias_free", "with_bias"]
"""Whether pixels are only divided by their standard deviation, or centred and shifted too."""


class Restormer(nn.Module):
    """The whole network.

    Args:
        dim: channels at full size; they double with every level.
        num_blocks: transformer blocks of each level, in the encoder as in the decoder; the last is the latent.
        refinement_blocks: transformer blocks after the decoder.
        heads: attention heads of each level; must divide dim, 2 dim, 4 dim, ...
        expansion: hidden over input channels of the feed-forwards.
        norm: see `Norm`; the published denoisers have `bias_free`, those of rain and blur `with_bias`.
    """

    pixels_at_once = 2**18  # some 8 KB each

    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        norm: Norm = "bias_free",
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"norm is one of {', '.join(get_args(Norm))}, not {norm!r}")
        levels = len(num_blocks)
        if levels < 2 or len(heads) != levels:
            raise ValueError("num_blocks and heads name every level, of which there are 2 or more")
        if dim % 2 or any(dim * 2**i % h for i, h in enumerate(heads)):
            raise ValueError(
                f"dim {dim} must be even, and each level's channels a multiple of its heads"
            )
        self.multiple = 2 ** (levels - 1)
        dims = [dim * 2**level for level in range(levels)]
        # the last decoder level keeps the skip beside what comes up, so it works on twice the channels
        decoder_dims = [2 * dim, *dims[1:-1]]

        def stage(level: int, channels: int, blocks: int) -> nn.Sequential:
            kind = BiasFreeLayerNorm if norm == "bias_free" else LayerNorm
            return nn.Sequential(
                *(
                    TransformerBlock(channels, heads[level], expansion, bias=False, norm=kind)
                    for _ in range(blocks)
                )
            )

        self.patch_embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(
            stage(level, dims[level], num_blocks[level]) for level in range(levels - 1)
        )
        self.down = nn.ModuleList(Downsample(c) for c in dims[:-1])
        self.latent = stage(levels - 1, dims[-1], num_blocks[-1])
        self.up = nn.ModuleList(Upsample(deep) for _, deep in pairwise(dims))
        self.fuse = nn.ModuleList(
            nn.Conv2d(2 * c, c, 1, bias=False) if level else nn.Identity()
            for level, c in enumerate(dims[:-1])
        )
        self.decoder = nn.ModuleList(
            stage(level, channels, num_blocks[level]) for level, channels in enumerate(decoder_dims)
        )
        self.refinement = stage(0, 2 * dim, refinement_blocks)
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            self.output.weight *= 0.1  # start near the identity, as MoCE-IR here

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        height, width = image_B3HW.shape[2:]
        padded_B3HW = pad_to_multiple(image_B3HW, self.multiple)
        x_BCHW = self.patch_embed(padded_B3HW.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            skips.append(blocks(x_BCHW))
            x_BCHW = down(skips[-1])
        x_BCHW = self.latent(x_BCHW)
        for level in reversed(range(len(skips))):
            x_BCHW = torch.cat([self.up[level](x_BCHW), skips[level]], dim=1)
            x_BCHW = self.decoder[level](self.fuse[level](x_BCHW))
        restored_B3HW = self.output(self.refinement(x_BCHW)) + padded_B3HW
        return restored_B3HW[..., :height, :width]

    def forward_with_aux(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """The restored images, and 0: nothing is routed."""
        return self(image_B3HW), image_B3HW.new_zeros(())


class BiasFreeLayerNorm(nn.Module):
    """Every pixel over the standard deviation of its channels, which keep their mean: x / sqrt(var + 1e-5) * weight."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)
        variance_BHW1 = x_BHWC.float().var(-1, correction=0, keepdim=True)
        return (x_BHWC * ((variance_BHW1 + 1e-5).rsqrt() * self.weight).to(x_BHWC.dtype)).permute(
            0, 3, 1, 2
        )
