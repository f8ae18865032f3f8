"""Restorers in a form that a graph can hold: one expert or task, no step that waits for a value, no complex numbers."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.restore.models.complexity_experts import TileMixer
from curate.restore.models.damoe import SoftMixture
from curate.restore.models.swinir import Routing

__all__ = ["Portable"]


class Portable(nn.Module):
    """A restorer of one image: (1, 3, H, W) on 0..1 to the same shape, no side shorter than `multiple`.

    Args:
        model: a copy of it is changed; the same weights, the same results to rounding.
        told: what it is called with besides the image, such as `route=0` or `task=2`.
    """

    def __init__(self, model: nn.Module, **told: Any) -> None:
        super().__init__()
        # without gradients attention takes the kernels that it is used with
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.told = told
        self.multiple = int(model.multiple)  # type: ignore[arg-type]
        for name, part in list(self.model.named_modules()):
            if isinstance(part, TileMixer):
                self.model.set_submodule(name, _MatrixTileMixer(part))
            elif isinstance(part, SoftMixture):
                self.model.set_submodule(name, _SelectingSoftMixture(part))

    def forward(self, image: Tensor) -> Tensor:
        """Restore; mirrors the image to whole multiples first, in arithmetic that holds for sizes not known yet."""
        height, width = image.shape[2:]
        for dim in (2, 3):
            size = image.shape[dim]
            # rounded up by positive numbers alone: ONNX rounds quotients towards zero
            index = torch.arange(_round_up(size, self.multiple))
            image = image.index_select(dim, torch.minimum(index, 2 * size - 2 - index))
        return self.model(image, **self.told)[..., :height, :width]


def _round_up(size: int, multiple: int) -> int:
    return (size + multiple - 1) // multiple * multiple


class _MatrixTileMixer(TileMixer):
    """The circular convolution of tiles by products with DFT matrices: ONNX has no two-dimensional real FFT."""

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
        # the frequencies of half the plane stand for those of the other half, too, but for the first and the last
        weight_h = torch.full((self.tile // 2 + 1,), 2.0)
        weight_h[[0, -1]] = 1.0
        self.register_buffer("weight_h1", weight_h[:, None] / self.tile**2)

    def _convolve(self, q_BrHW: Tensor, k_BrHW: Tensor) -> Tensor:
        height, width = q_BrHW.shape[2:]
        (a, b), (c, d) = self._spectrum(q_BrHW), self._spectrum(k_BrHW)
        tiles_BrnmTT = self._inverse(a * c - b * d, a * d + b * c)
        return tiles_BrnmTT.transpose(3, 4).flatten(4, 5).flatten(2, 3)[..., :height, :width]

    def _spectrum(self, x_BrHW: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of each tile's half-plane of frequencies."""
        height, width = x_BrHW.shape[2:]
        right, bottom = (_round_up(size, self.tile) - size for size in (width, height))
        x_BrHW = F.pad(x_BrHW, (0, right, 0, bottom))
        x_BrnmTT = (
            x_BrHW.unflatten(3, (-1, self.tile)).unflatten(2, (-1, self.tile)).transpose(3, 4)
        )
        half = self.tile // 2 + 1
        real, imaginary = x_BrnmTT @ self.cos_tt[:, :half], -(x_BrnmTT @ self.sin_tt[:, :half])
        return (
            self.cos_tt @ real + self.sin_tt @ imaginary,
            self.cos_tt @ imaginary - self.sin_tt @ real,
        )

    def _inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        half = self.tile // 2 + 1
        cos_ht, sin_ht = self.weight_h1 * self.cos_tt[:half], self.weight_h1 * self.sin_tt[:half]
        real, imaginary = (
            self.cos_tt @ real - self.sin_tt @ imaginary,
            self.cos_tt @ imaginary + self.sin_tt @ real,
        )
        return real @ cos_ht - imaginary @ sin_ht


class _SelectingSoftMixture(SoftMixture):
    """Each expert selects its patches; sorting them would need their numbers while the graph is drawn."""

    def __init__(self, mixture: SoftMixture) -> None:
        nn.Module.__init__(self)
        self.patch = mixture.patch
        self.token, self.norm, self.gate, self.experts = (
            mixture.token,
            mixture.norm,
            mixture.gate,
            mixture.experts,
        )

    def forward(self, x_BHWC: Tensor, routing: Routing) -> Tensor:
        p = self.patch
        token_PC = self.norm(
            self.token(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(0, 2)
        )
        weight_P, expert_P = self.gate(token_PC).softmax(1).max(1)
        patches_BnmppC = x_BHWC.unflatten(2, (-1, p)).unflatten(1, (-1, p)).transpose(2, 3)
        patches_PppC = patches_BnmppC.flatten(0, 2)
        done_PppC = torch.zeros_like(patches_PppC)
        for number, expert in enumerate(self.experts):
            (place,) = torch.nonzero(expert_P == number, as_tuple=True)
            done_PppC = done_PppC.index_put((place,), expert(patches_PppC[place]))
        done_PppC = done_PppC * weight_P[:, None, None, None]
        return (
            done_PppC.unflatten(0, patches_BnmppC.shape[:3])
            .transpose(2, 3)
            .flatten(3, 4)
            .flatten(1, 2)
        )
