from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from curate.errors import RecipeError, RestoreError
from curate.restore import TrainRecipe, load_model, restore_files, train
from curate.restore.data.patches import Group, PatchDataset
from curate.restore.data.pictures import open_pictures
from curate.restore.models import AirNet, build_model, count_parameters
from curate.restore.models.airnet import DeformableConvolution
from curate.restore.models.cost import forward_cost
from tests import ROOT
from tests.restore.samples import recipe

SMALL = {"dim": 8, "groups": 1, "blocks": 1, "queue": 6}


@pytest.fixture
def small() -> AirNet:
    torch.manual_seed(0)
    return AirNet(**SMALL)  # type: ignore[arg-type]


def pair(seed: int = 0, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(batch, 3, 16, 20, generator=generator) for _ in range(2))
    return first, second


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = build_model("airnet")
    assert count_parameters(model) == 8_930_313
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 7_610_377
    assert count_parameters(model.get_submodule("encoder")) == 1_319_936


def test_a_deformable_convolution_takes_its_taps_where_it_is_told() -> None:
    layer = DeformableConvolution(2)
    x, guide = torch.randn(1, 2, 8, 9), torch.randn(1, 2, 8, 9)
    plain = F.conv2d(x, layer.convolution.weight, padding=1)
    assert torch.allclose(layer(x, guide), plain / 2, atol=1e-6), (
        "before training: where they are, at half strength"
    )
    with torch.no_grad():
        layer.taps.bias[:18] = torch.tensor([1.0, 2.0]).repeat(9)  # one down, two to the right
        layer.taps.bias[18:] = 100
    moved = F.conv2d(F.pad(x, (0, 3, 0, 2)), layer.convolution.weight, padding=1)[..., 1:9, 2:11]
    assert torch.allclose(layer(x, guide)[..., 1:-3, 1:-4], moved[..., 1:-3, 1:-4], atol=1e-5)


def test_the_guide_reaches_the_output(small: AirNet) -> None:
    image, other = pair()
    small.eval()
    with torch.no_grad():
        assert not torch.allclose(
            small._restore(image, small.encoder(image)),
            small._restore(image, small.encoder(other)),
            atol=1e-4,
        )


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 50), (17, 9)])
def test_any_size_comes_back_as_it_was(small: AirNet, size: tuple[int, int]) -> None:
    small.eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored, aux = small.forward_with_aux(image)
        single = torch.cat([small(each[None]) for each in image])
    assert restored.shape == image.shape
    assert torch.allclose(restored, single, atol=1e-5)
    assert aux == 0


def test_contrast_is_the_cross_entropy_of_the_second_crop(small: AirNet) -> None:
    image, other = pair()
    known = small.queue_FK.clone()
    loss = small.aux_loss(image, other)
    small.eval()
    small.train()  # the same statistics of the batch, for what follows
    with torch.no_grad():
        query = F.normalize(small.encoder.describe(small.encoder(image)), dim=1)
        key = F.normalize(small.key_encoder.describe(small.key_encoder(other)), dim=1)
    terms = []
    for q, k in zip(query, key, strict=True):
        scores = torch.cat([(q @ k)[None], torch.stack([q @ each for each in known.T])]) / 0.07
        terms.append(-scores.softmax(0)[0].log())
    assert loss.item() == pytest.approx(torch.stack(terms).mean().item(), abs=1e-5)
    assert torch.allclose(small.queue_FK[:, :3], key.T, atol=1e-6)
    assert torch.equal(small.queue_FK[:, 3:], known[:, 3:])


def test_the_queue_forgets_the_oldest_first(small: AirNet) -> None:
    """It needn't be a multiple of the batch, or as large."""
    seen = []
    for seed in range(3):
        before = small.queue_FK.clone()
        small._remember(
            F.normalize(torch.randn(4, 256, generator=torch.Generator().manual_seed(seed)), dim=1)
        )
        seen.append([i for i in range(6) if not torch.equal(before[:, i], small.queue_FK[:, i])])
    assert seen == [[0, 1, 2, 3], [0, 1, 4, 5], [2, 3, 4, 5]]
    small._remember(F.normalize(torch.randn(9, 256), dim=1))
    assert small.queue_FK.shape == (256, 6)


def test_the_second_encoder_follows_the_first_and_is_not_trained(small: AirNet) -> None:
    with torch.no_grad():
        for parameter in small.encoder.parameters():
            parameter += 1
    before = [p.clone() for p in small.key_encoder.parameters()]
    loss = small.aux_loss(*pair())
    loss.backward()
    for old, key, query in zip(
        before, small.key_encoder.parameters(), small.encoder.parameters(), strict=True
    ):
        assert torch.allclose(key, 0.999 * old + 0.001 * query, atol=1e-6)
        assert key.grad is None
        assert query.grad is not None


def test_gradient_reaches_every_part_that_is_trained(small: AirNet) -> None:
    restored, aux = small.forward_with_aux(*pair())
    for name, parameter in small.named_parameters():
        if name.endswith("taps.weight"):
            nn.init.normal_(parameter, std=0.1)
    restored, aux = small.forward_with_aux(*pair(1))
    (restored.square().mean() + aux).backward()
    trained = [(name, p) for name, p in small.named_parameters() if p.requires_grad]
    assert [name for name, p in trained if p.grad is None or not p.grad.any()] == []


