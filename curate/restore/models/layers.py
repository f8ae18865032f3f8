"""What U-shaped restoration transformers share: channel attention and gated feed-forward (Restormer, 2022)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "ChannelAttention",
    "Downsample",
    "GatedFeedForward",
    "LayerNorm",
    "TransformerBlock",
    "Upsample",
    "attend_channels",
    "depthwise",
    "macs_per_pixel",
    "pad_to_multiple",
]


class LayerNorm(nn.Module):
    """Layer normalisation of every pixel over its channels; affine, biased variance, eps 1e-5."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # a channels-last tensor is already (B, H, W, C) in memory: both permutes are free
        x_BHWC = F.layer_norm(x_BCHW.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return x_BHWC.permute(0, 3, 1, 2)


def depthwise(dim: int, kernel: int, bias: bool) -> nn.Conv2d:
    """A convolution of each channel by itself, size kept."""
    return nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=bias)


def attend_channels(q_BCHW: Tensor, k_BCHW: Tensor, v_BCHW: Tensor, temperature_h11: Tensor, out: nn.Conv2d) -> Tensor:
    """Attention between the channels of each head, softmax(temperature q k^T) v, then the 1x1 convolution `out`.

    q and k count as L2-normalised along the pixels. The norms divide the small (c, c) product rather than the feature
    maps, and `out` is multiplied into the attention, so that the pixels are read once for q k^T and once for v.
    """
    height, width = q_BCHW.shape[2:]
    heads = temperature_h11.shape[0]
    q_Bhcn, k_Bhcn = (x.unflatten(1, (heads, -1)).flatten(3).float() for x in (q_BCHW, k_BCHW))
    with torch.autocast(q_BCHW.device.type, enabled=False):  # sums over a whole picture overflow half precision
        product_Bhcc = q_Bhcn @ k_Bhcn.mT
        # clamped inside the root, whose gradient at 0 would be infinite
        q_norm_Bhc1, k_norm_Bhc1 = (x.square().sum(-1, keepdim=True).clamp_min(1e-24).sqrt() for x in (q_Bhcn, k_Bhcn))
        attention_Bhcc = (product_Bhcc / q_norm_Bhc1 / k_norm_Bhc1.mT * temperature_h11).softmax(-1)

    weight_ohc = out.weight.flatten(1).unflatten(1, (heads, -1))
    mix_BoC = torch.einsum("ohc,bhcd->bohd", weight_ohc, attention_Bhcc.to(weight_ohc.dtype)).flatten(2)
    v_BnC = v_BCHW.permute(0, 2, 3, 1).flatten(1, 2)
    if out.bias is None:
        y_Bno = v_BnC @ mix_BoC.mT.to(v_BnC.dtype)
    else:
        y_Bno = torch.baddbmm(out.bias, v_BnC, mix_BoC.mT.to(v_BnC.dtype))
    return y_Bno.unflatten(1, (height, width)).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Multi-head attention between channels (Restormer's MDTA; the document's T-SA)."""

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Sequential(nn.Conv2d(dim, 3 * dim, 1, bias=bias), depthwise(3 * dim, 3, bias))
        self.out = nn.Conv2d(dim, dim, 1, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        q_BCHW, k_BCHW, v_BCHW = self.qkv(x_BCHW).chunk(3, dim=1)
        return attend_channels(q_BCHW, k_BCHW, v_BCHW, self.temperature, self.out)


class GatedFeedForward(nn.Module):
    """Gated depthwise feed-forward (Restormer's GDFN): gelu(a) * b of two expanded halves."""

    def __init__(self, dim: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.expand = nn.Sequential(nn.Conv2d(dim, 2 * hidden, 1, bias=bias), depthwise(2 * hidden, 3, bias))
        self.out = nn.Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        a, b = self.expand(x_BCHW).chunk(2, dim=1)
        return self.out(F.gelu(a) * b)


class TransformerBlock(nn.Module):
    """Channel attention, then gated feed-forward, each normalised first and added to its input."""

    def __init__(
        self,
        dim: int,
        heads: int,
        expansion: float,
        bias: bool = True,
        norm: Callable[[int], nn.Module] = LayerNorm,
    ) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.attention = ChannelAttention(dim, heads, bias)
        self.norm2 = norm(dim)
        self.feed_forward = GatedFeedForward(dim, expansion, bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = x_BCHW + self.attention(self.norm1(x_BCHW))
        return x_BCHW + self.feed_forward(self.norm2(x_BCHW))


class Downsample(nn.Sequential):
    """Half the size, twice the channels: (B, C, H, W) -> (B, 2C, H/2, W/2)."""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


class Upsample(nn.Sequential):
    """Twice the size, half the channels: (B, C, H, W) -> (B, C/2, 2H, 2W)."""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Conv2d(dim, 2 * dim, 3, padding=1, bias=False), nn.PixelShuffle(2))


def macs_per_pixel(*modules: nn.Module) -> int:
    """Multiply-accumulates a pixel of all convolutions, with their biases, and of the feed-forwards' activations."""
    parts = [part for module in modules for part in module.modules()]
    convolutions = (p.numel() for part in parts if isinstance(part, nn.Conv2d) for p in part.parameters())
    activations = (part.out.in_channels for part in parts if isinstance(part, GatedFeedForward))
    return sum(convolutions) + sum(activations)


def pad_to_multiple(x_BCHW: Tensor, multiple: int) -> Tensor:
    """Mirror the right and bottom edges until both sides are multiples; a short side is mirrored to and fro."""
    for dim in (2, 3):
        size = x_BCHW.shape[dim]
        target = -(-size // multiple) * multiple
        if target > size:
            period = max(2 * (size - 1), 1)
            index = torch.arange(target, device=x_BCHW.device) % period
            x_BCHW = x_BCHW.index_select(dim, torch.minimum(index, period - index) if size > 1 else index)
    return x_BCHW
