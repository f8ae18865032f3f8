"""Curves, pictures and warnings of a training."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from curate.restore.data.loader import Pace
from curate.restore.models import build_model
from curate.restore.models.routing_hooks import register_routing_hooks
from curate.restore.training.callbacks import LoaderPace, MovingAverage, Routing
from curate.restore.training.trainer import train
from tests.restore.samples import TINY, recipe

DAMOE = {"dim": 12, "depths": [2], "heads": 2, "experts": 3}


def events(folder: Path) -> EventAccumulator:
    log = EventAccumulator(str(folder / "logs"), size_guidance={"images": 0})
    log.Reload()
    return log


def test_the_log_has_every_curve_and_a_picture_of_each_degradation(
    photos: Path, tmp_path: Path
) -> None:
    settings = recipe(
        losses={"l1": 1, "l2": 0.5, "fft": 0.1},
        validation={"images": 1, "crop": 32, "degradations": ["denoise_50", "sr_x2"]},
    )
    train(settings, [photos], tmp_path)
    log = events(tmp_path)
    tags = set(log.Tags()["scalars"])
    assert {
        f"train/{name}" for name in ("l1", "l2", "fft", "aux", "loss", "lr", "gradient")
    } <= tags
    assert {"psnr", "psnr/denoise_50", "psnr/sr_x2", "loader/patches_per_second"} <= tags
    assert log.Scalars("train/gradient")[0].value > 0
    last = {
        name: log.Scalars(f"train/{name}")[-1].value for name in ("l1", "l2", "fft", "aux", "loss")
    }
    assert last["loss"] == pytest.approx(
        last["l1"] + 0.5 * last["l2"] + 0.1 * last["fft"] + 0.01 * last["aux"], rel=1e-5
    )
    assert log.Tags()["images"] == ["samples/denoise_50", "samples/sr_x2"]
    strip = np.asarray(
        Image.open(io.BytesIO(log.Images("samples/denoise_50")[-1].encoded_image_string))
    )
    degraded, restored, clean = (strip[:, 32 * i : 32 * (i + 1)].astype(float) for i in range(3))
    assert 30 < np.std(degraded - clean) < 60, "noise of 50, clipped"
    assert 0 < np.std(restored - degraded) < np.std(degraded - clean)


def test_routing_curves_are_shares_by_layer_and_by_task(photos: Path, tmp_path: Path) -> None:
    train(recipe(phases=[{"epochs": 1, "crop": 16, "batch": 4, "lr": 1e-4}]), [photos], tmp_path)
    log = events(tmp_path)
    shares: dict[str, list[float]] = {}
    for tag in log.Tags()["scalars"]:
        if tag.startswith(("experts/", "routing/")):
            shares.setdefault(tag.rpartition("/")[0], []).append(log.Scalars(tag)[0].value)
    layers = {name.removeprefix("experts/") for name in shares if name.startswith("experts/")}
    assert len(layers) == sum(TINY["num_dec_blocks"])
    assert all(len(values) == 4 and sum(values) == pytest.approx(1) for values in shares.values())
    tasks = {name.split("/")[1] for name in shares if name.startswith("routing/")}
    assert tasks <= {"sr", "denoise", "dejpeg"}
    assert all(f"routing/{task}/{layer}" in shares for task in tasks for layer in layers)


def heard(model: torch.nn.Module, *inputs: Tensor) -> dict[str, tuple[int, Tensor]]:
    found = {}
    layers = register_routing_hooks(
        model, lambda layer, experts, expert_N: found.update({layer: (experts, expert_N)})
    )
    model.train().forward_with_aux(*inputs)
    assert list(found) == layers
    return found


def test_what_is_heard_of_images_is_what_the_routers_picked() -> None:
    torch.manual_seed(0)
    model = build_model("moe_ir_30g", **TINY)
    images = torch.rand(3, 3, 16, 16)
    found = heard(model, images)
    _, choices = model.eval().forward_with_choices(images, route=[2, 0, 3])
    assert [
        expert.tolist() for _, expert in found.values()
    ] == choices.T.tolist()  # heard again, in evaluation
    assert {experts for experts, _ in found.values()} == {4}


def test_what_is_heard_of_patches_is_what_the_gates_prefer() -> None:
    torch.manual_seed(0)
    model = build_model("damoe_soft", **DAMOE)
    found = heard(model, torch.rand(2, 3, 21, 14), torch.tensor([1, 0]))
    assert len(found) == 2
    for experts, expert_N in found.values():
        assert (experts, len(expert_N)) == (3, 2 * 3 * 2)
        assert expert_N.max() < 3


def trainer(step: int, logged: list[dict[str, float]]) -> SimpleNamespace:
    return SimpleNamespace(
        global_step=step,
        log_every_n_steps=10**6,
        strategy=SimpleNamespace(reduce=lambda tensor, reduce_op: tensor),
        logger=SimpleNamespace(log_metrics=lambda curves, step: logged.append(curves)),
    )


def test_shares_are_of_the_right_task_where_the_model_sorts_its_batch() -> None:
    torch.manual_seed(0)
    model = build_model("damoe_soft", **DAMOE)
    with (
        torch.no_grad()
    ):  # each task's images to one expert: what the gate sees is dominated by the task
        model.task_embedding.copy_(torch.eye(4, 12) * 100)
    task_B = torch.tensor([3, 0, 3, 3])
    logged: list[dict[str, float]] = []
    watch = Routing(lambda _: None, window=1)
    watch.on_train_start(trainer(0, logged), SimpleNamespace(model=model))
    alone = {}
    for tasks in (task_B, torch.tensor([0]), torch.tensor([3])):
        images = torch.rand(len(tasks), 3, 7, 7, generator=torch.Generator().manual_seed(1))
        watch.on_train_batch_start(trainer(1, logged), None, (images, images, tasks))
        model.train().forward_with_aux(images, tasks)
        watch.on_train_batch_end(trainer(1, logged))
        alone[tuple(tasks.tolist())] = logged.pop()
    mixed, first, last = alone.values()
    for name in ("sr", "dejpeg"):
        curves = {key: value for key, value in mixed.items() if key.startswith(f"routing/{name}/")}
        assert len(curves) == 6
        assert curves == {
            key: value for key, value in (first if name == "sr" else last).items() if key in curves
        }
    for key in (name.removeprefix("experts/") for name in mixed if name.startswith("experts/")):
        parts = mixed[f"routing/sr/{key}"], mixed[f"routing/dejpeg/{key}"]
        assert mixed[f"experts/{key}"] == pytest.approx(0.25 * parts[0] + 0.75 * parts[1])


def test_dead_experts_are_reported_once(photos: Path) -> None:
    torch.manual_seed(0)
    model = build_model("moe_ir_30g", **TINY)
    messages: list[str] = []
    watch = Routing(messages.append, dead=0.01, window=2)
    watch.on_train_start(trainer(0, []), SimpleNamespace(model=model))
    images, task_B = torch.rand(3, 3, 8, 8), torch.tensor([2, 2, 2])
    for step, route in enumerate(
        [[0, 1, 2], [0, 0, 1], [0, 1, 1], [0, 1, 2], [0, 1, 2], [1, 2, 3]], start=1
    ):
        watch.on_train_batch_start(trainer(step, []), None, (images, images, task_B))
        model.train().forward_with_aux(images, route=route)
        watch.on_train_batch_end(trainer(step, []))
    assert len(messages) == 1, "expert 3 in the first two windows, and none in the third"
    layers = [f"decoder block {n}" for n in (1, 2, 3)]
    assert messages == [
        "under 1.0% of the samples of the last 2 steps went to each of the experts "
        f"{', '.join(f'3 of {layer}' for layer in layers)}: they learn nothing; raise losses.aux"
    ]


def test_a_slow_loader_is_reported_once_and_in_the_end(photos: Path) -> None:
    messages: list[str] = []
    patches = SimpleNamespace(pace=Pace())
    watch = LoaderPace(patches, messages.append, window=10)
    for seconds, waited in ((5, 0), (10, 0.5), (20, 5.5), (30, 12)):
        patches.pace = Pace(seconds * 100, seconds, waited)
        watch.on_train_batch_end(trainer(10**6, []))
    assert messages == [
        "the loader gives 100 patches/s, a step needs 200 patches/s: raise workers or "
        "crops_per_image"
    ]
    assert (
        str(Pace(100, 1.0, 0.05)) == "the loader keeps up with the 105 patches/s that a step uses"
    )


def test_the_end_tells_whether_patches_came_in_time(photos: Path, tmp_path: Path) -> None:
    result = train(recipe(samples_per_epoch=8), [photos], tmp_path)
    assert result.pace.startswith("the loader ")
    assert train(recipe(samples_per_epoch=8), [photos], tmp_path).pace == ""


def test_moving_average_leaves_integers_as_they_are() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.register_buffer("offsets", torch.arange(100))
            self.register_buffer("mean", torch.zeros(1))

    net = Net()
    average = AveragedModel(net, use_buffers=True, **MovingAverage(0.9999)._kwargs)
    for _ in range(300):
        average.update_parameters(net)
        net.weight.data += 1
        net.mean += 1
    assert torch.equal(average.module.offsets, net.offsets)
    expected = sum(n * 0.0001 * 0.9999 ** (299 - n) for n in range(300))
    assert float(average.module.weight.detach()) == pytest.approx(expected, rel=1e-3)
    assert float(average.module.mean) == pytest.approx(expected, rel=1e-3)
