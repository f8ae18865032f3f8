from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from curate.errors import RestoreError
from curate.restore.training import losses
from curate.restore.training.losses import PerceptualLoss, RestorationLoss, fft_loss, ms_ssim


def _pair(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 2, side // 8, side // 8, generator=generator)
    clean = torch.nn.functional.interpolate(clean, size=side, mode="bilinear")
    return (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1), clean


def _ms_ssim(a: np.ndarray, b: np.ndarray, taps: int) -> float:
    """Wang et al. 2003 for one channel, in float64 with scipy."""
    kernel = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / 1.5) ** 2)
    kernel /= kernel.sum()
    half = taps // 2

    def blur(x: np.ndarray) -> np.ndarray:
        return convolve1d(convolve1d(x, kernel, 0), kernel, 1)[half:-half, half:-half]

    value = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        if scale:
            a, b = ((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in (a, b))
        ma, mb = blur(a), blur(b)
        cs = (2 * (blur(a * b) - ma * mb) + 0.0009) / (
            blur(a * a) - ma**2 + blur(b * b) - mb**2 + 0.0009
        )
        luminance = (2 * ma * mb + 0.0001) / (ma**2 + mb**2 + 0.0001)
        value *= np.mean(cs * luminance if scale == 4 else cs) ** weight
    return value


@pytest.mark.parametrize(("side", "taps"), [(128, 7), (160, 7), (176, 11)])
def test_ms_ssim_is_the_definition_with_the_window_that_fits(side: int, taps: int) -> None:
    a, b = _pair(side)
    expected = np.mean(
        [
            _ms_ssim(x, y, taps)
            for x, y in zip(a[0].double().numpy(), b[0].double().numpy(), strict=True)
        ]
    )
    assert ms_ssim(a, b).item() == pytest.approx(expected, abs=1e-5)


def test_ms_ssim_survives_opposite_pictures() -> None:
    _, clean = _pair(128)
    opposite = (1 - clean).requires_grad_()
    value = ms_ssim(opposite, clean)
    value.backward()
    assert value.item() < 0.1
    assert opposite.grad is not None
    assert opposite.grad.isfinite().all()


def test_ms_ssim_refuses_what_its_window_cannot_fit() -> None:
    with pytest.raises(RestoreError, match="needs images over 96 pixels, not 96"):
        ms_ssim(*_pair(96))


def test_fft_loss_is_the_mean_of_real_and_imaginary_differences() -> None:
    a, b = _pair(16)
    spectrum = np.fft.rfft2(a.double().numpy()) - np.fft.rfft2(b.double().numpy())
    expected = (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    assert fft_loss(a, b).item() == pytest.approx(expected, rel=1e-5)


def test_the_sum_is_weighted_and_its_terms_are_not() -> None:
    a, b = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.1)
    total, terms = RestorationLoss({"l1": 1.5, "l2": 0.1, "fft": 0, "vgg": 0})(a, b)
    assert {name: round(value.item(), 6) for name, value in terms.items()} == {
        "l1": 0.4,
        "l2": 0.16,
    }
    assert total.item() == pytest.approx(1.5 * 0.4 + 0.1 * 0.16)


@pytest.fixture
def vgg_file(tmp_path: Path) -> Path:
    """Random state dict with torchvision's names of VGG-19 and one layer more than needed."""
    vgg = pytest.importorskip("torchvision.models.vgg")
    layers = vgg.make_layers(vgg.cfgs["E"][:9], batch_norm=False)
    torch.save({f"features.{k}": v for k, v in layers.state_dict().items()}, tmp_path / "vgg.pth")
    return tmp_path / "vgg.pth"


def test_vgg_loss_reads_a_file_and_stays_as_it_is(vgg_file: Path) -> None:
    loss = PerceptualLoss(vgg_file)
    assert sum(p.numel() for p in loss.parameters()) == 1_145_408
    assert not any(p.requires_grad for p in loss.parameters())
    a, b = _pair(32)
    a, b = (torch.cat([x, x[:, :1]], 1) for x in (a, b))
    a.requires_grad_()
    value = loss(a, b)
    value.backward()
    assert value > 0
    assert a.grad is not None
    assert a.grad.abs().sum() > 0
    assert loss(b, b) == 0


def test_missing_vgg_weights_error_names_offline_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = pytest.importorskip("torchvision.models")

    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(models.VGG19_Weights, "get_state_dict", offline)
    with pytest.raises(
        RestoreError,
        match=r"no route to host\): download https://\S+ on another machine and name the file in "
        r"losses.vgg_weights",
    ):
        RestorationLoss({"l1": 1, "vgg": 0.5})
    (tmp_path / "no.pth").write_bytes(b"no weights")
    with pytest.raises(RestoreError, match="can't be read"):
        RestorationLoss({"vgg": 0.5}, tmp_path / "no.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(RestoreError, match="holds no VGG-19"):
        losses.PerceptualLoss(tmp_path / "other.pth")


@pytest.mark.parametrize("term", ["l1", "l2", "fft", "ms_ssim", "vgg"])
def test_gradients_of_every_term_are_its_slopes(term: str, vgg_file: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    side = 104 if term == "ms_ssim" else 16
    clean = torch.rand(1, 3, side, side, generator=generator)
    restored = (clean + 0.2 * torch.randn(clean.shape, generator=generator)).requires_grad_()
    loss = RestorationLoss({term: 1.0}, vgg_file)
    loss(restored, clean)[0].backward()
    assert restored.grad is not None
    # uphill for every pixel, so that slopes don't cancel
    direction = restored.grad.sign() * (0.5 + torch.rand(clean.shape, generator=generator))
    with torch.no_grad():
        ahead, behind = (
            loss(restored + step * direction, clean)[0].double() for step in (1e-3, -1e-3)
        )
    slope = (restored.grad.double() * direction.double()).sum()
    assert (ahead - behind) / 2e-3 == pytest.approx(slope.item(), rel=0.02)


@pytest.mark.parametrize("term", ["l1", "l2", "fft", "ms_ssim"])
def test_mixed_precision_leaves_the_loss_whole(term: str) -> None:
    """Variances and spectra are small differences of large numbers."""
    a, b = (torch.cat([x, x[:, :1]], 1) for x in _pair(128))
    loss = RestorationLoss({term: 1.0})
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(a, b)[0]
    assert mixed.dtype == torch.float32
    assert mixed.item() == loss(a, b)[0].item()


def test_vgg_loss_compares_the_documents_three_layers(vgg_file: Path) -> None:
    """relu1_2, relu2_2 and relu3_2 of torchvision's own network, on inputs as ImageNet has them."""
    models = pytest.importorskip("torchvision.models")
    layers = models.vgg19(weights=None).features[:14]
    state = {
        key.removeprefix("features."): value
        for key, value in torch.load(vgg_file, weights_only=True).items()
    }
    layers.load_state_dict({key: state[key] for key in layers.state_dict()})
    a, b = (torch.cat([x, x[:, :1]], 1) for x in _pair(32))
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    expected, x, y = 0.0, (a - mean) / std, (b - mean) / std
    with torch.no_grad():
        for index, layer in enumerate(layers):
            x, y = layer(x.clone()), layer(y.clone())
            expected += {3: 0.1, 8: 0.6, 13: 0.3}.get(index, 0) * (x - y).abs().mean().item()
    assert PerceptualLoss(vgg_file)(a, b).item() == pytest.approx(expected, rel=1e-5)


def test_the_scale_of_the_fft_loss_is_a_setting() -> None:
    """White errors: 91, 136 and 181 times L1 by MoCE-IR's scale, 0.71 times by the other."""
    errors = torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    for norm, side, ratio in (
        ("backward", 128, 90.5),
        ("backward", 64, 45.3),
        ("ortho", 128, 0.707),
        ("ortho", 64, 0.707),
    ):
        x = errors[..., :side, :side]
        _, terms = RestorationLoss({"l1": 1, "fft": 1}, fft_norm=norm)(x, torch.zeros_like(x))
        assert (terms["fft"] / terms["l1"]).item() == pytest.approx(ratio, rel=0.02)
