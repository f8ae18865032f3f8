"""MoCE-IR and Restormer as plain functions of weights with their authors' names.

The reference for converted weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
Shapes = Iterator[tuple[str, tuple[int, ...]]]

DIM, LEVELS, HEADS, EXPERTS = 8, 3, (1, 2, 4), 4
"""Sizes of the small networks here: one block at each level and in the refinement."""


def draw(shapes: Shapes) -> State:
    """Return random weights with which every part changes the result."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes:
        fan_in = max(int(torch.tensor(shape[1:]).prod()), 1)
        state[name] = torch.randn(shape, generator=generator) / fan_in**0.5
        if len(shape) == 1 or "temperature" in name:
            state[name] = 1 + 0.3 * state[name]
    return state


def _norm(p: str, c: int, bias: bool) -> Shapes:
    yield f"{p}.body.weight", (c,)
    if bias:
        yield f"{p}.body.bias", (c,)


def _conv(p: str, out: int, inside: int, kernel: int, bias: bool) -> Shapes:
    yield f"{p}.weight", (out, inside, kernel, kernel)
    if bias:
        yield f"{p}.bias", (out,)


def _attention(p: str, c: int, heads: int, bias: bool) -> Shapes:
    yield f"{p}.temperature", (heads, 1, 1)
    yield from _conv(f"{p}.qkv", 3 * c, c, 1, bias)
    yield from _conv(f"{p}.qkv_dwconv", 3 * c, 1, 3, bias)
    yield from _conv(f"{p}.project_out", c, c, 1, bias)


def _feed_forward(p: str, c: int, hidden: int, bias: bool) -> Shapes:
    yield from _conv(f"{p}.project_in", 2 * hidden, c, 1, bias)
    yield from _conv(f"{p}.dwconv", 2 * hidden, 1, 3, bias)
    yield from _conv(f"{p}.project_out", c, hidden, 1, bias)


