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
    "SelfAttention",
    "TransformerBlock",
    "Upsample",
    "by_strips",
    "depthwise",
    "macs_per_pixel",
    "pad_to_multiple",
]

_STRIP = 2**19
"""Elements of the widest map that a strip has: with what is computed on the way, a few MB."""


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


def by_strips(
    compute: Callable[..., Tensor],
    *maps_BCHW: Tensor,
    reach: int = 0,
    multiple: int = 1,
    keep: Callable[[Tensor], Tensor] = lambda strip_BChW: strip_BChW,
) -> Tensor:
    """What `compute` makes of maps, strip by strip of their rows; all at once on a GPU, or where gradients are wanted.

    The feature maps of a large picture fit no cache, and each operation takes fresh memory for its own: a CPU waits for
    memory most of the time. What is made of a strip stays in the cache from the first operation to the last.

    Args:
        compute: (B, C, h, W) of each map -> (B, C', h, W).
        maps_BCHW: of one batch and size.
        reach: rows above and below on which a row of the result depends.
        multiple: strips begin at multiples of it.
        keep: what is kept of a strip of the result, each row being in one strip; all of it by default.
    """
    if maps_BCHW[0].is_cuda or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return keep(compute(*maps_BCHW))
    batch, _, height, width = maps_BCHW[0].shape
    rows = (
        _STRIP // (batch * width * max(map_.shape[1] for map_ in maps_BCHW)) // multiple * multiple
    )
    rows = max(rows, multiple, 4 * reach)
    if rows >= height:
        return keep(compute(*maps_BCHW))
    whole_BCHW: Tensor | None = None
    for top in range(0, height, rows):
        start, end = max(top - reach, 0), min(top + rows, height)
        strip_BChW = compute(*(map_[:, :, start : end + reach] for map_ in maps_BCHW))
        strip_BChW = keep(strip_BChW[:, :, top - start : end - start])
        if whole_BCHW is None:
            shape = (batch, strip_BChW.shape[1], height, width)
            whole_BCHW = torch.empty(
                shape, dtype=strip_BChW.dtype, memory_format=torch.channels_last
            )
        whole_BCHW[:, :, top:end] = strip_BChW
    assert whole_BCHW is not None
    return whole_BCHW


class ChannelAttention(nn.Module):
    """softmax(temperature q k^T) v, whose rows are the channels of a head, then the 1x1 convolution `out`.

    q and k count as L2-normalised along the pixels. It takes two looks at a picture: one sums up the products of the
    channels of q and k, the squares of their norms among them, the other mixes the channels of v. `out` is multiplied
    into the attention, not applied to the pixels.
    """

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.out = nn.Conv2d(dim, dim, 1, bias=bias)

    def look(
        self, project: Callable[..., Tensor], *maps_BCHW: Tensor, reach: int
    ) -> tuple[Tensor, Tensor]:
        """The first look.

        Args:
            project: (B, C, h, W) of each map -> (B, 3C, h, W): queries, keys and values.
            maps_BCHW: what it wants.
            reach: rows up and down that it looks at.

        Returns:
            The values, and the attention that `mix` wants.
        """
        products: list[Tensor] = []
        squares: list[Tensor] = []

        def keep(qkv_BDhW: Tensor) -> Tensor:
            with torch.autocast(
                qkv_BDhW.device.type, enabled=False
            ):  # sums over a picture overflow half precision
                qkv_BnD = qkv_BDhW.permute(0, 2, 3, 1).flatten(1, 2)
                q_BnC, k_BnC, _ = qkv_BnD.float().chunk(3, dim=2)
                # of all heads at once: one head's few channels fill no vector register
                products.append(q_BnC.mT @ k_BnC)
                squares.append(torch.stack([q_BnC.square().sum(1), k_BnC.square().sum(1)]))
            return qkv_BDhW.chunk(3, dim=1)[2]

        v_BCHW = by_strips(project, *maps_BCHW, reach=reach, keep=keep)
        return v_BCHW, self._attention(torch.stack(products).sum(0), torch.stack(squares).sum(0))

    def _attention(self, product_BCC: Tensor, squares_2BC: Tensor) -> Tensor:
        heads = (len(self.temperature), -1)
        # clamped inside the root, whose gradient at 0 would be infinite
        q_Bhc, k_Bhc = squares_2BC.clamp_min(1e-24).sqrt().unflatten(2, heads)
        product_Bhcc = (
            product_BCC.unflatten(2, heads)
            .unflatten(1, heads)
            .diagonal(dim1=1, dim2=3)
            .permute(0, 3, 1, 2)
        )
        cosine_Bhcc = product_Bhcc / q_Bhc[..., None] / k_Bhc[..., None, :]
        attention_Bhcc = (cosine_Bhcc * self.temperature).softmax(-1)
        weight_ohc = self.out.weight.flatten(1).unflatten(1, heads)
        return torch.einsum(
            "ohc,bhcd->bohd", weight_ohc, attention_Bhcc.to(weight_ohc.dtype)
        ).flatten(2)

    def mix(self, v_BCHW: Tensor, attention_BoC: Tensor) -> Tensor:
        """The second look: what the values become."""
        v_BnC, attention_BCo = (
            v_BCHW.permute(0, 2, 3, 1).flatten(1, 2),
            attention_BoC.mT.to(v_BCHW.dtype),
        )
        if self.out.bias is None:
            y_Bno = v_BnC @ attention_BCo
        else:
            y_Bno = torch.baddbmm(self.out.bias, v_BnC, attention_BCo)
        return y_Bno.unflatten(1, v_BCHW.shape[2:]).permute(0, 3, 1, 2)


class SelfAttention(ChannelAttention):
    """Queries, keys and values from one map (Restormer's MDTA; the document's T-SA)."""

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__(dim, heads, bias)
        self.qkv = nn.Sequential(nn.Conv2d(dim, 3 * dim, 1, bias=bias), depthwise(3 * dim, 3, bias))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        v_BCHW, attention_BCC = self.look(self.qkv, x_BCHW, reach=1)
        return self.mix(v_BCHW, attention_BCC)


class GatedFeedForward(nn.Module):
    """Gated depthwise feed-forward (Restormer's GDFN): gelu(a) * b of two expanded halves."""

    def __init__(self, dim: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.expand = nn.Sequential(
            nn.Conv2d(dim, 2 * hidden, 1, bias=bias), depthwise(2 * hidden, 3, bias)
        )
        self.out = nn.Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        a_BCHW, b_BCHW = self.expand(x_BCHW).chunk(2, dim=1)
        # a GELU of every second run of channels takes ten times as long as one of all, copying included
        return self.out(F.gelu(a_BCHW.contiguous(memory_format=torch.channels_last)) * b_BCHW)


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
        self.attention = SelfAttention(dim, heads, bias)
        self.norm2 = norm(dim)
        self.feed_forward = GatedFeedForward(dim, expansion, bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        v_BCHW, attention_BCC = self.attention.look(
            lambda x: self.attention.qkv(self.norm1(x)), x_BCHW, reach=1
        )

        def finish(x_BChW: Tensor, v_BChW: Tensor) -> Tensor:
            x_BChW = x_BChW + self.attention.mix(v_BChW, attention_BCC)
            return x_BChW + self.feed_forward(self.norm2(x_BChW))

        return by_strips(finish, x_BCHW, v_BCHW, reach=1)


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
    convolutions = (
        p.numel() for part in parts if isinstance(part, nn.Conv2d) for p in part.parameters()
    )
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
            x_BCHW = x_BCHW.index_select(
                dim, torch.minimum(index, period - index) if size > 1 else index
            )
    return x_BCHW
