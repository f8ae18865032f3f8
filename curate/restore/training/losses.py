"""Weighted sum of losses of the MOE-IR_30G document, section 3.4."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import MissingExtra, RestoreError

__all__ = ["PerceptualLoss", "RestorationLoss", "fft_loss", "ms_ssim"]

_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003


class RestorationLoss(nn.Module):
    """Weighted sum of the terms whose weight isn't 0.

    Args:
        weights: weight by term: l1, l2, ms_ssim, fft, vgg.
        vgg_weights: file of torchvision's VGG-19 weights; fetched by torchvision when None.
        fft_norm: scale of the DFTs; see `fft_loss`.

    Raises:
        RestoreError: if VGG-19 weights are needed and can't be had.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        vgg_weights: str | Path | None = None,
        fft_norm: str = "backward",
    ) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.terms: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "l1": F.l1_loss,
            "l2": F.mse_loss,
            "ms_ssim": _ms_ssim_loss,
            "fft": partial(fft_loss, norm=fft_norm),
        }
        if "vgg" in self.weights:
            self.vgg = self.terms["vgg"] = PerceptualLoss(vgg_weights)

    def forward(
        self, restored_B3HW: Tensor, clean_B3HW: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum, and every term before weighting, detached."""
        weighted, terms = [], {}
        # spectra and variances are differences of large numbers: half precision would lose them
        with torch.autocast(restored_B3HW.device.type, enabled=False):
            restored_B3HW, clean_B3HW = restored_B3HW.float(), clean_B3HW.float()
            for name, weight in self.weights.items():
                term = self.terms[name](restored_B3HW, clean_B3HW)
                weighted.append(weight * term)
                terms[name] = term.detach()
            return torch.stack(weighted).sum(), terms


def fft_loss(restored_BCHW: Tensor, clean_BCHW: Tensor, norm: str = "backward") -> Tensor:
    """Return the mean absolute difference of the 2-D DFTs' real and imaginary parts, eq. (15).

    Args:
        restored_BCHW: restored images.
        clean_BCHW: clean images.
        norm: torch's name of the scale. `backward`, MoCE-IR's, grows with the crop: for white
            errors it is 91, 136 and 181 times the L1 loss at 128, 192 and 256 pixels. `ortho` is
            0.71 times the L1 loss at any size.
    """
    difference = torch.view_as_real(torch.fft.rfft2(restored_BCHW - clean_BCHW, norm=norm))
    return difference.abs().mean()


def _ms_ssim_loss(restored_BCHW: Tensor, clean_BCHW: Tensor) -> Tensor:
    return 1 - ms_ssim(restored_BCHW, clean_BCHW)


def ms_ssim(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of images in 0..1, eq. (11), over five scales.

    It is the mean over images and channels. The window has 11 taps, or 7 where the smallest scale
    couldn't hold 11 (sides up to 160 pixels).

    Raises:
        RestoreError: if a side is 96 pixels or shorter: not even 7 taps fit.
    """
    side = min(a_BCHW.shape[2:])
    if side <= 96:
        advice = "enlarge the crop or set losses.ms_ssim=0"
        raise RestoreError(f"MS-SSIM needs images over 96 pixels, not {side}: {advice}")
    # a Gaussian window of sigma 1.5
    size = 11 if side > 160 else 7
    offset_k = torch.arange(size, dtype=a_BCHW.dtype, device=a_BCHW.device) - size // 2
    taps_k = torch.exp(-0.5 * (offset_k / 1.5) ** 2)
    taps_k = taps_k / taps_k.sum()
    result = a_BCHW.new_ones(a_BCHW.shape[:2])
    for scale, weight in enumerate(_SCALES):
        if scale:  # halve both images; odd sides are padded with a zero at either end
            odd = [length % 2 for length in a_BCHW.shape[2:]]
            a_BCHW, b_BCHW = (F.avg_pool2d(x, 2, padding=odd) for x in (a_BCHW, b_BCHW))
        luminance_BC, structure_BC = _ssim_terms(a_BCHW, b_BCHW, taps_k)
        # luminance counts at the coarsest scale only; negative correlations have no real power
        value_BC = luminance_BC if scale == len(_SCALES) - 1 else structure_BC
        result = result * value_BC.clamp_min(1e-8) ** weight
    return result.mean()


def _ssim_terms(a_BCHW: Tensor, b_BCHW: Tensor, taps_k: Tensor) -> tuple[Tensor, Tensor]:
    """Return image means of SSIM and of its contrast-structure part alone, (B, C) each."""
    channels = a_BCHW.shape[1]
    column = taps_k[:, None].expand(channels, 1, -1, 1)
    row = taps_k[None, :].expand(channels, 1, 1, -1)

    def blur(x_BCHW: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x_BCHW, column, groups=channels), row, groups=channels)

    # local means, variances (a's plus b's) and covariance, by the window's weights
    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = blur(a_BCHW), blur(b_BCHW)
    variances = blur(a_BCHW**2) - mean_a**2 + blur(b_BCHW**2) - mean_b**2
    covariance = blur(a_BCHW * b_BCHW) - mean_a * mean_b
    structure = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


