from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from curate.errors import RestoreError
from curate.restore.checkpoints.authors_weights import published_weights
from curate.restore.models import SwinIR, build_model, count_parameters
from curate.restore.models.swinir import UpscalingSwinIR, WindowAttention

SMALL = {"dim": 12, "depths": [2, 2], "heads": 3}


def strengthened(model: torch.nn.Module) -> torch.nn.Module:
    """Fresh networks hardly attend: make every part show in the output."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter *= 3
    return model.double().eval()


@pytest.mark.parametrize(
    ("name", "count"), [("swinir", 11_492_067), ("swinir_denoise", 11_504_163)]
)
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(build_model(name)) == count


@pytest.mark.parametrize(("scale", "count"), [(2, 11_752_487), (3, 11_937_127), (4, 11_900_199)])
def test_upscaling_networks_have_the_published_sizes(scale: int, count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(UpscalingSwinIR(scale)) == count


@pytest.mark.parametrize("size", [(14, 14), (7, 21), (14, 7), (7, 7)])
def test_attention_is_that_of_the_plain_formula(size: tuple[int, int]) -> None:
    """Every pixel attends those of its window that lie beside it in the image, with a bias of their offset."""
    attention = strengthened(WindowAttention(6, 2, 7, shift=3))
    height, width = size
    x = torch.rand(1, height, width, 6, dtype=torch.float64)

    def part(i: int, length: int) -> tuple[int, bool]:
        """Window of a row or column, and whether it wraps around."""
        rolled = (i - 3) % length
        return rolled // 7, i < 3

    q, k, v = attention.qkv(x.flatten(1, 2))[0].unflatten(1, (3, 2, 3)).permute(1, 2, 0, 3)
    scores = q @ k.mT / 3**0.5
    pixels = [(i, j) for i in range(height) for j in range(width)]
    home = [(part(i, height), part(j, width)) for i, j in pixels]
    apart = torch.tensor([[a != b for b in home] for a in home])
    offset = torch.tensor([[(i - m + 6) * 13 + j - n + 6 for m, n in pixels] for i, j in pixels])
    bias = attention.bias[offset.where(~apart, 0)].permute(2, 0, 1)
    scores = (scores + bias).masked_fill(apart, -torch.inf)
    expected = attention.out((scores.softmax(-1) @ v).transpose(0, 1).flatten(1)).reshape(x.shape)
    assert torch.allclose(attention(x), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(14, 21), (1, 1), (3, 30), (17, 9)])
def test_any_size_comes_back_as_it_was(size: tuple[int, int]) -> None:
    model = SwinIR(**SMALL).eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored, aux = model.forward_with_aux(image)
        assert torch.equal(model(image), restored)
    assert restored.shape == image.shape
    assert restored.isfinite().all()
    assert aux == 0


def test_windows_see_their_neighbours_through_the_shift() -> None:
    model = strengthened(SwinIR(dim=12, depths=[2], heads=3, window=7))
    seen = torch.zeros(1, 3, 28, 28, dtype=torch.float64, requires_grad=True)
    model(seen)[0, :, 3, 3].sum().backward()
    reach = seen.grad.abs().sum((0, 1)) > 0
    assert reach[3, 14], "beyond the window and the convolutions"
    assert not reach[25:].any(), "nor around the edge"


def test_skipped_blocks_are_for_training_alone() -> None:
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
    assert [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()
    ] == []


@pytest.mark.parametrize("size", [(28, 21), (17, 30), (7, 7)])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: SwinIR(**SMALL), {"window_size": 7, "img_size": 84}),
        (
            lambda: SwinIR(**SMALL, window=8, value_range=255),
            {"window_size": 8, "img_range": 255.0},
        ),
        (
            lambda: UpscalingSwinIR(3, **SMALL),
            {"window_size": 8, "upscale": 3, "upsampler": "pixelshuffle"},
        ),
        (
            lambda: UpscalingSwinIR(4, **SMALL),
            {"window_size": 8, "upscale": 4, "upsampler": "pixelshuffle"},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_published_weights_give_what_the_published_network_gives(
    ours: object, theirs: dict[str, object], size: tuple[int, int]
) -> None:
    """Held to spandrel's SwinIR, which is the authors'."""
    pytest.importorskip("spandrel")
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR as Reference

    torch.manual_seed(0)
    reference = strengthened(
        Reference(embed_dim=12, depths=[2, 2], num_heads=[3, 3], mlp_ratio=2, **theirs)
    )
    model = ours().double().eval()  # type: ignore[operator]
    weights = published_weights(model, reference.state_dict())
    model.load_state_dict({name: tensor for name, (_, tensor) in weights.items()})
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected: Tensor = reference(image)
        assert torch.allclose(model(image), expected, atol=1e-6)
        assert F.l1_loss(expected[..., : size[0], : size[1]], image) > 0.01, (
            "the network must do something"
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 10}, "dim 10 must be a multiple of the 6 heads"),
        ({"scale": 2}, "unexpected keyword argument 'scale'"),
    ],
)
def test_models_that_cannot_be_built_say_why(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        build_model("swinir", **settings)


def test_scales_that_were_not_published_are_refused() -> None:
    with pytest.raises(ValueError, match="scale is 2, 3 or 4, not 5"), torch.device("meta"):
        UpscalingSwinIR(5)
