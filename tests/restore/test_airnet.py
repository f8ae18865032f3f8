"""AirNet: deformable convolutions, contrast, queue, training."""

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
    return AirNet(**SMALL)


def pair(seed: int = 0, batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(batch, 3, 16, 20, generator=generator) for _ in range(2))
    return first, second


def test_airnet_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = build_model("airnet")
    assert count_parameters(model) == 8_930_313
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 7_610_377
    assert count_parameters(model.get_submodule("encoder")) == 1_319_936


def test_deformable_convolution_moves_its_taps_by_the_offsets() -> None:
    layer = DeformableConvolution(2)
    x, guide = torch.randn(1, 2, 8, 9), torch.randn(1, 2, 8, 9)
    plain = F.conv2d(x, layer.convolution.weight, padding=1)
    assert torch.allclose(layer(x, guide), plain / 2, atol=1e-6), "before training: half strength"
    with torch.no_grad():
        layer.taps.bias[:18] = torch.tensor([1.0, 2.0]).repeat(9)  # one down, two to the right
        layer.taps.bias[18:] = 100
    moved = F.conv2d(F.pad(x, (0, 3, 0, 2)), layer.convolution.weight, padding=1)[..., 1:9, 2:11]
    assert torch.allclose(layer(x, guide)[..., 1:-3, 1:-4], moved[..., 1:-3, 1:-4], atol=1e-5)


def test_guide_map_changes_the_restored_image(small: AirNet) -> None:
    image, other = pair()
    small.eval()
    with torch.no_grad():
        own = small._restore(image, small.encoder(image))
        assert not torch.allclose(own, small._restore(image, small.encoder(other)), atol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 50), (17, 9)])
def test_image_of_any_size_keeps_its_size(small: AirNet, size: tuple[int, int]) -> None:
    small.eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored, aux = small.forward_with_aux(image)
        single = torch.cat([small(each[None]) for each in image])
    assert restored.shape == image.shape
    assert torch.allclose(restored, single, atol=1e-5)
    assert aux == 0


def test_contrastive_loss_is_the_cross_entropy_of_the_second_crop(small: AirNet) -> None:
    image, other = pair()
    known = small.queue_FK.clone()
    loss = small.aux_loss(image, other)
    small.eval()
    small.train()  # the same statistics of the batch, for what follows
    with torch.no_grad():
        query = F.normalize(small.encoder.embed(small.encoder(image)), dim=1)
        key = F.normalize(small.key_encoder.embed(small.key_encoder(other)), dim=1)
    terms = []
    for q, k in zip(query, key, strict=True):
        scores = torch.cat([(q @ k)[None], torch.stack([q @ each for each in known.T])]) / 0.07
        terms.append(-scores.softmax(0)[0].log())
    assert loss.item() == pytest.approx(torch.stack(terms).mean().item(), abs=1e-5)
    assert torch.allclose(small.queue_FK[:, :3], key.T, atol=1e-6)
    assert torch.equal(small.queue_FK[:, 3:], known[:, 3:])


def test_queue_of_any_size_overwrites_the_oldest_first(small: AirNet) -> None:
    """The size needn't be a multiple of the batch, or as large."""
    seen = []
    for seed in range(3):
        before = small.queue_FK.clone()
        keys = torch.randn(4, 256, generator=torch.Generator().manual_seed(seed))
        small._enqueue(F.normalize(keys, dim=1))
        seen.append([i for i in range(6) if not torch.equal(before[:, i], small.queue_FK[:, i])])
    assert seen == [[0, 1, 2, 3], [0, 1, 4, 5], [2, 3, 4, 5]]
    small._enqueue(F.normalize(torch.randn(9, 256), dim=1))
    assert small.queue_FK.shape == (256, 6)


def test_second_encoder_follows_the_first_untrained(small: AirNet) -> None:
    with torch.no_grad():
        for parameter in small.encoder.parameters():
            parameter += 1
    before = [p.clone() for p in small.key_encoder.parameters()]
    loss = small.aux_loss(*pair())
    loss.backward()
    encoders = small.key_encoder.parameters(), small.encoder.parameters()
    for old, key, query in zip(before, *encoders, strict=True):
        assert torch.allclose(key, 0.999 * old + 0.001 * query, atol=1e-6)
        assert key.grad is None
        assert query.grad is not None


def test_gradient_reaches_every_trained_parameter(small: AirNet) -> None:
    restored, aux = small.forward_with_aux(*pair())
    for name, parameter in small.named_parameters():
        if name.endswith("taps.weight"):
            nn.init.normal_(parameter, std=0.1)
    restored, aux = small.forward_with_aux(*pair(1))
    (restored.square().mean() + aux).backward()
    trained = [(name, p) for name, p in small.named_parameters() if p.requires_grad]
    assert [name for name, p in trained if p.grad is None or not p.grad.any()] == []


