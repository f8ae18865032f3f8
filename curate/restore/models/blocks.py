"""Building blocks that networks share, most of them from Restormer (Zamir et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_STRIP = 2**19
"""Elements of a strip of the widest map: a few MB with its intermediate results."""


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


def pointwise_depthwise(dim: int, out: int, kernel: int, *bias: bool) -> nn.Sequential:
    """Return a 1x1 convolution, then one of each channel by itself, with or without a bias each."""
    pointwise = nn.Conv2d(dim, out, 1, bias=bias[0])
    depthwise = nn.Conv2d(out, out, kernel, padding=kernel // 2, groups=out, bias=bias[1])
    return nn.Sequential(pointwise, depthwise)


def map_strips(
    function: Callable[..., Tensor],
    *maps_BCHW: Tensor,
    halo: int = 0,
    multiple: int = 1,
    finish: Callable[[Tensor], Tensor] = lambda strip_BChW: strip_BChW,
) -> Tensor:
    """Apply a function to strips of rows; to whole maps on a GPU or where gradients are wanted.

    The feature maps of a large picture exceed the cache, and each operation allocates its result:
    a CPU waits for memory most of the time. A strip stays in the cache throughout.

    Args:
        function: (B, C, h, W) of each map -> (B, C', h, W).
        maps_BCHW: maps of one batch and size.
        halo: rows above and below on which a row of the result depends.
        multiple: strips begin at multiples of it.
        finish: applied to each strip of the result, after its halo is cut off.
    """
    first_BCHW = maps_BCHW[0]
    if first_BCHW.is_cuda or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return finish(function(*maps_BCHW))
    batch, _, height, width = first_BCHW.shape
    channels = max(map_.shape[1] for map_ in maps_BCHW)
    rows = max(_STRIP // (batch * width * channels) // multiple * multiple, multiple, 4 * halo)
    if rows >= height:
        return finish(function(*maps_BCHW))
    out_BCHW: Tensor | None = None
    for top in range(0, height, rows):
        # compute rows top..end and the halos around them, then cut the halos off
        start, end = max(top - halo, 0), min(top + rows, height)
        strip_BChW = function(*(map_[:, :, start : end + halo] for map_ in maps_BCHW))
        strip_BChW = finish(strip_BChW[:, :, top - start : end - start])
        if out_BCHW is None:
            shape = (batch, strip_BChW.shape[1], height, width)
            dtype, device = strip_BChW.dtype, strip_BChW.device
            out_BCHW = torch.empty(
                shape, dtype=dtype, device=device, memory_format=torch.channels_last
            )
        out_BCHW[:, :, top:end] = strip_BChW
    assert out_BCHW is not None
    return out_BCHW


def share_of_step(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Draw for all images of a step, and return the draws of this process's part.

    Processes seed their generators alike, so that several draw as one does.

    Args:
        draw: function from a number of images to what is drawn for them, along the first axis.
        count: images of this process.
    """
    parts, part = 1, 0
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts, part = torch.distributed.get_world_size(), torch.distributed.get_rank()
    return draw(parts * count)[part * count : (part + 1) * count]


class ChannelAttention(nn.Module):
    """softmax(temperature q k^T) v, whose rows are the channels of a head, then the 1x1 `out`.

    q and k are L2-normalised along the pixels. This takes two passes over a picture: `attend` sums
    the products of the channels of q and k, and the squares for their norms; `mix` mixes the
    channels of v. `out` is multiplied into the attention matrix, not applied to the pixels.
    """

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.out = nn.Conv2d(dim, dim, 1, bias=bias)

    def attend(
        self, project: Callable[..., Tensor], *maps_BCHW: Tensor, halo: int
    ) -> tuple[Tensor, Tensor]:
        """Return values (B, C, H, W) and attention with `out` (B, C, C): the first pass.

        Args:
            project: (B, C, h, W) of each map -> (B, 3C, h, W): queries, keys and values.
            maps_BCHW: inputs of `project`.
            halo: see `map_strips`.
        """
        products: list[Tensor] = []
        squares: list[Tensor] = []

        def sum_products(qkv_BDhW: Tensor) -> Tensor:
            # outside autocast: sums over a picture overflow half precision
            with torch.autocast(qkv_BDhW.device.type, enabled=False):
                qkv_BnD = qkv_BDhW.permute(0, 2, 3, 1).flatten(1, 2)
                q_BnC, k_BnC, _ = qkv_BnD.float().chunk(3, dim=2)
                # all heads at once: one head's few channels fill no vector register
                products.append(q_BnC.mT @ k_BnC)
                squares.append(torch.stack([q_BnC.square().sum(1), k_BnC.square().sum(1)]))
            return qkv_BDhW.chunk(3, dim=1)[2]

        v_BCHW = map_strips(project, *maps_BCHW, halo=halo, finish=sum_products)
        return v_BCHW, self._attention(torch.stack(products).sum(0), torch.stack(squares).sum(0))

    def _attention(self, product_BCC: Tensor, squares_2BC: Tensor) -> Tensor:
        heads = (len(self.temperature), -1)
        # norms of queries and keys, clamped inside the root, whose gradient at 0 would be infinite
        q_Bhc, k_Bhc = squares_2BC.clamp_min(1e-24).sqrt().unflatten(2, heads)
        # each head's own block on the diagonal of the products of all heads
        product_Bhchc = product_BCC.unflatten(2, heads).unflatten(1, heads)
        product_Bhcc = product_Bhchc.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        cosine_Bhcc = product_Bhcc / q_Bhc[..., None] / k_Bhc[..., None, :]
        attention_Bhcc = (cosine_Bhcc * self.temperature).softmax(-1)
        # `out` (o, h c) times the attention of each head (c, d)
        out_ohc = self.out.weight.flatten(1).unflatten(1, heads)
        attention_Bhcc = attention_Bhcc.to(out_ohc.dtype)
        return torch.einsum("ohc,bhcd->bohd", out_ohc, attention_Bhcc).flatten(2)

    def mix(self, v_BCHW: Tensor, attention_BoC: Tensor) -> Tensor:
        """Mix the channels of the values: the second pass."""
        v_BnC = v_BCHW.permute(0, 2, 3, 1).flatten(1, 2)
        attention_BCo = attention_BoC.mT.to(v_BCHW.dtype)
        if self.out.bias is None:
            y_Bno = v_BnC @ attention_BCo
        else:
            y_Bno = torch.baddbmm(self.out.bias, v_BnC, attention_BCo)
        return y_Bno.unflatten(1, v_BCHW.shape[2:]).permute(0, 3, 1, 2)


class SelfAttention(ChannelAttention):
    """Queries, keys and values from one map (Restormer's MDTA; the document's T-SA)."""

    def __init__(self, dim: int, heads: int, bias: bool) -> None:
        super().__init__(dim, heads, bias)
        self.qkv = pointwise_depthwise(dim, 3 * dim, 3, bias, bias)


class GatedFeedForward(nn.Module):
    """Gated depthwise feed-forward (Restormer's GDFN): gelu(a) * b of two expanded halves."""

    def __init__(self, dim: int, expansion: float, bias: bool) -> None:
        super().__init__()
        self.activations = hidden = int(dim * expansion)
        self.expand = pointwise_depthwise(dim, 2 * hidden, 3, bias, bias)
        self.out = nn.Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        a_BCHW, b_BCHW = self.expand(x_BCHW).chunk(2, dim=1)
        # a GELU on strided memory takes ten times as long as a copy and its GELU
        return self.out(F.gelu(a_BCHW.contiguous(memory_format=torch.channels_last)) * b_BCHW)


class TransformerBlock(nn.Module):
    """Channel attention, then gated feed-forward, each normalised first and added to its input."""

    def __init__(
        self, dim: int, heads: int, expansion: float, bias: bool, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.attention = SelfAttention(dim, heads, bias)
        self.norm2 = norm(dim)
        self.feed_forward = GatedFeedForward(dim, expansion, bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        mdta = self.attention
        v_BCHW, attention_BCC = mdta.attend(lambda x: mdta.qkv(self.norm1(x)), x_BCHW, halo=1)

        def second_pass(x_BChW: Tensor, v_BChW: Tensor) -> Tensor:
            x_BChW = x_BChW + mdta.mix(v_BChW, attention_BCC)
            return x_BChW + self.feed_forward(self.norm2(x_BChW))

        return map_strips(second_pass, x_BCHW, v_BCHW, halo=1)


def transformer_stage(blocks: int, *settings: Any) -> nn.Sequential:
    """Return so many blocks in a row, each a `TransformerBlock(*settings)`."""
    return nn.Sequential(*(TransformerBlock(*settings) for _ in range(blocks)))


def downsample(dim: int) -> nn.Sequential:
    """Return layers to half the size and twice the channels: (B, C, H, W) -> (B, 2C, H/2, W/2)."""
    return nn.Sequential(nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


def upsample(dim: int) -> nn.Sequential:
    """Return layers to twice the size and half the channels: (B, C, H, W) -> (B, C/2, 2H, 2W)."""
    return nn.Sequential(nn.Conv2d(dim, 2 * dim, 3, padding=1, bias=False), nn.PixelShuffle(2))


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters as papers count them.

    Parameters that follow a moving average count, and so do fixed convolution filters in buffers.
    """
    saved = model.state_dict()
    fixed = [t for name, t in model.named_buffers() if name in saved and t.dim() == 4]
    return sum(tensor.numel() for tensor in (*model.parameters(), *fixed))


def macs_per_pixel(*modules: nn.Module) -> int:
    """Return the multiply-accumulates a pixel of convolutions with biases, and of activations.

    A module's attribute `activations` says how many of its channels go through an activation.
    """
    total = 0
    for part in (part for module in modules for part in module.modules()):
        if isinstance(part, nn.Conv2d):
            total += sum(parameter.numel() for parameter in part.parameters())
        total += vars(part).get("activations", 0)
    return total


def round_up(size: int, multiple: int) -> int:
    """Return the least multiple that is no less than the size."""
    # without negative numbers: ONNX rounds quotients towards zero
    return (size + multiple - 1) // multiple * multiple


def pad_to_multiple(x_BCHW: Tensor, multiple: int) -> Tensor:
    """Mirror right and bottom until both sides are multiples; a short side goes back and forth."""
    for dim in (2, 3):
        size = x_BCHW.shape[dim]
        target = round_up(size, multiple)
        if target > size:
            # positions 0, 1, ..., size - 1, size - 2, ..., 1, 0, 1, ...
            period = max(2 * (size - 1), 1)
            index = torch.arange(target, device=x_BCHW.device) % period
            if size > 1:
                index = torch.minimum(index, period - index)
            x_BCHW = x_BCHW.index_select(dim, index)
    return x_BCHW


def to_windows(x_BHWC: Tensor, side: int) -> Tensor:
    """Cut maps into windows, as a view: (B, n s, m s, C) -> (B, n, m, s, s, C)."""
    return x_BHWC.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)


def from_windows(windows_BnmssC: Tensor) -> Tensor:
    """Join windows to maps again: (B, n, m, s, s, C) -> (B, n s, m s, C)."""
    return windows_BnmssC.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def squared_variation(x_n: Tensor) -> Tensor:
    """Return (std / mean)^2, V-MoE's measure of how unevenly experts are used."""
    return (x_n.std() / (x_n.mean() + 1e-8)) ** 2
