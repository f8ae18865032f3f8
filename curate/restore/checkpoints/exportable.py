"""Restorers in a form that a graph can hold.

A graph holds one expert or task, no step that depends on a value, and no complex numbers.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models.blocks import from_windows, round_up, to_windows
from curate.restore.models.complexity_experts import TileMixer
from curate.restore.models.damoe import SoftMixture
from curate.restore.models.swinir import MixtureContext

__all__ = ["Exportable"]


class Exportable(nn.Module):
    """A restorer of one image: (1, 3, H, W) on 0..1 to the same shape, no side below `multiple`.

    Args:
        model: a copy of it is changed; its weights are the same, its results up to rounding.
        forward_kwargs: arguments besides the image, such as `route=0` or `task=2`.
    """

    def __init__(self, model: nn.Module, **forward_kwargs: Any) -> None:
        super().__init__()
        # without gradients attention takes the same kernels as in use
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.forward_kwargs = forward_kwargs
        self.multiple = int(model.multiple)  # type: ignore[arg-type]
        for name, part in list(self.model.named_modules()):
            if isinstance(part, TileMixer):
                self.model.set_submodule(name, _MatrixTileMixer(part))
            elif isinstance(part, SoftMixture):
                self.model.set_submodule(name, _SelectingSoftMixture(part))

    def forward(self, image: Tensor) -> Tensor:
        """Restore an image, mirrored to whole multiples by arithmetic that holds for any size."""
        height, width = image.shape[2:]
        for dim in (2, 3):
            # positions 0, 1, ..., size - 1, size - 2, ...
            size = image.shape[dim]
            index = torch.arange(round_up(size, self.multiple))
            image = image.index_select(dim, torch.minimum(index, 2 * size - 2 - index))
        return self.model(image, **self.forward_kwargs)[..., :height, :width]


class _MatrixTileMixer(TileMixer):
    """Circular convolution of tiles by DFT matrices: ONNX has no two-dimensional real FFT."""

    cos_tt: Tensor
    sin_tt: Tensor
    weight_h1: Tensor

    def __init__(self, mixer: TileMixer) -> None:
        nn.Module.__init__(self)
        self.tile = mixer.tile
        self.q, self.kv, self.norm, self.out = mixer.q, mixer.kv, mixer.norm, mixer.out
        n_t = torch.arange(self.tile, dtype=torch.float64)
        angle_tt = n_t[:, None] * n_t % self.tile * (2 * math.pi / self.tile)
        self.register_buffer("cos_tt", angle_tt.cos().float())
        self.register_buffer("sin_tt", angle_tt.sin().float())
        # half the frequencies stand for the other half too, except the first and the last
        weight_h = torch.full((self.tile // 2 + 1,), 2.0)
        weight_h[[0, -1]] = 1.0
        self.register_buffer("weight_h1", weight_h[:, None] / self.tile**2)

    def _convolve(self, q_BrHW: Tensor, k_BrHW: Tensor) -> Tensor:
        height, width = q_BrHW.shape[2:]
        # product of two spectra: (a + bi) (c + di)
        (a, b), (c, d) = self._spectrum(q_BrHW), self._spectrum(k_BrHW)
        tiles_BrnmTT = self._inverse(a * c - b * d, a * d + b * c)
        return tiles_BrnmTT.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]

    def _spectrum(self, x_BrHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary parts of each tile's half-plane of frequencies."""
        cos, sin, t, half = self.cos_tt, self.sin_tt, self.tile, self.tile // 2 + 1
        right, bottom = (round_up(size, t) - size for size in x_BrHW.shape[:1:-1])
        x_BrHW = F.pad(x_BrHW, (0, right, 0, bottom))
        x_BrnmTT = x_BrHW.unflatten(3, (-1, t)).unflatten(2, (-1, t)).transpose(3, 4)
        # along the rows, then along the columns
        real, imaginary = x_BrnmTT @ cos[:, :half], -(x_BrnmTT @ sin[:, :half])
        return cos @ real + sin @ imaginary, cos @ imaginary - sin @ real

    def _inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return the tiles of half-planes of frequencies."""
        cos, sin, half = self.cos_tt, self.sin_tt, self.tile // 2 + 1
        real, imaginary = cos @ real - sin @ imaginary, cos @ imaginary + sin @ real
        return real @ (self.weight_h1 * cos[:half]) - imaginary @ (self.weight_h1 * sin[:half])


class _SelectingSoftMixture(SoftMixture):
    """Soft mixture whose experts select their patches: sorting would need the counts in a trace."""

    def __init__(self, mixture: SoftMixture) -> None:
        nn.Module.__init__(self)
        self.patch, self.token, self.norm = mixture.patch, mixture.token, mixture.norm
        self.gate, self.experts = mixture.gate, mixture.experts

    def forward(self, x_BHWC: Tensor, context: MixtureContext) -> Tensor:
        weight_P, expert_P = self.gate(self.tokens(x_BHWC)).softmax(1).max(1)
        patches_BnmppC = to_windows(x_BHWC, self.patch)
        patches_PppC = patches_BnmppC.flatten(0, 2)
        done_PppC = torch.zeros_like(patches_PppC)
        # each expert writes its own patches; the gate's probabilities scale them all
        for number, expert in enumerate(self.experts):
            (place,) = torch.nonzero(expert_P == number, as_tuple=True)
            done_PppC = done_PppC.index_put((place,), expert(patches_PppC[place]))
        done_PppC = done_PppC * weight_P[:, None, None, None]
        return from_windows(done_PppC.unflatten(0, patches_BnmppC.shape[:3]))
