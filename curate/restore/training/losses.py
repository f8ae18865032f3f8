"""The weighted sum of losses of the MOE-IR_30G document, section 3.4, each term logged by its name."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
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
        RestoreError: if the VGG-19 weights are wanted and can't be had.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        vgg_weights: str | Path | None = None,
        fft_norm: str = "backward",
    ) -> None:
        super().__init__()
        self.fft_norm = fft_norm
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.vgg = PerceptualLoss(vgg_weights) if "vgg" in self.weights else None

    def forward(
        self, restored_B3HW: Tensor, clean_B3HW: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and every term before weighting."""
        # spectra and variances are differences of large numbers: half precision would lose them
        with torch.autocast(restored_B3HW.device.type, enabled=False):
            restored_B3HW, clean_B3HW = restored_B3HW.float(), clean_B3HW.float()
            terms = {name: self._term(name, restored_B3HW, clean_B3HW) for name in self.weights}
            total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def _term(self, name: str, restored_B3HW: Tensor, clean_B3HW: Tensor) -> Tensor:
        if name == "l1":
            return F.l1_loss(restored_B3HW, clean_B3HW)
        if name == "l2":
            return F.mse_loss(restored_B3HW, clean_B3HW)
        if name == "ms_ssim":
            return 1 - ms_ssim(restored_B3HW, clean_B3HW)
        if name == "fft":
            return fft_loss(restored_B3HW, clean_B3HW, self.fft_norm)
        assert self.vgg is not None
        return self.vgg(restored_B3HW, clean_B3HW)


def fft_loss(restored_BCHW: Tensor, clean_BCHW: Tensor, norm: str = "backward") -> Tensor:
    """Eq. (15): mean absolute difference of the real and imaginary parts of the 2-D DFT.

    Args:
        restored_BCHW: restored images.
        clean_BCHW: what they should be.
        norm: torch's name of the scale. `backward`, MoCE-IR's, grows with the crop: for white errors it is 91, 136 and
            181 times the L1 loss at 128, 192 and 256 pixels. `ortho` is 0.71 times it at any size.
    """
    difference = torch.view_as_real(torch.fft.rfft2(restored_BCHW - clean_BCHW, norm=norm))
    return difference.abs().mean()


def ms_ssim(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Multi-scale structural similarity of images in 0..1 over five scales, eq. (11): the mean of images and channels.

    The window has 11 taps, or 7 where the smallest scale of the image couldn't hold 11 (sides up to 160 pixels).

    Raises:
        RestoreError: if a side is 96 pixels or shorter: not even 7 taps fit.
    """
    side = min(a_BCHW.shape[2:])
    if side <= 96:
        raise RestoreError(
            f"MS-SSIM needs images over 96 pixels, not {side}: enlarge the crop or set losses.ms_ssim=0"
        )
    size = 11 if side > 160 else 7
    offset_k = torch.arange(size, dtype=a_BCHW.dtype, device=a_BCHW.device) - size // 2
    taps_k = torch.exp(-0.5 * (offset_k / 1.5) ** 2)
    taps_k = taps_k / taps_k.sum()
    result = a_BCHW.new_ones(a_BCHW.shape[:2])
    for scale, weight in enumerate(_SCALES):
        if scale:
            a_BCHW, b_BCHW = (
                F.avg_pool2d(x, 2, padding=[s % 2 for s in x.shape[2:]]) for x in (a_BCHW, b_BCHW)
            )
        luminance_BC, structure_BC = _ssim_terms(a_BCHW, b_BCHW, taps_k)
        # luminance counts at the coarsest scale only; negative correlations have no real power
        value_BC = luminance_BC if scale == len(_SCALES) - 1 else structure_BC
        result = result * value_BC.clamp_min(1e-8) ** weight
    return result.mean()


def _ssim_terms(a_BCHW: Tensor, b_BCHW: Tensor, taps_k: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the image of SSIM, and of its contrast-structure part alone; (B, C) each."""
    channels = a_BCHW.shape[1]
    column = taps_k[:, None].expand(channels, 1, -1, 1)
    row = taps_k[None, :].expand(channels, 1, 1, -1)

    def blur(x_BCHW: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x_BCHW, column, groups=channels), row, groups=channels)

    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = blur(a_BCHW), blur(b_BCHW)
    variances = blur(a_BCHW**2) - mean_a**2 + blur(b_BCHW**2) - mean_b**2
    covariance = blur(a_BCHW * b_BCHW) - mean_a * mean_b
    structure = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


class PerceptualLoss(nn.Module):
    """Eq. (10): L1 distance of VGG-19 activations relu1_2, relu2_2 and relu3_2, weighted 0.1, 0.6 and 0.3.

    The document divides by width and height alone; here every element counts alike, whatever the layer's channels.
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
            raise RestoreError(
                f"losses.vgg_weights {weights} holds no VGG-19 of torchvision: {error}"
            ) from error
        self.requires_grad_(False).eval()
        self.register_buffer(
            "mean_133", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False
        )
        self.register_buffer(
            "std_133", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False
        )

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
            f"VGG-19 weights can't be fetched ({error.reason}): download {VGG19_Weights.IMAGENET1K_V1.url} on another "
            "machine and name the file in losses.vgg_weights, or set losses.vgg=0"
        ) from error
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).split(". ")[0]
        raise RestoreError(
            f"losses.vgg_weights {weights} can't be read as a PyTorch state dict: {reason}"
        ) from error
