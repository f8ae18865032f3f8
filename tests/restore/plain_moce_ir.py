"""MoCE-IR written down plainly, formula by formula: what the fast form must equal, and what its speed is held against.

Takes the weights of our module by their names and nothing else of it. Images stay (B, C, H, W) in memory, norms are
means and variances over the channels, attention normalises its queries and keys, and weights its values, before the
1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from curate.restore.models.complexity_experts import balance_loss

__all__ = ["plain_moce_ir"]


def plain_moce_ir(
    model: Any, image_B3HW: Tensor, route: int | Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The restored images, whose sides are multiples of 64, and the mean balance loss, drawing noise in training."""
    x = _conv(model.patch_embed, image_B3HW)
    skips = []
    for blocks, down in zip(model.encoder, model.down, strict=True):
        for block in blocks:
            x = _transformer(block, x)
        skips.append(x)
        x = F.pixel_unshuffle(_conv(down[0], x), 2)
    for block in model.latent:
        x = _transformer(block, x)
    edges = F.conv2d(x, model.frequency.high_pass_C133, padding=1, groups=x.shape[1])
    frequency = F.gelu(edges).mean((2, 3))
    frequency = F.linear(frequency, model.frequency.mlp[0].weight, model.frequency.mlp[0].bias)
    frequency = F.linear(
        F.gelu(frequency), model.frequency.mlp[2].weight, model.frequency.mlp[2].bias
    )
    losses = []
    for level in (2, 1, 0):
        x = torch.cat([F.pixel_shuffle(_conv(model.up[level][0], x), 2), skips[level]], dim=1)
        x = _conv(model.fuse[level], x)
        for block in model.decoder[level]:
            x, loss = _decoder(block, x, frequency, route, model.training)
            losses.append(loss)
    for block in model.refinement:
        x = _transformer(block, x)
    return _conv(model.output, x) + image_B3HW, torch.stack(losses).mean()


def _transformer(block: Any, x: Tensor) -> Tensor:
    x = x + _self_attention(block.attention, _norm(block.norm1, x))
    return x + _feed_forward(block.feed_forward, _norm(block.norm2, x))


def _decoder(
    block: Any, x: Tensor, frequency: Tensor, route: int | Sequence[int], training: bool
) -> tuple[Tensor, Tensor]:
    normed = _norm(block.norm1, x)
    asked, routed = _conv(block.to_shared, normed), _conv(block.to_routed, normed)
    shared = _self_attention(block.shared, asked)
    mixture = block.routed
    logits = F.linear(routed.mean((2, 3)), mixture.from_image.weight)
    logits = logits + F.linear(frequency, mixture.from_frequency.weight)
    noisy, loss = logits, logits.new_zeros(())
    if training:
        noisy = logits + torch.randn_like(logits) / len(mixture.experts)
        loss = balance_loss(logits, noisy, mixture.complexity_n, 1 / len(mixture.experts))
    choice = [route] * len(x) if isinstance(route, int) else list(route)
    gate = noisy.softmax(1)[torch.arange(len(x)), choice]
    experts = [
        _expert(mixture.experts[k], routed[i : i + 1], shared[i : i + 1])
        for i, k in enumerate(choice)
    ]
    routed = _conv(mixture.out, gate[:, None, None, None] * torch.cat(experts))
    q = _conv(block.cross.q[1], _conv(block.cross.q[0], routed))
    k, v = _conv(block.cross.kv[1], _conv(block.cross.kv[0], shared)).chunk(2, dim=1)
    x = x + _conv(block.cross.out, _attend(q, k, v, block.cross.temperature))
    return x + _feed_forward(block.feed_forward, _norm(block.norm2, x)), loss


def _expert(expert: Any, x: Tensor, shared: Tensor) -> Tensor:
    reduced = _conv(expert.reduce, x)
    mixer, tile, (height, width) = expert.mix, expert.mix.tile, x.shape[2:]
    q = _conv(mixer.q[1], _conv(mixer.q[0], reduced))
    k, v = _conv(mixer.kv[1], _conv(mixer.kv[0], reduced)).chunk(2, dim=1)

    def tiles(x: Tensor) -> Tensor:
        x = F.pad(x, (0, -width % tile, 0, -height % tile))
        return x.reshape(
            *x.shape[:2], x.shape[2] // tile, tile, x.shape[3] // tile, tile
        ).transpose(3, 4)

    convolved = torch.fft.irfft2(
        torch.fft.rfft2(tiles(q)) * torch.fft.rfft2(tiles(k)), s=(tile, tile)
    )
    convolved = convolved.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]
    mixed = _conv(mixer.out, _norm(mixer.norm, convolved) * v)
    return x + _conv(expert.widen, mixed * F.silu(_conv(expert.reduce_shared, shared)))


def _norm(norm: Any, x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 1)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return ((x - mean) / torch.sqrt(variance + 1e-5) * norm.weight + norm.bias).permute(0, 3, 1, 2)


def _self_attention(attention: Any, x: Tensor) -> Tensor:
    q, k, v = _conv(attention.qkv[1], _conv(attention.qkv[0], x)).chunk(3, dim=1)
    return _conv(attention.out, _attend(q, k, v, attention.temperature))


def _attend(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    batch, channels, height, width = v.shape
    heads = len(temperature)
    q, k, v = (x.reshape(batch, heads, channels // heads, height * width) for x in (q, k, v))
    weights = (
        F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * temperature
    ).softmax(-1)
    return (weights @ v).reshape(batch, channels, height, width)


def _feed_forward(feed_forward: Any, x: Tensor) -> Tensor:
    a, b = _conv(feed_forward.expand[1], _conv(feed_forward.expand[0], x)).chunk(2, dim=1)
    return _conv(feed_forward.out, F.gelu(a) * b)


def _conv(conv: Any, x: Tensor) -> Tensor:
    return F.conv2d(
        x.contiguous(), conv.weight, conv.bias, padding=conv.padding, groups=conv.groups
    )
