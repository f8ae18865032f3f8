"""SwinIR: published sizes, attention by its formula, the authors' network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.errors import RestoreError
from curate.restore.checkpoints.authors_weights import published_weights
from curate.restore.models import SwinIR, build_model, count_parameters
from curate.restore.models.swinir import UpscalingSwinIR, WindowAttention

SMALL = {"dim": 12, "depths": [2, 2], "heads": 3}
UPSCALING = {"window_size": 8, "upsampler": "pixelshuffle"}


def strengthened(model: torch.nn.Module) -> torch.nn.Module:
    """Make every part show in the output; fresh networks hardly attend."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter *= 3
    return model.double().eval()


@pytest.mark.parametrize(
    ("name", "count"), [("swinir", 11_492_067), ("swinir_denoise", 11_504_163)]
)
def test_swinir_parameter_count_is_the_published_one(name: str, count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(build_model(name)) == count


@pytest.mark.parametrize(("scale", "count"), [(2, 11_752_487), (3, 11_937_127), (4, 11_900_199)])
def test_upscaling_swinir_parameter_count_is_the_published_one(scale: int, count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(UpscalingSwinIR(scale)) == count


@pytest.mark.parametrize("size", [(14, 14), (7, 21), (14, 7), (7, 7)])
def test_shifted_attention_equals_the_plain_formula(size: tuple[int, int]) -> None:
    """A pixel attends to neighbours in its window, with a bias for the offset, not around edges."""
    attention = strengthened(WindowAttention(6, 2, 7, shift=3))
    height, width = size
    x = torch.rand(1, height, width, 6, dtype=torch.float64)

    q, k, v = attention.qkv(x.flatten(1, 2))[0].unflatten(1, (3, 2, 3)).permute(1, 2, 0, 3)
    scores = q @ k.mT / 3**0.5
    # row and column of each pixel, and the window it is in after the roll; True if it wraps around
    i, j = torch.cartesian_prod(torch.arange(height), torch.arange(width)).T
    home = torch.stack([(i - 3) % height // 7, i < 3, (j - 3) % width // 7, j < 3], dim=1)
    apart = (home[:, None] != home).any(2)
    offset = (i[:, None] - i + 6) * 13 + j[:, None] - j + 6
    bias = attention.bias[offset.where(~apart, 0)].permute(2, 0, 1)
    scores = (scores + bias).masked_fill(apart, -torch.inf)
    expected = attention.out((scores.softmax(-1) @ v).transpose(0, 1).flatten(1)).reshape(x.shape)
    assert torch.allclose(attention(x), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(14, 21), (1, 1), (3, 30), (17, 9)])
def test_image_of_any_size_keeps_its_size(size: tuple[int, int]) -> None:
    model = SwinIR(**SMALL).eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored, aux = model.forward_with_aux(image)
        assert torch.equal(model(image), restored)
    assert restored.shape == image.shape
    assert restored.isfinite().all()
    assert aux == 0


def test_shifted_windows_see_neighbours_but_not_around_the_edge() -> None:
    model = strengthened(SwinIR(dim=12, depths=[2], heads=3, window=7))
    seen = torch.zeros(1, 3, 28, 28, dtype=torch.float64, requires_grad=True)
    model(seen)[0, :, 3, 3].sum().backward()
    reach = seen.grad.abs().sum((0, 1)) > 0
    assert reach[3, 14], "beyond the window and the convolutions"
    assert not reach[25:].any(), "nor around the edge"


def test_blocks_are_skipped_in_training_alone() -> None:
    torch.manual_seed(0)
    model = SwinIR(**SMALL, drop_path=0.9)
    image = torch.rand(2, 3, 14, 14)
    with torch.no_grad():
        assert not torch.equal(model(image), model(image))
        model.eval()
        assert torch.equal(model(image), model(image))


def test_gradient_reaches_every_parameter() -> None:
    model = SwinIR(**SMALL, drop_path=0)
    model(torch.rand(1, 3, 21, 21)).square().mean().backward()
    parameters = model.named_parameters()
    assert [name for name, p in parameters if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("size", [(28, 21), (17, 30), (7, 7)])
@pytest.mark.parametrize(
    ("kind", "ours", "theirs"),
    [
        (SwinIR, {}, {"window_size": 7, "img_size": 84}),
        (SwinIR, {"window": 8, "value_range": 255}, {"window_size": 8, "img_range": 255.0}),
        (UpscalingSwinIR, {"scale": 3}, UPSCALING | {"upscale": 3}),
        (UpscalingSwinIR, {"scale": 4}, UPSCALING | {"upscale": 4}),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_published_weights_give_the_result_of_the_published_network(
    kind: type[SwinIR], ours: dict[str, Any], theirs: dict[str, Any], size: tuple[int, int]
) -> None:
    """Compare with spandrel's SwinIR, which is the authors'."""
    pytest.importorskip("spandrel")
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR as Reference

    torch.manual_seed(0)
    settings = {"embed_dim": 12, "depths": [2, 2], "num_heads": [3, 3], "mlp_ratio": 2}
    reference = strengthened(Reference(**settings, **theirs))
    model = kind(**SMALL, **ours).double().eval()
    weights = published_weights(model, reference.state_dict())
    model.load_state_dict({name: tensor for name, (_, tensor) in weights.items()})
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected: Tensor = reference(image)
        assert torch.allclose(model(image), expected, atol=1e-6)
        change = F.l1_loss(expected[..., : size[0], : size[1]], image)
    assert change > 0.01, "the network must change the image"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 10}, "dim 10 must be a multiple of the 6 heads"),
        ({"scale": 2}, "unexpected keyword argument 'scale'"),
    ],
)
def test_swinir_with_bad_settings_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        build_model("swinir", **settings)


def test_upscaling_by_an_unpublished_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scale is 2, 3 or 4, not 5"), torch.device("meta"):
        UpscalingSwinIR(5)