def restormer_shapes(norm_bias: bool) -> Shapes:
    def stage(p: str, c: int, heads: int) -> Shapes:
        yield from _norm(f"{p}.0.norm1", c, norm_bias)
        yield from _attention(f"{p}.0.attn", c, heads, False)
        yield from _norm(f"{p}.0.norm2", c, norm_bias)
        yield from _feed_forward(f"{p}.0.ffn", c, int(c * 2.66), False)

    yield "patch_embed.proj.weight", (DIM, 3, 3, 3)
    for level in range(1, LEVELS):
        c = DIM << (level - 1)
        yield from stage(f"encoder_level{level}", c, HEADS[level - 1])
        yield f"down{level}_{level + 1}.body.0.weight", (c // 2, c, 3, 3)
    yield from stage("latent", DIM << (LEVELS - 1), HEADS[LEVELS - 1])
    for level in range(LEVELS - 1, 0, -1):
        c = DIM << (level - 1)
        yield f"up{level + 1}_{level}.body.0.weight", (4 * c, 2 * c, 3, 3)
        if level > 1:
            yield f"reduce_chan_level{level}.weight", (c, 2 * c, 1, 1)
        yield from stage(f"decoder_level{level}", c if level > 1 else 2 * c, HEADS[level - 1])
    yield from stage("refinement", 2 * DIM, HEADS[0])
    yield "output.weight", (3, 2 * DIM, 3, 3)


def moce_ir_shapes() -> Shapes:
    def encoder_block(p: str, c: int, heads: int) -> Shapes:
        yield from _norm(f"{p}.norms.0", c, True)
        yield from _norm(f"{p}.norms.1", c, True)
        yield from _attention(f"{p}.mixer", c, heads, True)
        yield from _feed_forward(f"{p}.ffn", c, 2 * c, True)

    def expert(p: str, c: int, r: int) -> Shapes:
        yield f"{p}.proj.0.weight", (r, c, 1, 1)
        yield f"{p}.proj.1.weight", (r, c, 1, 1)
        yield f"{p}.proj.2.weight", (c, r, 1, 1)
        yield from _conv(f"{p}.body.q", r, r, 1, False)
        yield from _conv(f"{p}.body.q_dwconv", r, 1, 3, True)
        yield from _conv(f"{p}.body.kv", 2 * r, r, 1, False)
        yield from _conv(f"{p}.body.kv_dwconv", 2 * r, 1, 7, True)
        yield from _norm(f"{p}.body.norm", r, True)
        yield from _conv(f"{p}.body.proj_out", r, r, 1, True)

    def decoder_block(p: str, c: int, heads: int) -> Shapes:
        yield from _norm(f"{p}.norms.0", c, True)
        yield from _norm(f"{p}.norms.1", c, True)
        yield from _conv(f"{p}.proj.0", c, c, 1, True)
        yield from _conv(f"{p}.proj.1", c, c, 1, True)
        yield from _attention(f"{p}.shared", c, heads, False)
        yield f"{p}.mixer.temperature", (heads, 1, 1)
        yield from _conv(f"{p}.mixer.q", c, c, 1, False)
        yield from _conv(f"{p}.mixer.q_dwconv", c, 1, 3, False)
        yield from _conv(f"{p}.mixer.kv", 2 * c, c, 1, False)
        yield from _conv(f"{p}.mixer.kv_dwconv", 2 * c, 1, 7, False)
        yield from _conv(f"{p}.mixer.project_out", c, c, 1, False)
        yield from _feed_forward(f"{p}.ffn", c, 2 * c, False)
        for k in range(EXPERTS):
            yield from expert(f"{p}.adapter.experts.{k}.0", c, c >> (EXPERTS - 1 - k))
        yield from _conv(f"{p}.adapter.proj_out", c, c, 1, False)
        yield f"{p}.adapter.routing.complexity", (EXPERTS,)
        yield f"{p}.adapter.routing.gate.2.weight", (EXPERTS, c)
        yield f"{p}.adapter.routing.freq_gate.weight", (EXPERTS, deepest)

    deepest = DIM << (LEVELS - 1)
    yield "patch_embed.proj.weight", (DIM, 3, 3, 3)
    yield "freq_embed.high_conv.0.conv.weight", (deepest, 1, 3, 3)
    for i, (inside, out) in ((0, (deepest, 2 * deepest)), (2, (2 * deepest, deepest))):
        yield f"freq_embed.mlp.{i}.weight", (out, inside)
        yield f"freq_embed.mlp.{i}.bias", (out,)
    for level in range(LEVELS - 1):
        c = DIM << level
        yield from encoder_block(f"enc.{level}.0.layers.0", c, HEADS[level])
        yield f"enc.{level}.1.body.0.weight", (c // 2, c, 3, 3)
        below = LEVELS - 2 - level
        yield f"dec.{below}.0.body.0.weight", (4 * c, 2 * c, 3, 3)
        yield f"dec.{below}.1.weight", (c, 2 * c, 1, 1)
        yield from decoder_block(f"dec.{below}.2.layers.0", c, HEADS[level])
    yield from encoder_block("latent.layers.0", deepest, HEADS[-1])
    yield from encoder_block("refinement.layers.0", DIM, HEADS[0])
    yield "output.weight", (3, DIM, 3, 3)


class Plain:
    """Layers that both networks have, by the names of their weights."""

    def __init__(self, state: State) -> None:
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def conv(self, p: str, x: Tensor) -> Tensor:
        weight, bias = self.state[f"{p}.weight"], self.state.get(f"{p}.bias")
        # a weight with one input channel is of a depthwise convolution
        groups = len(weight) if weight.shape[1] == 1 and x.shape[1] > 1 else 1
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2, groups=groups)

    def norm(self, p: str, x: Tensor) -> Tensor:
        scale = (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        weight, bias = self.state[f"{p}.body.weight"], self.state.get(f"{p}.body.bias")
        if bias is None:
            return x / scale * weight[:, None, None]
        return (x - x.mean(1, keepdim=True)) / scale * weight[:, None, None] + bias[:, None, None]

    def attend(self, p: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        temperature = self.state[f"{p}.temperature"]
        q, k, v = (x.unflatten(1, (len(temperature), -1)).flatten(3) for x in (q, k, v))
        weights = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * temperature).softmax(-1)
        return (weights @ v).flatten(1, 2)

    def attention(self, p: str, x: Tensor) -> Tensor:
        q, k, v = self.conv(f"{p}.qkv_dwconv", self.conv(f"{p}.qkv", x)).chunk(3, 1)
        return self.conv(f"{p}.project_out", self.attend(p, q, k, v).unflatten(2, x.shape[2:]))

    def feed_forward(self, p: str, x: Tensor) -> Tensor:
        a, b = self.conv(f"{p}.dwconv", self.conv(f"{p}.project_in", x)).chunk(2, 1)
        return self.conv(f"{p}.project_out", F.gelu(a) * b)


def restormer(state: State, image: Tensor) -> Tensor:
    net = Plain(state)

    def stage(p: str, x: Tensor) -> Tensor:
        x = x + net.attention(f"{p}.0.attn", net.norm(f"{p}.0.norm1", x))
        return x + net.feed_forward(f"{p}.0.ffn", net.norm(f"{p}.0.norm2", x))

    x, skips = net.conv("patch_embed.proj", image), {}
    for level in range(1, LEVELS):
        skips[level] = x = stage(f"encoder_level{level}", x)
        x = F.pixel_unshuffle(net.conv(f"down{level}_{level + 1}.body.0", x), 2)
    x = stage("latent", x)
    for level in range(LEVELS - 1, 0, -1):
        upsampled = F.pixel_shuffle(net.conv(f"up{level + 1}_{level}.body.0", x), 2)
        x = torch.cat([upsampled, skips[level]], 1)
        if level > 1:
            x = net.conv(f"reduce_chan_level{level}", x)
        x = stage(f"decoder_level{level}", x)
    return net.conv("output", stage("refinement", x)) + image


def moce_ir(state: State, image: Tensor, expert: int) -> Tensor:
    net = Plain(state)

    def encoder_block(p: str, x: Tensor) -> Tensor:
        x = x + net.attention(f"{p}.mixer", net.norm(f"{p}.norms.0", x))
        return x + net.feed_forward(f"{p}.ffn", net.norm(f"{p}.norms.1", x))

    def mix(p: str, x: Tensor, tile: int) -> Tensor:
        q = net.conv(f"{p}.q_dwconv", net.conv(f"{p}.q", x))
        k, v = net.conv(f"{p}.kv_dwconv", net.conv(f"{p}.kv", x)).chunk(2, 1)
        height, width = x.shape[2:]
        q, k = (F.pad(y, (0, -width % tile, 0, -height % tile)) for y in (q, k))
        # circular convolution, tile by tile
        out = torch.zeros_like(q)
        for top in range(0, q.shape[2], tile):
            for left in range(0, q.shape[3], tile):
                window = (..., slice(top, top + tile), slice(left, left + tile))
                product = torch.fft.fft2(q[window]) * torch.fft.fft2(k[window])
                out[window] = torch.fft.ifft2(product).real
        return net.conv(f"{p}.proj_out", net.norm(f"{p}.norm", out[..., :height, :width]) * v)

    def decoder_block(p: str, x: Tensor, frequency: Tensor) -> Tensor:
        n = net.norm(f"{p}.norms.0", x)
        shared = net.attention(f"{p}.shared", net.conv(f"{p}.proj.0", n))
        # the router's probability of the expert
        routed, e = net.conv(f"{p}.proj.1", n), f"{p}.adapter.experts.{expert}.0"
        logits = routed.mean((2, 3)) @ net.state[f"{p}.adapter.routing.gate.2.weight"].T
        logits = logits + frequency @ net.state[f"{p}.adapter.routing.freq_gate.weight"].T
        gate = logits.softmax(1)[:, expert, None, None, None]
        # the expert, modulated by the shared one
        mixed = mix(f"{e}.body", net.conv(f"{e}.proj.0", routed), 4 << expert)
        inner = mixed * F.silu(net.conv(f"{e}.proj.1", shared))
        routed = (routed + net.conv(f"{e}.proj.2", inner)) * gate
        routed = net.conv(f"{p}.adapter.proj_out", routed)
        # attention from the routed to the shared expert
        q = net.conv(f"{p}.mixer.q_dwconv", net.conv(f"{p}.mixer.q", routed))
        k, v = net.conv(f"{p}.mixer.kv_dwconv", net.conv(f"{p}.mixer.kv", shared)).chunk(2, 1)
        attended = net.attend(f"{p}.mixer", q, k, v).unflatten(2, x.shape[2:])
        x = x + net.conv(f"{p}.mixer.project_out", attended)
        return x + net.feed_forward(f"{p}.ffn", net.norm(f"{p}.norms.1", x))

    def linear(p: str, x: Tensor) -> Tensor:
        return x @ net.state[f"{p}.weight"].T + net.state[f"{p}.bias"]

    x, skips = net.conv("patch_embed.proj", image), []
    for level in range(LEVELS - 1):
        skips.append(encoder_block(f"enc.{level}.0.layers.0", x))
        x = F.pixel_unshuffle(net.conv(f"enc.{level}.1.body.0", skips[-1]), 2)
    x = encoder_block("latent.layers.0", x)
    edges = F.gelu(net.conv("freq_embed.high_conv.0.conv", x)).mean((2, 3))
    frequency = linear("freq_embed.mlp.2", F.gelu(linear("freq_embed.mlp.0", edges)))
    for level in range(LEVELS - 1):
        x = torch.cat([F.pixel_shuffle(net.conv(f"dec.{level}.0.body.0", x), 2), skips.pop()], 1)
        x = decoder_block(f"dec.{level}.2.layers.0", net.conv(f"dec.{level}.1", x), frequency)
    return net.conv("output", encoder_block("refinement.layers.0", x)) + image
