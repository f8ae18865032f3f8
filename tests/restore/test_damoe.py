"""DAMoE: table 10, mixtures by hand, tasks, training from a manifest."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from curate.errors import RestoreError
from curate.restore import TrainRecipe, evaluate, restore_files, train
from curate.restore.checkpoints.checkpoint import CheckpointInfo, load_model, save_model
from curate.restore.data.degradations import TASKS, parse_degradation
from curate.restore.data.patches import to_tensor
from curate.restore.inference.restore_image import restore_array
from curate.restore.models import DAMoE, build_model, count_parameters
from curate.restore.models.damoe import HardMixture, SoftMixture
from curate.restore.models.paper_flops import published_flops
from curate.restore.models.swinir import MixtureContext, SwinBlock
from curate.restore.schedule import Schedule
from tests import ROOT
from tests.restore.samples import draw, recipe

SMALL = {"dim": 12, "depths": [2, 2], "heads": 3, "experts": 5}


@pytest.fixture
def small() -> DAMoE:
    torch.manual_seed(0)
    model = DAMoE(**SMALL)
    with torch.no_grad():
        # fresh networks hardly change an image, and fresh gates hardly choose: strengthen both
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter *= 20 if ".gate." in name else 3
    return model.eval()


@pytest.mark.parametrize(
    ("name", "parameters", "flops"),
    [
        ("swinir", 11_492_067, 83.49),
        ("damoe_hard", 25_547_907, 83.49),
        ("damoe_soft", 139_045_107, 99.98),
        ("damoe", 82_296_507, 91.74),
    ],
)
def test_parameters_and_flops_are_those_of_table_10(
    name: str, parameters: int, flops: float
) -> None:
    with torch.device("meta"):
        model = build_model(name)
    assert count_parameters(model) == parameters
    assert round(published_flops(model) / 1e9, 2) == flops


def test_damoe_alternates_mixtures_from_a_hard_one() -> None:
    with torch.device("meta"):
        model = build_model("damoe")
    kinds = [type(block.feed_forward) for group in model.groups for block in group.blocks]
    assert kinds == [HardMixture, SoftMixture] * 18
    assert [len(block.feed_forward.experts) for block in model.groups[0].blocks] == [4, 16] * 3


def test_batch_of_tasks_equals_its_images_one_by_one(small: DAMoE) -> None:
    images = torch.rand(6, 3, 14, 21, generator=torch.Generator().manual_seed(1))
    tasks = [3, 0, 2, 2, 0, 3]
    with torch.no_grad():
        together = small(images, tasks)
        pairs = zip(images, tasks, strict=True)
        single = torch.cat([small(image[None], task) for image, task in pairs])
        other = small(images, torch.tensor([3, 0, 2, 1, 0, 3]))
    assert torch.allclose(together, single, atol=2e-5)
    assert not torch.allclose(together[3], other[3], atol=1e-2), "tasks must differ in this test"
    assert torch.allclose(together[[0, 1, 2, 4, 5]], other[[0, 1, 2, 4, 5]], atol=2e-5)


def test_soft_mixture_equals_eqs_7_to_11_patch_by_patch() -> None:
    torch.manual_seed(0)
    mixture = SoftMixture(6, 8, experts=4, patch=7).eval()
    mixture.gate.weight.data *= 20
    x = torch.randn(2, 14, 21, 6)
    chosen = set()
    with torch.no_grad():
        y = mixture(x, MixtureContext())
        for image, top, left in itertools.product((0, 1), (0, 7), (0, 7, 14)):
            place = (image, slice(top, top + 7), slice(left, left + 7))
            token = torch.einsum("hwc,ochw->o", x[place], mixture.token.weight) + mixture.token.bias
            weights = (mixture.gate.weight @ mixture.norm(token)).softmax(0)
            expert = int(weights.argmax())
            chosen.add(expert)
            expected = weights[expert] * mixture.experts[expert](x[place])
            assert torch.allclose(y[place], expected, atol=1e-5)
    assert len(chosen) > 1


def test_gradient_reaches_no_unused_expert_or_task(small: DAMoE) -> None:
    small.train()
    images = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(2))
    used: dict[str, set[int]] = {}

    def remember(name: str) -> object:
        def hook(mixture: SoftMixture, inputs: tuple[Tensor, MixtureContext], _: Tensor) -> None:
            used[name] = set(mixture.gate(mixture.tokens(inputs[0])).argmax(1).tolist())

        return hook

    for name, module in small.named_modules():
        if isinstance(module, SoftMixture):
            module.register_forward_hook(remember(name))
        elif isinstance(module, HardMixture):
            used[name] = {1, 2}
        elif isinstance(module, SwinBlock):
            module.drop_path = 0
    restored, aux = small.forward_with_aux(images, [2, 1])
    (restored - images.flip(3)).abs().mean().backward()
    assert aux > 0
    got = {name for name, p in small.named_parameters() if p.grad is not None and p.grad.any()}
    for name, _ in small.named_parameters():
        mixture, is_expert, rest = name.partition(".experts.")
        assert (name in got) == (not is_expert or int(rest[0]) in used[mixture]), name
    assert small.task_embedding.grad is not None
    assert small.task_embedding.grad.any(1).tolist() == [False, True, True, False]


def test_balance_loss_is_zero_for_even_shares_and_absent_in_evaluation() -> None:
    mixture = SoftMixture(6, 8, experts=4, patch=7)
    x, even, uneven, evaluated = torch.randn(1, 14, 14, 6), *(MixtureContext() for _ in range(3))
    nn.init.zeros_(mixture.gate.weight)
    mixture(x, even)
    assert even.balance_losses[0] == 0
    nn.init.normal_(mixture.gate.weight, generator=torch.Generator().manual_seed(0))
    mixture(x, uneven)
    assert uneven.balance_losses[0] > 0.01
    mixture.eval()(x, evaluated)
    assert evaluated.balance_losses == []


@pytest.mark.parametrize("size", [(14, 21), (1, 1), (3, 30), (17, 9)])
def test_image_of_any_size_keeps_its_size(small: DAMoE, size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored, aux = small.forward_with_aux(image, [1, 0])
        assert torch.equal(small(image, [1, 0]), restored), "evaluation draws nothing"
    assert restored.shape == image.shape
    assert restored.isfinite().all()
    assert aux == 0


def test_damoe_checkpoint_round_trips(small: DAMoE, tmp_path: Path) -> None:
    info = CheckpointInfo(model="damoe", settings=SMALL)
    save_model(tmp_path / "model.safetensors", small.state_dict(), info)
    loaded = load_model(tmp_path / "model.safetensors", device="cpu")
    image = torch.rand(1, 3, 14, 14)
    with torch.no_grad():
        assert torch.equal(loaded(image, 2), small(image, 2))


@pytest.mark.parametrize("tasks", [[0, 4], [-1, 0]])
def test_unknown_tasks_are_refused(small: DAMoE, tasks: list[int]) -> None:
    with pytest.raises(ValueError, match="tasks are numbers from 0 to 3"):
        small(torch.rand(2, 3, 7, 7), tasks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixtures": "both"}, "mixtures is alternated, hard or soft, not 'both'"),
        ({"experts": 1}, "a mixture has 2 experts or more, not 1"),
    ],
)
def test_damoe_with_bad_settings_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        build_model("damoe", **settings)


def test_half_precision_result_is_close(small: DAMoE) -> None:
    image = torch.rand(2, 3, 21, 21, generator=torch.Generator().manual_seed(0))
    small.train()
    for module in small.modules():
        if isinstance(module, SwinBlock):
            module.drop_path = 0
    whole = small(image, [0, 2])
    with torch.autocast("cpu", torch.bfloat16):
        half = small(image, [0, 2])
    half.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in small.parameters() if p.grad is not None)
    assert (half - whole).abs().mean() < 0.1 * (whole - image).abs().mean()


def test_damoe_trained_from_a_manifest_gets_the_task_of_each_patch_and_restores(
    manifest: Path, photos: Path, tmp_path: Path
) -> None:
    batches: list[list[int]] = []
    forward = DAMoE.forward_with_aux

    def spy(self: DAMoE, image: Tensor, task: Tensor | int) -> tuple[Tensor, Tensor]:
        if isinstance(task, Tensor):
            batches.append(task.tolist())
        return forward(self, image, task)

    settings = recipe(
        model="damoe",
        settings=SMALL,
        degradations={"denoise_25": 1, "derain": 1, "dejpeg_10": 1, "sr_x2": 1},
        samples_per_epoch=16,
        phases=[{"epochs": 1, "crop": 14, "batch": 8, "lr": 1e-3}],
        validation={"degradations": ["derain_light", "sr_x2"], "images": 1, "crop": 32},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DAMoE, "forward_with_aux", spy)
        result = train(settings, [manifest], tmp_path / "out")
    assert len(batches) == 2
    assert set(itertools.chain(*batches)) == {0, 1, 2, 3}
    assert {"psnr/derain_light", "psnr/sr_x2"} <= set(result.metrics)

    before, after = evaluate(result.checkpoint, photos, ["dejpeg_20"], limit=1).scores
    assert before.degradation == after.degradation == "dejpeg_20"
    assert before.psnr != after.psnr
    for options in ({"degrade": "denoise_25"}, {"task": "denoise_50"}):
        out = tmp_path / f"{next(iter(options))}.png"
        (done,) = restore_files(result.checkpoint, [photos / "0.png"], out, **options)
        assert done.error == ""
    message = r"must be told what to do: name a task \(--task\), one of sr"
    with pytest.raises(RestoreError, match=message):
        restore_files(result.checkpoint, [photos], tmp_path / "b")


def test_array_is_restored_for_the_given_task(small: DAMoE) -> None:
    image = draw(0)
    sr, rain = (restore_array(small, image, task=task) for task in ("sr", "derain"))
    assert not (sr == rain).all()
    with torch.no_grad():
        expected = small(to_tensor(image)[None], 1)[0].clamp(0, 1).mul(255).round().byte()
    assert (rain == expected.permute(1, 2, 0).numpy()).all()


def test_large_picture_is_restored_in_pieces_within_the_limit(
    small: DAMoE, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def identity(self: DAMoE, image: Tensor, task: int) -> Tensor:
        sizes.append(image.shape[2] * image.shape[3])
        return image

    monkeypatch.setattr(DAMoE, "forward", identity)
    image = draw(0, 600, 960)
    assert (restore_array(small, image, task="sr") == image).all()
    assert len(sizes) == 6
    assert max(sizes) <= DAMoE.pixels_at_once


def test_damoe_recipe_is_the_papers() -> None:
    setting = TrainRecipe.load(ROOT / "pipelines/train/damoe.yaml")
    tasks = [parse_degradation(name).task for name in setting.degradations]
    assert [tasks.count(task) for task in TASKS] == [3, 1, 3, 4, 0, 0]
    assert setting.phases[0].crop == 84
    assert 499_000 < Schedule(setting.phases, setting.samples_per_epoch).steps <= 500_000
