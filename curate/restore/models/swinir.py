"""SwinIR: transformer blocks with attention inside windows, shifted by half in every second block.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer", 2021. With windows of 7 it is the
baseline of the HQ-50K paper and the body of DAMoE: 11,492,067 parameters. Input and output have the
same size, so super-resolution enlarges its input first; `UpscalingSwinIR` is the published form
that enlarges by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models.blocks import from_windows, pad_to_multiple, share_of_step, to_windows

__all__ = ["FeedForward", "MixtureContext", "SwinBlock", "SwinIR", "UpscalingSwinIR"]


@dataclass
class MixtureContext:
    """Context of one forward pass: what mixtures of experts need to know, and their losses."""

    images_per_task: Sequence[int] = ()
    """Number of images of the first task, of the second, ...; the batch is sorted by task."""
    balance_losses: list[Tensor] = field(default_factory=list)
    """Balance loss of each layer that picks experts, which appends it."""


class SwinIR(nn.Module):
    """The network for restoring at full size.

    Args:
        dim: channels.
        depths: blocks of each group.
        heads: attention heads; must divide dim.
        window: side of the windows in pixels.
        expansion: hidden over input channels of the feed-forwards.
        drop_path: probability in training to skip the last block for an image; it grows linearly
            from 0 at the first block.
        value_range: white minus black as the network sees them; 255 in the published JPEG
            networks, 1 in the others.
    """

    source = "Liang et al. 2021, arXiv 2108.10257"
    pixels_at_once = 2**18  # some 10 KB each
    mean_133: Tensor

    def __init__(
        self,
        dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        heads: int = 6,
        window: int = 7,
        expansion: float = 2.0,
        drop_path: float = 0.1,
        value_range: float = 1.0,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} must be a multiple of the {heads} heads")
        self.window = self.multiple = window
        self.value_range = value_range
        self.conv_first = nn.Conv2d(3, dim, 3, padding=1)
        self.norm_first = nn.LayerNorm(dim)
        self.groups = nn.ModuleList()
        last, start = max(sum(depths) - 1, 1), 0
        for depth in depths:
            blocks = []
            for i in range(depth):
                attention = WindowAttention(dim, heads, window, shift=window // 2 if i % 2 else 0)
                feed_forward = self._feed_forward(start + i, dim, int(dim * expansion))
                blocks.append(SwinBlock(attention, feed_forward, drop_path * (start + i) / last))
            self.groups.append(SwinGroup(dim, blocks))
            start += depth
        self.norm_last = nn.LayerNorm(dim)
        self.conv_body = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv_last = nn.Conv2d(dim, 3, 3, padding=1)
        # mean of DIV2K's training images, as published
        mean_133 = torch.tensor([0.4488, 0.4371, 0.4040])[:, None, None]
        self.register_buffer("mean_133", mean_133, persistent=False)
        self.apply(_initialise)
        with torch.no_grad():
            self.conv_last.weight *= 0.1  # start near the identity, as MoCE-IR here

    def _feed_forward(self, index: int, dim: int, hidden: int) -> nn.Module:
        """Return the feed-forward of a block, counted from 0 over all groups."""
        return FeedForward(dim, hidden)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Restore images in 0..1 of any size; the result has the same shape and isn't clipped."""
        return self.forward_with_aux(image_B3HW)[0]

    def forward_with_aux(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored images, and 0: nothing is routed."""
        return self._restore(image_B3HW, MixtureContext()), image_B3HW.new_zeros(())

    def _restore(
        self, image_B3HW: Tensor, context: MixtureContext, embedding_BC11: Tensor | None = None
    ) -> Tensor:
        """Restore images, with an embedding added to the shallow features of each."""
        height, width = image_B3HW.shape[2:]
        padded_B3HW = pad_to_multiple(image_B3HW, self.window)
        # shallow features of the image, centred on 0
        x_B3HW = (padded_B3HW - self.mean_133) * self.value_range
        shallow_BCHW = self.conv_first(x_B3HW.contiguous(memory_format=torch.channels_last))
        if embedding_BC11 is not None:
            shallow_BCHW = shallow_BCHW + embedding_BC11
        # deep features, added to the shallow ones
        x_BHWC = self.norm_first(shallow_BCHW.permute(0, 2, 3, 1))
        for group in self.groups:
            x_BHWC = group(x_BHWC, context)
        deep_BCHW = self.norm_last(x_BHWC).permute(0, 3, 1, 2)
        deep_BCHW = self.conv_body(deep_BCHW) + shallow_BCHW
        restored_B3HW = self._reconstruct(deep_BCHW, x_B3HW) / self.value_range + self.mean_133
        scale = restored_B3HW.shape[2] // padded_B3HW.shape[2]
        return restored_B3HW[..., : height * scale, : width * scale]

    def _reconstruct(self, deep_BCHW: Tensor, x_B3HW: Tensor) -> Tensor:
        return x_B3HW + self.conv_last(deep_BCHW)


class UpscalingSwinIR(SwinIR):
    """The published networks for classical super-resolution: (B, 3, H, W) -> (B, 3, s H, s W).

    Args:
        scale: s; 2, 3 or 4.
        window: side of the windows in pixels.
        settings: see `SwinIR`.
    """

    def __init__(self, scale: int = 2, window: int = 8, **settings: Any) -> None:
        super().__init__(window=window, **settings)
        if scale not in (2, 3, 4):
            raise ValueError(f"scale is 2, 3 or 4, not {scale}")
        narrow = nn.Conv2d(self.conv_last.in_channels, 64, 3, padding=1)
        self.narrow = nn.Sequential(narrow, nn.LeakyReLU(0.01))
        self.enlarge = nn.Sequential()
        for step in [3] if scale == 3 else [2] * (scale // 2):
            self.enlarge.extend([nn.Conv2d(64, 64 * step**2, 3, padding=1), nn.PixelShuffle(step)])
        self.conv_last = nn.Conv2d(64, 3, 3, padding=1)

    def _reconstruct(self, deep_BCHW: Tensor, x_B3HW: Tensor) -> Tensor:
        return self.conv_last(self.enlarge(self.narrow(deep_BCHW)))


class SwinGroup(nn.Module):
    """Blocks, then a convolution, added to the input."""

    def __init__(self, dim: int, blocks: Sequence[SwinBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x_BHWC: Tensor, context: MixtureContext) -> Tensor:
        y_BHWC = x_BHWC
        for block in self.blocks:
            y_BHWC = block(y_BHWC, context)
        return x_BHWC + self.conv(y_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class SwinBlock(nn.Module):
    """Window attention, then a feed-forward, each normalised first and added to its input."""

    def __init__(
        self, attention: WindowAttention, feed_forward: nn.Module, drop_path: float
    ) -> None:
        super().__init__()
        dim = attention.out.in_features
        self.norm1 = nn.LayerNorm(dim)
        self.attention = attention
        self.norm2 = nn.LayerNorm(dim)
        self.feed_forward = feed_forward
        self.drop_path = drop_path

    def forward(self, x_BHWC: Tensor, context: MixtureContext) -> Tensor:
        x_BHWC = x_BHWC + self._drop(self.attention(self.norm1(x_BHWC)))
        return x_BHWC + self._drop(self.feed_forward(self.norm2(x_BHWC), context))

    def _drop(self, x_BHWC: Tensor) -> Tensor:
        """Drop the branch of random images in training, and scale the others: stochastic depth."""
        if not self.training or not self.drop_path:
            return x_BHWC
        kept = 1 - self.drop_path
        draw = partial(_draw_kept, x_BHWC, kept)
        return x_BHWC * (share_of_step(draw, len(x_BHWC)) / kept)


def _draw_kept(like_BHWC: Tensor, share: float, count: int) -> Tensor:
    """Return 1 for the share of so many images, and 0 for the others."""
    return like_BHWC.new_empty(count, 1, 1, 1).bernoulli_(share)


class FeedForward(nn.Module):
    """Two linear layers around a GELU, on every pixel by itself."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, hidden)
        self.out = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, context: MixtureContext | None = None) -> Tensor:
        return self.out(F.gelu(self.expand(x)))


