"""Restormer: a U-shaped transformer with attention between channels, linear in the pixels.

Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", 2022:
26,111,668 parameters with the norm of its Gaussian denoisers, 26,126,644 with that of its other
networks. Written from the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from curate.restore.models import blocks

__all__ = ["BiasFreeLayerNorm", "Norm", "Restormer"]

Norm = Literal["bias_free", "with_bias"]
"""Normalisation of pixels: only divided by their standard deviation, or centred and shifted too."""


class Restormer(nn.Module):
    """The whole network.

    Args:
        dim: channels at full size; they double with every level.
        num_blocks: transformer blocks of each level, in the encoder as in the decoder; the last is
            the latent.
        refinement_blocks: transformer blocks after the decoder.
        heads: attention heads of each level; must divide dim, 2 dim, 4 dim, ...
        expansion: hidden over input channels of the feed-forwards.
        norm: `bias_free` in the published denoisers, `with_bias` in those of rain and blur.
    """

    source = "Zamir et al. 2022, arXiv 2111.09881"
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
        deepest = len(num_blocks) - 1
        if deepest < 1 or len(heads) != len(num_blocks):
            raise ValueError("num_blocks and heads name every level, of which there are 2 or more")
        if dim % 2 or any(dim * 2**i % h for i, h in enumerate(heads)):
            raise ValueError(
                f"dim {dim} must be even, and each level's channels a multiple of its heads"
            )
        self.multiple = 2**deepest
        dims = [dim * 2**level for level in range(deepest + 1)]
        # the last decoder level keeps the skip beside the upsampled map: twice the channels
        decoder_dims = [2 * dim, *dims[1:-1]]
        norm_class = BiasFreeLayerNorm if norm == "bias_free" else blocks.LayerNorm

        def stage(level: int, channels: int, count: int) -> nn.Sequential:
            settings = (channels, heads[level], expansion, False, norm_class)
            return blocks.transformer_stage(count, *settings)

        self.patch_embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.encoder = nn.ModuleList(map(stage, range(deepest), dims, num_blocks))
        self.down = nn.ModuleList(map(blocks.downsample, dims[:-1]))
        self.latent = stage(deepest, dims[-1], num_blocks[-1])
        self.up = nn.ModuleList(map(blocks.upsample, dims[1:]))
        self.fuse = nn.ModuleList(nn.Conv2d(2 * c, c, 1, bias=False) for c in dims[1:-1])
        self.fuse.insert(0, nn.Identity())
        self.decoder = nn.ModuleList(map(stage, range(deepest), decoder_dims, num_blocks))
        self.refinement = stage(0, 2 * dim, refinement_blocks)
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            self.output.weight *= 0.1  # start near the identity, as MoCE-IR here

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        height, width = image_B3HW.shape[2:]
        padded_B3HW = blocks.pad_to_multiple(image_B3HW, self.multiple)
        x_BCHW = self.patch_embed(padded_B3HW.contiguous(memory_format=torch.channels_last))
        # each level of the encoder leaves a map for the decoder's level of the same size
        skips: list[Tensor] = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            skips.append(stage(x_BCHW))
            x_BCHW = down(skips[-1])
        x_BCHW = self.latent(x_BCHW)
        for level in reversed(range(len(skips))):
            x_BCHW = torch.cat([self.up[level](x_BCHW), skips[level]], dim=1)
            x_BCHW = self.decoder[level](self.fuse[level](x_BCHW))
        restored_B3HW = self.output(self.refinement(x_BCHW)) + padded_B3HW
        return restored_B3HW[..., :height, :width]

    def forward_with_aux(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored images, and 0: nothing is routed."""
        return self(image_B3HW), image_B3HW.new_zeros(())


class BiasFreeLayerNorm(nn.Module):
    """Division of pixels by the deviation of their channels: x / sqrt(var + 1e-5) * weight.

    The channels keep their mean.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)
        variance_BHW1 = x_BHWC.float().var(-1, correction=0, keepdim=True)
        scale_BHWC = ((variance_BHW1 + 1e-5).rsqrt() * self.weight).to(x_BHWC.dtype)
        return (x_BHWC * scale_BHWC).permute(0, 3, 1, 2)
