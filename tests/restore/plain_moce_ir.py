"""MoCE-IR written plainly, formula by formula: the reference for the fast form's results and speed.

It uses nothing of our module but the weights, by name. Images stay (B, C, H, W) in memory. Norms
are means and variances over the channels. Attention normalises its queries and keys, and weights
its values, before the 1x1 convolution.
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
    """Return the restored images and the mean balance loss; training draws noise.

    Args:
        model: our network.
        image_B3HW: images whose sides are multiples of 64.
        route: expert of all images, or of each.
    """
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
    first, _, second = model.frequency.mlp
    frequency = F.linear(frequency, first.weight, first.bias)
    frequency = F.linear(F.gelu(frequency), second.weight, second.bias)
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
    shared = _self_attention(block.shared, _conv(block.to_shared, normed))
    # the routed expert of each image
    mixture, routed = block.routed, _conv(block.to_routed, normed)
    logits = F.linear(routed.mean((2, 3)), mixture.from_image.weight)
    logits = logits + F.linear(frequency, mixture.from_frequency.weight)
    noisy, loss = logits, logits.new_zeros(())
    if training:
        noisy = logits + torch.randn_like(logits) / len(mixture.experts)
        loss = balance_loss(logits, noisy, mixture.complexity_n, 1 / len(mixture.experts))
    choice = [route] * len(x) if isinstance(route, int) else list(route)
    gate = noisy.softmax(1)[torch.arange(len(x)), choice]
    done = []
    for i, picked in enumerate(choice):
        done.append(_expert(mixture.experts[picked], routed[i : i + 1], shared[i : i + 1]))
    routed = _conv(mixture.out, gate[:, None, None, None] * torch.cat(done))
    # attention from the routed to the shared expert
    q = _two_convs(block.cross.q, routed)
    k, v = _two_convs(block.cross.kv, shared).chunk(2, dim=1)
    x = x + _conv(block.cross.out, _attend(q, k, v, block.cross.temperature))
    return x + _feed_forward(block.feed_forward, _norm(block.norm2, x)), loss


def _expert(expert: Any, x: Tensor, shared: Tensor) -> Tensor:
    reduced = _conv(expert.reduce, x)
    mixer, tile, (height, width) = expert.mix, expert.mix.tile, x.shape[2:]
    q = _two_convs(mixer.q, reduced)
    k, v = _two_convs(mixer.kv, reduced).chunk(2, dim=1)

    def tiles(x: Tensor) -> Tensor:
        x = F.pad(x, (0, -width % tile, 0, -height % tile))
        return x.unflatten(3, (-1, tile)).unflatten(2, (-1, tile)).transpose(3, 4)

    # circular convolution inside tiles
    product = torch.fft.rfft2(tiles(q)) * torch.fft.rfft2(tiles(k))
    convolved = torch.fft.irfft2(product, s=(tile, tile))
    convolved = convolved.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]
    mixed = _conv(mixer.out, _norm(mixer.norm, convolved) * v)
    return x + _conv(expert.widen, mixed * F.silu(_conv(expert.reduce_shared, shared)))


def _norm(norm: Any, x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 1)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return ((x - mean) / torch.sqrt(variance + 1e-5) * norm.weight + norm.bias).permute(0, 3, 1, 2)


def _self_attention(attention: Any, x: Tensor) -> Tensor:
    q, k, v = _two_convs(attention.qkv, x).chunk(3, dim=1)
    return _conv(attention.out, _attend(q, k, v, attention.temperature))


def _attend(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    batch, channels, height, width = v.shape
    heads = len(temperature)
    q, k, v = (x.reshape(batch, heads, channels // heads, height * width) for x in (q, k, v))
    cosines = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
    return ((cosines * temperature).softmax(-1) @ v).reshape(batch, channels, height, width)


def _feed_forward(feed_forward: Any, x: Tensor) -> Tensor:
    a, b = _two_convs(feed_forward.expand, x).chunk(2, dim=1)
    return _conv(feed_forward.out, F.gelu(a) * b)


def _two_convs(layers: Any, x: Tensor) -> Tensor:
    return _conv(layers[1], _conv(layers[0], x))


def _conv(conv: Any, x: Tensor) -> Tensor:
    x = x.contiguous()
    return F.conv2d(x, conv.weight, conv.bias, padding=conv.padding, groups=conv.groups)