class WindowAttention(nn.Module):
    """Multi-head attention among the pixels of a window, with a learnt bias for each offset.

    Shifted windows are cut from the map rolled by `shift`. Those of the last row and column then
    hold pixels from opposite edges, which must not see each other. That gives four kinds of windows
    (inner, last column, last row, corner), each with one small mask. So nothing depends on the
    map's size, and no mask of all windows is needed.
    """

    offset_NN: Tensor
    apart_4NN: Tensor

    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.bias, std=0.02)
        # row of the bias for each pair of the window's N pixels, by their offset
        axis = torch.arange(window, device="cpu")
        y_N, x_N = axis.repeat_interleave(window), axis.repeat(window)
        dy_NN, dx_NN = (a_N[:, None] - a_N + window - 1 for a_N in (y_N, x_N))
        offset_NN = dy_NN * (2 * window - 1) + dx_NN
        # pairs from opposite edges of the map, for the four kinds of windows
        far_y_N, far_x_N = y_N >= window - shift, x_N >= window - shift
        across_y_NN, across_x_NN = (a_N[:, None] != a_N for a_N in (far_y_N, far_x_N))
        none_NN = torch.zeros_like(across_y_NN)
        apart_4NN = torch.stack([none_NN, across_x_NN, across_y_NN, across_y_NN | across_x_NN])
        self.register_buffer("offset_NN", offset_NN, persistent=False)
        self.register_buffer("apart_4NN", apart_4NN, persistent=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        s, w = self.shift, self.window
        if s:
            x_BHWC = x_BHWC.roll((-s, -s), (1, 2))
        # n x m windows of N = w w pixels
        qkv_BnmNC = self.qkv(to_windows(x_BHWC, w).flatten(3, 4))
        bias_hNN = self.bias[self.offset_NN].permute(2, 0, 1)
        attend = self._attend_shifted if s else self._attend
        y_BnmNC = self.out(attend(qkv_BnmNC, bias_hNN))
        y_BHWC = from_windows(y_BnmNC.unflatten(3, (w, w)))
        return y_BHWC.roll((s, s), (1, 2)) if s else y_BHWC

    def _attend_shifted(self, qkv_BnmNC: Tensor, bias_hNN: Tensor) -> Tensor:
        """Attend in shifted windows: the last row and column get masks of their own."""
        rows = []
        for i, row in enumerate(qkv_BnmNC.tensor_split([-1], dim=1)):
            parts = []
            for j, part in enumerate(row.tensor_split([-1], dim=2)):
                masked_hNN = bias_hNN.masked_fill(self.apart_4NN[2 * i + j], -torch.inf)
                parts.append(self._attend(part, masked_hNN))
            rows.append(torch.cat(parts, dim=2))
        return torch.cat(rows, dim=1)

    def _attend(self, qkv_BnmNC: Tensor, bias_hNN: Tensor) -> Tensor:
        """Attend in windows that share a bias: queries, keys and values side by side -> values."""
        # to one batch of windows: (q k v, windows, heads, N, channels of a head)
        qkv_wNC = qkv_BnmNC.flatten(0, 2)
        q, k, v = qkv_wNC.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out_whNd = F.scaled_dot_product_attention(q, k, v, attn_mask=bias_hNN[None].to(q.dtype))
        return out_whNd.transpose(1, 2).flatten(2).unflatten(0, qkv_BnmNC.shape[:3])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