def test_the_encoder_learns_to_tell_degradations_apart(small: AirNet) -> None:
    """Noise, blur and darkness of the same pictures: crops of one are nearer than those of others."""
    generator = torch.Generator().manual_seed(0)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        views = torch.rand(2, 3, 3, 16, 16, generator=generator).round(decimals=1)
        views[:, 0] += 0.3 * torch.randn(2, 3, 16, 16, generator=generator)
        views[:, 1] = F.avg_pool2d(views[:, 1], 5, 1, 2)
        views[:, 2] *= 0.2
        return views[0], views[1]

    model = AirNet(**{**SMALL, "queue": 12, "momentum": 0.9})  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(model.encoder.parameters(), 3e-3)
    for _ in range(60):
        loss = model.aux_loss(*batch())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        a, b = (F.normalize(model.encoder.describe(model.encoder(view)), dim=1) for view in batch())
    near = a @ b.T
    assert near.argmax(1).tolist() == [0, 1, 2]
    assert near.diagonal().min() > near[~torch.eye(3, dtype=torch.bool)].max() + 0.1


def test_half_precision_gives_nearly_the_same(small: AirNet) -> None:
    image, other = pair()
    whole, _ = small.forward_with_aux(image, other)
    with torch.autocast("cpu", torch.bfloat16):
        half, aux = small.forward_with_aux(image, other)
    (half.float().mean() + aux).backward()
    assert (half - whole).abs().mean() < 0.1 * whole.abs().mean()


def test_work_is_counted_with_its_deformable_convolutions() -> None:
    """In use there is one block of the encoder; each weight counts once a pixel, sampling doesn't."""
    with torch.device("meta"):
        model = build_model("airnet")
    weights = sum(
        p.numel() for name, p in model.named_parameters() if p.dim() == 4 and "encoder" not in name
    )
    weights += sum(
        p.numel() for p in model.get_submodule("encoder.first").parameters() if p.dim() == 4
    )
    cost = forward_cost(model, 8, 8)
    assert cost.total_macs == 64 * weights
    assert cost.macs["encoder"] == 64 * (27 * 64 + 9 * 64 * 64 + 3 * 64)


def test_two_views_have_one_picture_and_one_degradation(photos: Path) -> None:
    phases = recipe(phases=[{"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3}]).phases
    groups = [Group(open_pictures(photos), {"denoise_50": 1, "denoise_1": 1})]
    one, two = (PatchDataset(groups, phases, seed=3, views=views) for views in (1, 2))
    kinds = set()
    for number in range(8):
        degraded, clean, task = one[0, number]
        views, same, told = two[0, number]
        assert views.shape == (2, 3, 16, 16)
        assert torch.equal(views[0], degraded), "the first is as if it were the only one"
        assert torch.equal(same, clean)
        assert task == told
        assert not torch.equal(views[0], views[1])
        # drawn pictures are smooth, so that what is left beside a mean of neighbours is noise
        noisy = [
            float((view - F.avg_pool2d(view[None], 3, 1, 1)[0])[:, 2:-2, 2:-2].std()) > 0.1
            for view in views
        ]
        assert noisy == [float((degraded - clean).std()) > 0.1] * 2
        kinds.add(noisy[0])
    assert kinds == {True, False}


def schedule(**changes: Any) -> TrainRecipe:
    base: dict[str, Any] = {
        "model": "airnet",
        "settings": SMALL,
        "losses": {"aux": 0.1},
        "phases": [
            {"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3, "aux_only": True},
            {"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3},
        ],
    }
    return recipe(**base | changes)


def test_it_trains_from_a_manifest_its_encoder_first(
    manifest: Path, photos: Path, tmp_path: Path
) -> None:
    weights = {}
    for name, phases in (("warm", 1), ("whole", 2)):
        setting = schedule()
        setting = schedule(phases=[phase.model_dump() for phase in setting.phases[:phases]])
        result = train(setting, [manifest], tmp_path / name)
        weights[name] = load_model(result.checkpoint, device="cpu").state_dict()
    torch.manual_seed(0)
    fresh = build_model("airnet", **SMALL).state_dict()
    for name, tensor in fresh.items():
        if name.startswith(("head", "groups", "body", "tail")):
            assert torch.equal(weights["warm"][name], tensor), "the restorer waits for its encoder"
            assert not torch.equal(weights["whole"][name], tensor) or not tensor.dim()
    for name in (
        "encoder.first.body.0.weight",
        "key_encoder.first.body.0.weight",
        "queue_FK",
        "oldest",
    ):
        assert not torch.equal(weights["warm"][name], fresh[name]), name
    assert weights["warm"]["oldest"] == 4
    done = restore_files(
        tmp_path / "whole/model.safetensors", [photos / "0.png"], tmp_path / "restored.png"
    )
    assert done[0].error == ""


def test_what_cannot_be_trained_so_is_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RestoreError, match="aux_only, which is for airnet: restormer has no such loss"
    ):
        small = {"dim": 8, "num_blocks": [1, 1], "heads": [1, 2]}
        train(schedule(model="restormer", settings=small), [manifest], tmp_path / "out")
    with pytest.raises(RecipeError, match=r"aux_only needs losses\.aux over 0"):
        schedule(losses={"aux": 0})
    with pytest.raises(RestoreError, match="queue is 1 crop or more, not 0"):
        build_model("airnet", queue=0)


def test_the_recipe_is_the_published_schedule() -> None:
    """100 epochs for the encoder, 900 for all, the rate halved every 125."""
    setting = TrainRecipe.load(ROOT / "pipelines/train/airnet.yaml")
    assert [
        sum(p.epochs for p in setting.phases if p.aux_only == warm) for warm in (True, False)
    ] == [100, 900]
    done = 0
    for phase in (p for p in setting.phases if not p.aux_only):
        assert phase.lr == pytest.approx(1e-4 * 0.5 ** (done // 125))
        done += phase.epochs
