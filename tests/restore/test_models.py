"""MoCE-IR: published numbers, plain formulas, routing, strips, training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curate.errors import RestoreError
from curate.restore.models import blocks, build_model, count_parameters
from curate.restore.models.blocks import (
    ChannelAttention,
    LayerNorm,
    SelfAttention,
    TransformerBlock,
    map_strips,
    pad_to_multiple,
    share_of_step,
)
from curate.restore.models.complexity_experts import TileMixer, balance_loss
from curate.restore.models.moce_ir import MoCEIR
from tests.restore.plain_moce_ir import plain_moce_ir
from tests.restore.samples import TINY


@pytest.fixture
def tiny() -> MoCEIR:
    torch.manual_seed(0)
    model = build_model("moe_ir_30g", **TINY)
    assert isinstance(model, MoCEIR)
    with torch.no_grad():
        # fresh networks hardly change an image: strengthen all parts but the routers
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and not _routes(name):
                parameter *= 2
    return model.eval()


def _routes(name: str) -> bool:
    return name.startswith("frequency") or ".from_" in name


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("moe_ir_30g", {}, 571_001),
        ("moce_ir_s", {}, 11_477_752),
        ("moce_ir", {}, 25_353_796),
        ("moce_ir", {"dim": 8}, 835_246),
    ],
)
def test_moce_ir_parameter_count_is_the_published_one(
    name: str, settings: dict[str, int], count: int
) -> None:
    with torch.device("meta"):
        assert count_parameters(build_model(name, **settings)) == count


def test_moe_ir_30g_counts_one_untrained_tensor_the_high_pass_filter() -> None:
    model = build_model("moe_ir_30g")
    assert sum(p.numel() for p in model.parameters()) == 570_425
    assert [name for name, _ in model.named_buffers() if name in model.state_dict()] == [
        "frequency.high_pass_C133"
    ]


def test_moe_ir_30g_parameters_of_each_part_are_the_authors() -> None:
    model = build_model("moe_ir_30g")
    expected = {
        "patch_embed": 216, "encoder.0": 2_610, "encoder.1": 7_780, "encoder.2": 51_600,
        "down.0": 288, "down.1": 1_152, "down.2": 4_608, "latent": 185_120, "frequency": 17_152,
        "up.2": 73_728, "fuse.2": 2_048, "decoder.2": 165_648,
        "up.1": 18_432, "fuse.1": 512, "decoder.1": 27_364,
        "up.0": 4_608, "fuse.0": 128, "decoder.0": 5_181, "refinement": 2_610, "output": 216,
    }  # fmt: skip
    assert {name: count_parameters(model.get_submodule(name)) for name in expected} == expected
    experts = {
        2: [900, 1_928, 4_368, 10_784],
        1: [338, 708, 1_544, 3_600],
        0: [141, 290, 612, 1_352],
    }
    for level, counts in experts.items():
        routed = model.decoder[level][0].routed
        assert [count_parameters(expert) for expert in routed.experts] == counts


@pytest.mark.parametrize(("expert", "per_pixel"), [(0, 29_594), (3, 34_781)])
def test_moe_ir_30g_multiplications_are_the_published_ones(expert: int, per_pixel: int) -> None:
    """Count weights times the places where they are applied: 27.27 and 32.05 G at 1280x720."""
    model = build_model("moe_ir_30g").eval()
    counted = []

    def count(weighted: nn.Module) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            places = output.shape[2] * output.shape[3] if output.dim() == 4 else 1
            counted.append(weighted.weight.numel() * places)

        return hook

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count(module))
        if isinstance(module, ChannelAttention):
            # its last convolution is multiplied into the attention, at the same cost
            queries = module.qkv if isinstance(module, SelfAttention) else module.q
            queries.register_forward_hook(count(module.out))
    with torch.no_grad():
        model(torch.rand(1, 3, 64, 64), route=expert)
    high_pass = 9 * 64 * 8 * 8
    embedding_and_routers = 2 * 64 * 128 + 4 * (32 + 64) * 4 + 2 * (16 + 64) * 4 + (8 + 64) * 4
    assert sum(counted) + high_pass == per_pixel * 64 * 64 + embedding_and_routers


@pytest.mark.parametrize(
    ("size", "experts", "macs"),
    [
        ((720, 1280), 0, 28_284_844_896),
        ((720, 1280), 1, 28_826_745_696),
        ((720, 1280), 2, 30_065_376_096),
        ((720, 1280), 3, 33_161_952_096),
        ((720, 1280), [0, 1, 1, 1, 0, 1, 2], 28_977_888_096),  # the document's 28.98 G
        ((256, 256), 0, 2_011_384_672),
        ((256, 256), 3, 2_358_201_184),
        ((121, 127), 3, 589_564_768),  # padded to 128 x 128
    ],
)
def test_macs_are_what_ptflops_counts(
    size: tuple[int, int], experts: int | list[int], macs: int
) -> None:
    with torch.device("meta"):
        model = build_model("moe_ir_30g")
    assert model.macs(*size, experts) == macs
    with pytest.raises(ValueError, match="each of the 7 decoder blocks"):
        model.macs(*size, [0, 1])


def _scatter(model: MoCEIR, seed: int) -> None:
    """Make routers pick all sorts of experts."""
    torch.manual_seed(seed)
    for block in model.modules():
        if hasattr(block, "from_image"):
            block.from_image.weight.data.normal_(0, 50)


@pytest.mark.parametrize("budget", [1.0, 1.02, 1.04])
@pytest.mark.parametrize("size", [(16, 24), (40, 33), (1, 1)], ids=str)
def test_routers_with_a_budget_keep_to_it_for_any_picture(
    size: tuple[int, int], budget: float
) -> None:
    with torch.device("meta"):
        cheapest = build_model("moe_ir_30g", **TINY).macs(720, 1280)
    torch.manual_seed(0)
    free = build_model("moe_ir_30g", **TINY).eval()
    bound = build_model("moe_ir_30g", **TINY, max_macs=budget * cheapest).eval()
    assert isinstance(free, MoCEIR)
    assert isinstance(bound, MoCEIR)
    padded = [-(-side // free.multiple) * free.multiple for side in size]
    most = max(free.macs(*size), budget * cheapest * padded[0] * padded[1] / (720 * 1280))
    spent, wanted = [], []
    for seed in range(4):
        _scatter(free, seed)
        bound.load_state_dict(free.state_dict())
        images = torch.rand(3, 3, *size) * torch.linspace(0.2, 1, 3)[:, None, None, None]
        with torch.no_grad():
            restored, choices = bound.forward_with_choices(images)
            single = torch.cat([bound(image[None]) for image in images])
            wanted += [free.macs(*size, c) for c in free.forward_with_choices(images)[1].tolist()]
        assert torch.allclose(restored, single, atol=1e-4)
        spent += [bound.macs(*size, c) for c in choices.tolist()]
    assert max(spent) <= most < max(wanted)
    if budget > 1 and size != (1, 1):
        assert max(spent) > free.macs(*size), "a budget is there to be spent"


def test_routers_with_a_generous_budget_pick_freely(tiny: MoCEIR) -> None:
    generous = build_model("moe_ir_30g", **TINY, max_macs=1e12).eval()
    generous.load_state_dict(tiny.state_dict())
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(generous(image), tiny(image))


def test_given_route_is_taken_over_budget() -> None:
    with torch.device("meta"):
        cheapest = build_model("moe_ir_30g", **TINY).macs(720, 1280)
    model = build_model("moe_ir_30g", **TINY, max_macs=cheapest).eval()
    with torch.no_grad():
        _, choices = model.forward_with_choices(torch.rand(1, 3, 8, 8), route=3)
    assert set(choices.flatten().tolist()) == {3}


def test_residual_gate_lets_the_restoration_loss_train_the_routers() -> None:
    torch.manual_seed(0)
    reached = {}
    for gate in ("moce", "residual"):
        model = build_model("moe_ir_30g", **TINY, gate=gate)
        F.l1_loss(model(torch.rand(2, 3, 16, 16)), torch.rand(2, 3, 16, 16)).backward()
        routers = [block for block in model.modules() if hasattr(block, "from_image")]
        reached[gate] = min(block.from_frequency.weight.grad.norm().item() for block in routers)
    assert reached["moce"] < 1e-9
    assert reached["residual"] > 1e-6


def test_balance_loss_equals_a_worked_example() -> None:
    logits = torch.tensor([[0.2, 0.1, -0.1, 0], [0.3, -0.2, 0, 0.1]])
    noise = torch.tensor([[0, 0.3, 0, -0.1], [-0.1, 0, 0.05, 0.3]])
    complexity = build_model("moe_ir_30g").decoder[2][0].routed.complexity_n
    assert complexity.tolist() == pytest.approx([0.083457, 0.178783, 0.405045, 1], abs=1e-6)
    assert (logits + noise).argmax(1).tolist() == [1, 3]
    loss = balance_loss(logits, logits + noise, complexity, 0.25)
    assert loss.item() == pytest.approx(0.955455, abs=1e-6)


@pytest.mark.parametrize(("dim", "expected"), [(32, 0.974694), (16, 0.888110), (8, 0.811175)])
def test_balance_loss_favours_cheap_experts(dim: int, expected: float) -> None:
    """Even shares leave the importance term high; shares as 1 / complexity make it vanish."""
    level = {32: 2, 16: 1, 8: 0}[dim]
    b = build_model("moe_ir_30g").decoder[level][0].routed.complexity_n
    even = torch.zeros(1, 4)
    assert 2 * balance_loss(even, even, b, 0.25).item() == pytest.approx(expected, abs=1e-6)
    fair = (1 / b).log()[None]
    # every load is then either 0 or 1: only the importance is compared
    far = fair + 100 * torch.eye(4)[0]
    assert balance_loss(fair, far, b, 0.25) < balance_loss(even, far, b, 0.25)


def test_batch_of_routes_equals_its_images_one_by_one(tiny: MoCEIR) -> None:
    images = torch.rand(4, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    routes = [3, 0, 3, 1]
    with torch.no_grad():
        together = tiny(images, route=routes)
        pairs = zip(images, routes, strict=True)
        single = torch.cat([tiny(image[None], route=route) for image, route in pairs])
        same = tiny(images, route=0)
    assert torch.allclose(together, single, atol=2e-5)
    assert not torch.allclose(together, same, atol=1e-2), "the experts must differ in this test"


def test_routed_batch_with_several_experts_equals_its_images_one_by_one(tiny: MoCEIR) -> None:
    _scatter(tiny, 3)
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    images *= torch.linspace(0.1, 1, 6)[:, None, None, None]
    chosen: list[list[int]] = []
    routed = tiny.decoder[0][0].routed
    run = routed._run_experts
    routed._run_experts = lambda choice, *rest: (chosen.append(choice), run(choice, *rest))[1]
    with torch.no_grad():
        together = tiny(images)
        assert len(set(chosen[0])) > 1
        single = torch.cat([tiny(image[None]) for image in images])
    assert torch.allclose(together, single, atol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 50), (17, 9), (33, 64)])
def test_image_of_any_size_keeps_its_size(tiny: MoCEIR, size: tuple[int, int]) -> None:
    with torch.no_grad():
        restored = tiny(torch.rand(1, 3, *size))
    assert restored.shape == (1, 3, *size)
    assert restored.isfinite().all()


def test_padding_of_a_short_side_mirrors_it_without_repeating_the_edge() -> None:
    x = torch.arange(3.0).reshape(1, 1, 1, 3)
    assert pad_to_multiple(x, 8)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert pad_to_multiple(x, 8).shape == (1, 1, 8, 8)
    assert torch.equal(pad_to_multiple(x, 1), x)


def test_evaluation_is_deterministic_and_training_draws_noise(tiny: MoCEIR) -> None:
    image = torch.rand(2, 3, 24, 24)
    with torch.no_grad():
        assert torch.equal(tiny(image), tiny(image))
        assert tiny.forward_with_aux(image)[1] == 0
        tiny.train()
        first, second = (tiny.forward_with_aux(image)[1] for _ in range(2))
    assert first > 0
    assert first != second


def test_restoration_loss_reaches_all_but_the_routers(tiny: MoCEIR) -> None:
    """The restoration loss reaches every used expert, the balance loss alone the routers."""
    tiny.train()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def norms(loss: Tensor) -> dict[str, float]:
        names, parameters = zip(*tiny.named_parameters(), strict=True)
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
        return {n: float(g.norm()) for n, g in zip(names, gradients, strict=True)}

    restored, aux = tiny.forward_with_aux(images, route=[0, 1, 2, 3])
    from_restoration, from_balance = norms((restored - images.flip(3)).abs().mean()), norms(aux)
    for name in from_restoration:
        if _routes(name):
            assert from_restoration[name] < 1e-6 * from_balance[name], name
        # the smallest expert of the last level has one channel, of which its norm leaves the bias
        elif not name.startswith("decoder.0.0.routed.experts.0"):
            assert from_restoration[name] > 0, name
    assert from_restoration["decoder.0.0.routed.experts.0.widen.weight"] > 0


def test_features_of_zero_give_finite_gradients(tiny: MoCEIR) -> None:
    tiny.train()
    tiny.get_submodule("decoder.0.0.routed").out.weight.data.zero_()
    restored, _ = tiny.forward_with_aux(torch.zeros(1, 3, 16, 16))
    restored.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in tiny.parameters() if p.grad is not None)


def test_attention_equals_the_plain_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.rand(2, 8, 6, 5, generator=generator) - 0.5 for _ in range(3))
    attention = ChannelAttention(8, heads=2, bias=True)
    attention.temperature.data.copy_(torch.tensor([0.7, 1.9])[:, None, None])

    def heads(x: Tensor) -> Tensor:
        return x.reshape(2, 2, 4, 30)

    def attend(qkv: Tensor) -> Tensor:
        return attention.mix(*attention.attend(lambda x: x, qkv, halo=0))

    cosines = F.normalize(heads(q), dim=-1) @ F.normalize(heads(k), dim=-1).mT
    weights = (cosines * attention.temperature).softmax(-1)
    expected = attention.out((weights @ heads(v)).reshape(2, 8, 6, 5))
    assert torch.allclose(attend(torch.cat([q, k, v], dim=1)), expected, atol=1e-6)
    assert attend(torch.cat([q * 0, k, v], dim=1)).isfinite().all()


@pytest.mark.parametrize("route", [0, 1, 2, 3, [3, 1]])
@pytest.mark.parametrize("size", [(64, 64), (128, 64)])
def test_network_equals_the_plain_formulas(
    tiny: MoCEIR, size: tuple[int, int], route: int | list[int]
) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        restored = tiny(images, route=route)
        expected, _ = plain_moce_ir(tiny, images, route)
    assert (expected - images).abs().max() > 0.1, "a network that does nothing would pass"
    assert torch.allclose(restored, expected, atol=1e-5)


def test_gradients_equal_those_of_the_plain_formulas(tiny: MoCEIR) -> None:
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    def gradients(forward: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
        tiny.train().zero_grad()
        torch.manual_seed(7)
        restored, aux = forward()
        ((restored - images.flip(3)).abs().mean() + aux).backward()
        parameters = tiny.named_parameters()
        return aux.detach(), {n: p.grad.clone() for n, p in parameters if p.grad is not None}

    aux, ours = gradients(lambda: tiny.forward_with_aux(images, route=[0, 1, 2, 3]))
    plain_aux, plain = gradients(lambda: plain_moce_ir(tiny, images, [0, 1, 2, 3]))
    assert torch.allclose(aux, plain_aux, rtol=1e-5)
    assert ours.keys() == plain.keys()
    for name, expected in plain.items():
        atol = 2e-3 * max(float(expected.abs().max()), 1e-3)
        assert torch.allclose(ours[name], expected, rtol=1e-2, atol=atol), name


@pytest.mark.parametrize("size", [(152, 40), (67, 23)])
@pytest.mark.parametrize("route", [0, 2, 3])
def test_image_in_strips_equals_the_whole(
    tiny: MoCEIR, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], route: int
) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = tiny(images, route=route)
        monkeypatch.setattr(blocks, "_STRIP", 1)
        in_strips = tiny(images, route=route)
    assert torch.allclose(whole, in_strips, atol=1e-5)


def test_strips_come_with_halos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_STRIP", 1)
    seen: list[tuple[int, int]] = []

    def blur(x: Tensor) -> Tensor:
        seen.append((int(x[0, 0, 0, 0]), x.shape[2]))
        return F.avg_pool2d(x, (5, 1), stride=1, padding=(2, 0))

    x = torch.arange(37.0)[None, None, :, None].expand(1, 2, 37, 3)
    with torch.no_grad():
        in_strips = map_strips(blur, x, halo=2)
    assert seen == [(0, 10), (6, 12), (14, 12), (22, 12), (30, 7)]
    seen.clear()
    assert torch.equal(in_strips, map_strips(blur, x, halo=2))
    assert seen == [(0, 37)], "whole where gradients are wanted"


def test_strips_stay_on_the_device_of_their_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_STRIP", 1)
    with torch.no_grad():
        done = map_strips(lambda x: x + 1, torch.empty(1, 2, 40, 3, device="meta"))
    assert (done.device.type, done.shape) == ("meta", (1, 2, 40, 3))


def test_processes_draw_their_parts_of_what_one_would_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    alone = share_of_step(torch.rand, 6)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(0)
        parts.append(share_of_step(torch.rand, 2))
    assert torch.equal(torch.cat(parts), alone)


def test_tile_mixer_convolves_tiles_circularly() -> None:
    mixer = TileMixer(1, 4)
    q, k = torch.rand(1, 1, 4, 8), torch.rand(1, 1, 4, 8)
    result = mixer._convolve(q, k)
    for tile in range(2):
        a, b = q[0, 0, :, 4 * tile : 4 * tile + 4], k[0, 0, :, 4 * tile : 4 * tile + 4]
        direct = sum(a[i, j] * b.roll((i, j), (0, 1)) for i in range(4) for j in range(4))
        assert torch.allclose(result[0, 0, :, 4 * tile : 4 * tile + 4], direct, atol=1e-5)


def test_transformer_block_accepts_any_memory_format() -> None:
    block = TransformerBlock(8, 2, 2.0, True, LayerNorm)
    x = torch.rand(2, 8, 6, 7)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(block(x), block(channels_last), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("swinnir", {}, "no model 'swinnir'; known: moe_ir_30g"),
        ("moe_ir_30g", {"dims": 8}, "unexpected keyword argument 'dims'"),
        ("moe_ir_30g", {"dim": 4}, "dim 4 must be a multiple of 8"),
        ("moe_ir_30g", {"gate": "open"}, "gate is one of moce, residual, not 'open'"),
        ("moe_ir_30g", {"max_macs": 1e9}, "less than the 28,284,844,896 of the cheapest experts"),
        ("moe_ir_30g", {"num_dec_blocks": [1]}, "num_blocks and heads name every level"),
    ],
)
def test_model_with_bad_settings_is_refused(
    name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(RestoreError, match=message):
        build_model(name, **settings)
