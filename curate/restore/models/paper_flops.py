"""Work of a SwinIR or a DAMoE, counted as in the tables of the HQ-50K paper."""

from __future__ import annotations

from curate.restore.models.damoe import SoftMixture
from curate.restore.models.swinir import FeedForward, SwinBlock, SwinIR

__all__ = ["published_flops"]


def published_flops(model: SwinIR, height: int = 84, width: int = 84) -> int:
    """Return the "FLOPs" of table 10 of the paper: 83.49, 83.49, 99.98 and 91.74 G at 84x84.

    They are multiply-adds by the formula of SwinIR's authors, slips included: only the parts named
    below count, and the body's last convolution as three linear layers. The token and the gate of a
    soft mixture count two for every multiply-add. Any other reading matches no row of the table.

    Args:
        model: a network that restores at full size.
        height: of the image; a multiple of the window.
        width: as height.
    """
    pixels, dim = height * width, model.conv_first.out_channels
    first = 27 * dim + dim  # convolution and norm
    last = 3 * dim**2 + 27 * 64  # the second term is their reconstruction's, with its 64 channels
    total = pixels * (first + last + len(model.groups) * 9 * dim**2)
    for block in model.modules():
        if isinstance(block, SwinBlock):
            total += _block_flops(block, pixels)
    return total


def _block_flops(block: SwinBlock, pixels: int) -> int:
    dim, window, mixture = block.norm1.weight.numel(), block.attention.window, block.feed_forward
    hidden = next(m.out.in_features for m in mixture.modules() if isinstance(m, FeedForward))
    # per pixel: both norms, linear layers of the attention, its two products, one feed-forward
    flops = pixels * (2 * dim + 4 * dim**2 + 2 * window**2 * dim + 2 * dim * hidden)
    if isinstance(mixture, SoftMixture):
        weights = mixture.token.weight.numel() + mixture.gate.weight.numel()
        flops += 2 * (pixels // mixture.patch**2) * weights
    return flops