class PerceptualLoss(nn.Module):
    """L1 distance of VGG-19 activations, eq. (10): 0.1 relu1_2 + 0.6 relu2_2 + 0.3 relu3_2.

    The document divides by width and height alone; here every element counts alike, whatever the
    layer's channels.
    """

    mean_133: Tensor
    std_133: Tensor

    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        try:
            from torchvision.models import vgg
        except ImportError as error:
            raise MissingExtra("the VGG-19 loss", "train") from error
        self.layers = vgg.make_layers(vgg.cfgs["E"][:8], batch_norm=False)  # up to relu3_2
        state = {key.removeprefix("features."): value for key, value in _vgg_state(weights).items()}
        try:
            self.layers.load_state_dict({key: state[key] for key in self.layers.state_dict()})
        except (KeyError, RuntimeError) as error:
            where = f"losses.vgg_weights {weights}"
            raise RestoreError(f"{where} holds no VGG-19 of torchvision: {error}") from error
        self.requires_grad_(False).eval()
        # mean and standard deviation of ImageNet's colours
        for name, values in (("mean", [0.485, 0.456, 0.406]), ("std", [0.229, 0.224, 0.225])):
            values_133 = torch.tensor(values)[:, None, None]
            self.register_buffer(f"{name}_133", values_133, persistent=False)

    def forward(self, restored_B3HW: Tensor, clean_B3HW: Tensor) -> Tensor:
        pair_PCHW = (torch.cat([restored_B3HW, clean_B3HW]) - self.mean_133) / self.std_133
        loss = pair_PCHW.new_zeros(())
        weights = {3: 0.1, 8: 0.6, 13: 0.3}
        for index, layer in enumerate(self.layers):
            pair_PCHW = layer(pair_PCHW)
            if index in weights:
                loss = loss + weights[index] * F.l1_loss(*pair_PCHW.chunk(2))
        return loss


def _vgg_state(weights: str | Path | None) -> dict[str, Any]:
    from torchvision.models import VGG19_Weights

    try:
        if weights is None:
            return dict(VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
        state: dict[str, Any] = torch.load(weights, map_location="cpu", weights_only=True)
        return state
    except URLError as error:
        raise RestoreError(
            f"VGG-19 weights can't be fetched ({error.reason}): download "
            f"{VGG19_Weights.IMAGENET1K_V1.url} on another machine and name the file in "
            "losses.vgg_weights, or set losses.vgg=0"
        ) from error
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        where, reason = f"losses.vgg_weights {weights}", str(error).split(". ")[0]
        raise RestoreError(f"{where} can't be read as a PyTorch state dict: {reason}") from error