def test_encoder_learns_to_distinguish_degradations(small: AirNet) -> None:
    """Crops with one of noise, blur and darkness are nearer than those with another."""
    generator = torch.Generator().manual_seed(0)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        views = torch.rand(2, 3, 3, 16, 16, generator=generator).round(decimals=1)
        views[:, 0] += 0.3 * torch.randn(2, 3, 16, 16, generator=generator)
        views[:, 1] = F.avg_pool2d(views[:, 1], 5, 1, 2)
        views[:, 2] *= 0.2
        return views[0], views[1]

    model = AirNet(**{**SMALL, "queue": 12, "momentum": 0.9})
    optimiser = torch.optim.Adam(model.encoder.parameters(), 3e-3)
    for _ in range(60):
        loss = model.aux_loss(*batch())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        a, b = (F.normalize(model.encoder.embed(model.encoder(view)), dim=1) for view in batch())
    near = a @ b.T
    assert near.argmax(1).tolist() == [0, 1, 2]
    assert near.diagonal().min() > near[~torch.eye(3, dtype=torch.bool)].max() + 0.1


def test_half_precision_result_is_close(small: AirNet) -> None:
    image, other = pair()
    whole, _ = small.forward_with_aux(image, other)
    with torch.autocast("cpu", torch.bfloat16):
        half, aux = small.forward_with_aux(image, other)
    (half.float().mean() + aux).backward()
    assert (half - whole).abs().mean() < 0.1 * whole.abs().mean()


def test_forward_cost_includes_deformable_convolutions() -> None:
    """Inference runs one block of the encoder; weights count once a pixel, sampling doesn't."""
    with torch.device("meta"):
        model = build_model("airnet")
    weights = 0
    for name, parameter in model.named_parameters():
        used = "encoder" not in name or name.startswith("encoder.first")
        weights += parameter.numel() if parameter.dim() == 4 and used else 0
    cost = forward_cost(model, 8, 8)
    assert cost.total_macs == 64 * weights
    assert cost.macs["encoder"] == 64 * (27 * 64 + 9 * 64 * 64 + 3 * 64)


def test_two_views_share_picture_and_degradation(photos: Path) -> None:
    phases = recipe(phases=[{"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3}]).phases
    groups = [Group(open_pictures(photos), {"denoise_50": 1, "denoise_1": 1})]
    one, two = (PatchDataset(groups, phases, seed=3, views=views) for views in (1, 2))
    kinds = set()
    for number in range(8):
        degraded, clean, task = one[0, number]
        views, same, task_of_both = two[0, number]
        assert views.shape == (2, 3, 16, 16)
        assert torch.equal(views[0], degraded), "the first is as if it were the only one"
        assert torch.equal(same, clean)
        assert task == task_of_both
        assert not torch.equal(views[0], views[1])
        # drawn pictures are smooth: the difference to a mean of neighbours is noise
        residual = (views - F.avg_pool2d(views, 3, 1, 1))[..., 2:-2, 2:-2]
        noisy = (residual.flatten(1).std(1) > 0.1).tolist()
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


def test_airnet_training_warms_the_encoder_up_first(
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
    first = "encoder.first.body.0.weight"
    for name in (first, f"key_{first}", "queue_FK", "oldest"):
        assert not torch.equal(weights["warm"][name], fresh[name]), name
    assert weights["warm"]["oldest"] == 4
    checkpoint = tmp_path / "whole/model.safetensors"
    (done,) = restore_files(checkpoint, [photos / "0.png"], tmp_path / "restored.png")
    assert done.error == ""


def test_aux_only_training_of_other_models_is_refused(manifest: Path, tmp_path: Path) -> None:
    message = "aux_only, which is for airnet: restormer has no such loss"
    with pytest.raises(RestoreError, match=message):
        small = {"dim": 8, "num_blocks": [1, 1], "heads": [1, 2]}
        train(schedule(model="restormer", settings=small), [manifest], tmp_path / "out")
    with pytest.raises(RecipeError, match=r"aux_only needs losses\.aux over 0"):
        schedule(losses={"aux": 0})
    with pytest.raises(RestoreError, match="queue is 1 crop or more, not 0"):
        build_model("airnet", queue=0)


def test_airnet_recipe_is_the_published_schedule() -> None:
    """100 epochs for the encoder, 900 for all, the rate halved every 125."""
    setting = TrainRecipe.load(ROOT / "pipelines/train/airnet.yaml")
    assert sum(p.epochs for p in setting.phases if p.aux_only) == 100
    assert sum(p.epochs for p in setting.phases if not p.aux_only) == 900
    done = 0
    for phase in (p for p in setting.phases if not p.aux_only):
        assert phase.lr == pytest.approx(1e-4 * 0.5 ** (done // 125))
        done += phase.epochs
