"""The work of a SwinIR or a DAMoE, counted as its paper's tables count it."""

from __future__ import annotations

from curate.restore.models.damoe import SoftMixture
from curate.restore.models.swinir import Block, FeedForward, SwinIR

__all__ = ["published_flops"]


def published_flops(model: SwinIR, height: int = 84, width: int = 84) -> int:
    """The "FLOPs" of table 10 of the HQ-50K paper: 83.49, 83.49, 99.98 and 91.74 G at 84x84.

    They are multiply-adds by the formula of SwinIR's authors, slips included: only what is named below is counted, and
    the body's last convolution as three linear layers. The token and the gate of a soft mixture count two for every
    multiply-add; with one, or without either, no row of the table comes out.

    Args:
        model: restoring at full size.
        height: of the image; a multiple of the window.
        width: as height.
    """
    pixels, dim = height * width, model.conv_first.out_channels
    first = 27 * dim + dim  # convolution and norm
    last = 3 * dim**2 + 27 * 64  # the second term is their reconstruction's, with its 64 channels
    groups = len(model.groups) * 9 * dim**2
    blocks = sum(_block(module, pixels) for module in model.modules() if isinstance(module, Block))
    return pixels * (first + groups + last) + blocks


def _block(block: Block, pixels: int) -> int:
    dim, window = block.attention.out.in_features, block.attention.window
    hidden = next(
        part.out.in_features
        for part in block.feed_forward.modules()
        if isinstance(part, FeedForward)
    )
    each = 2 * dim + 4 * dim**2 + 2 * window**2 * dim + 2 * dim * hidden
    if not isinstance(block.feed_forward, SoftMixture):
        return pixels * each
    token_and_gate = (
        block.feed_forward.token.weight.numel() + block.feed_forward.gate.weight.numel()
    )
    return pixels * each + 2 * (pixels // block.feed_forward.patch**2) * token_and_gate
