from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from curate.errors import RestoreError
from curate.restore import comparison, load_model, restore_image
from curate.restore.data.degradations import generator, parse_degradation
from curate.restore.data.patches import to_tensor
from curate.restore.inference.before_after import before_and_after
from curate.restore.inference.bilateral import bilateral_filter
from curate.restore.inference.restore_image import restore_array
from curate.restore.inference.tiles import OVERLAP, cover, sample_sheet, watching_pieces
from curate.restore.metrics import psnr
from curate.restore.models import build_model
from curate.restore.models.complexity_experts import MixtureOfComplexityExperts
from tests.restore.samples import DAMOE, TINY, draw


class Blur(nn.Module):
    """A restorer whose result at a pixel depends on its neighbours up to 3 pixels away."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 1, 7, 7), 1 / 49))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return nn.functional.conv2d(x_BCHW, self.weight, padding=3, groups=3)


# --- pieces


@pytest.mark.parametrize(
    ("tile", "size"), [(96, (60, 300)), (100, (333, 101)), (128, (257, 640)), (1000, (70, 80))]
)
def test_tiles_show_no_seams(tile: int, size: tuple[int, int]) -> None:
    image = draw(1, *size)
    whole = restore_array(Blur(), image, tile=1000, quantise=False)
    assert restore_array(Blur(), image, tile=tile, quantise=False) == pytest.approx(whole, abs=1e-3)


def test_watcher_sees_every_piece_of_a_picture_while_its_block_runs() -> None:
    seen: list[tuple[int, int]] = []
    with watching_pieces(lambda done, total: seen.append((done, total))):
        restore_array(Blur(), draw(1, 100, 170), tile=100)
    restore_array(Blur(), draw(1, 100, 170), tile=100)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


@given(st.integers(1, 3000), st.sampled_from([80, 96, 200, 512, 1024]), st.sampled_from([1, 7, 8]))
@settings(deadline=None, derandomize=True)
def test_pieces_cover_everything_once(length: int, tile: int, grid: int) -> None:
    total = np.zeros(length)
    spans = cover(length, tile, grid)
    for span, share in spans:
        assert span.start % grid == 0
        assert span.stop - span.start == len(share) <= tile
        total[span] += share
        # a piece's own edge is where its network knew least
        if span.start:
            assert not share[: OVERLAP // 4].any()
        if span.stop < length:
            assert not share[-(OVERLAP // 4) :].any()
    assert total == pytest.approx(np.ones(length), abs=1e-6)
    assert len(spans) == 1 or length > tile


def test_tiles_too_small_to_overlap_are_refused() -> None:
    with pytest.raises(RestoreError, match="need 65 pixels a side: raise tile"):
        restore_array(Blur(), draw(0), tile=64)


def test_pieces_share_the_experts_picked_for_the_whole() -> None:
    torch.manual_seed(0)
    model = build_model("moe_ir_30g", **TINY).eval()
    met: list[list[int]] = []
    for module in model.modules():
        if isinstance(module, MixtureOfComplexityExperts):
            with torch.no_grad():
                module.from_image.weight *= 100  # routers that care
            module.register_forward_hook(
                lambda m, i, o: met.append([len(i[-1].choices), *i[-1].choices[-1].tolist()])
            )
    noise = np.random.default_rng(0).integers(0, 256, (100, 260, 3), dtype=np.uint8)
    image = np.concatenate([noise, np.full_like(noise, 250)], axis=1)
    routes = [
        model.forward_with_choices(to_tensor(half)[None])[1].tolist()
        for half in (noise, image[:, 260:])
    ]
    assert routes[0] != routes[1], (
        "the halves would go different ways by themselves, or nothing was tested"
    )
    met.clear()
    restore_array(model, image, tile=256)
    assert len(met) > 3 * 3
    assert len({tuple(choice) for choice in met}) == 3, "one expert in each of three blocks"


def test_a_route_for_each_block_is_followed() -> None:
    torch.manual_seed(1)
    model = build_model("moe_ir_30g", **TINY).eval()
    image = to_tensor(draw(0))[None]
    route = torch.tensor([[3, 0, 2]])
    out, choices = model.forward_with_choices(image, route=route)
    assert choices.tolist() == route.tolist()
    assert not torch.equal(out, model(image, route=torch.tensor([[3, 0, 1]])))
    assert torch.equal(model(image, route=torch.tensor([[2, 2, 2]])), model(image, route=2))


@pytest.mark.parametrize(
    ("name", "settings_"), [("swinir", {"dim": 12, "depths": [2], "heads": 2}), ("damoe", DAMOE)]
)
def test_tiles_start_at_windows_and_patches_of_the_whole(
    name: str, settings_: dict[str, Any]
) -> None:
    """Few blocks see no farther than a few windows, so pieces on their grid don't differ."""
    torch.manual_seed(0)
    model = build_model(name, **settings_).eval()
    image = draw(1, 120, 240)
    pieces = restore_array(model, image, task="sr", tile=154, quantise=False)
    whole = restore_array(model, image, task="sr", tile=240, quantise=False)
    assert np.abs(pieces - whole).max() < 0.02
    model.grid = 8
    assert (
        np.abs(restore_array(model, image, task="sr", tile=154, quantise=False) - whole).max()
        > 0.02
    )


def test_pieces_of_moce_ir_come_near_the_whole() -> None:
    """Its attention is between channels, over all pixels of a piece: near is what there is."""
    torch.manual_seed(0)
    model = build_model("moe_ir_30g", **TINY).eval()
    image = draw(1, 252, 504)
    noisy = parse_degradation("denoise_25").pair(image, generator(0))[1]
    whole = restore_array(model, noisy, tile=504, quantise=False)
    assert psnr(restore_array(model, noisy, tile=256, quantise=False), whole) > 45


def test_a_sample_sheet_has_the_noise_of_the_whole() -> None:
    noisy = np.random.default_rng(0).normal(128, 25, (300, 1001, 3))
    sheet = sample_sheet(noisy, 128)
    assert sheet.shape == (128, 128, 3)
    assert sheet.std() == pytest.approx(25, abs=0.5)
    assert sample_sheet(noisy, 416).shape == (300, 416, 3), "all of a side that is short enough"
    rows = np.broadcast_to(np.arange(1001), (300, 1001))[..., None]
    places = sample_sheet(rows, 128)[0, :, 0]
    assert places[0] == 0 and places[-1] > 1001 - 40, "from end to end"
    assert set(places[::32] % 8) == {0}, "on JPEG's grid"


# --- the document's filter


@pytest.mark.parametrize("size", [(60, 72), (1, 1), (2, 5), (300, 7)])
def test_bilateral_filter_equals_opencvs(size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.ipp.setUseIPP(
        False
    )  # which takes over grey images, and cuts off where OpenCV itself rounds
    rng = np.random.default_rng(0)
    image = np.asarray(Image.fromarray(draw(0)).resize(size[::-1]))
    image = (image + rng.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8)
    for picture in (image, image[..., :1]):
        theirs = cv2.bilateralFilter(picture, 3, 10, 10).reshape(picture.shape)
        difference = np.abs(bilateral_filter(picture).astype(int) - theirs)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.001, "nothing but ties of rounding"


def test_the_bilateral_filter_smooths_noise_and_keeps_edges() -> None:
    step = (
        np.repeat(np.repeat([[40, 200]], 20, axis=1), 30, axis=0)[..., None]
        .repeat(3, 2)
        .astype(float)
    )
    noisy = step + np.random.default_rng(0).normal(0, 3, step.shape)
    smooth = bilateral_filter(noisy)
    assert (smooth - step).std() < 0.7 * (noisy - step).std()
    assert bilateral_filter(step) == pytest.approx(step, abs=1e-4)


def test_the_filter_follows_the_network(checkpoint: Path) -> None:
    plain, filtered = (
        np.asarray(restore_image(checkpoint, draw(0), bilateral=b)) for b in (False, True)
    )
    assert np.array_equal(filtered, bilateral_filter(plain))
    assert not np.array_equal(filtered, plain)


# --- pictures


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16", "1"])
def test_any_mode_gives_rgb_of_its_size(checkpoint: Path, mode: str) -> None:
    image = (
        Image.fromarray(draw(0)).convert("L").convert("I").convert("I;16")
        if mode == "I;16"
        else None
    )
    image = image or Image.fromarray(draw(0)).convert(mode)
    restored = restore_image(load_model(checkpoint), image)
    assert (restored.mode, restored.size) == ("RGB", (72, 60))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 4), (0, 8, 3)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RestoreError, match=r"want an array of shape \(height, width, 3\), not"):
        restore_image(Blur(), np.zeros(shape, np.uint8))


def test_missing_device_is_refused(checkpoint: Path) -> None:
    with pytest.raises(RestoreError, match=r"no device 'cuda:99' here \(.*\): use auto or cpu"):
        load_model(checkpoint, "cuda:99")


def test_restore_image_takes_arrays_and_paths(checkpoint: Path) -> None:
    by_path = restore_image(checkpoint, draw(0))
    assert (
        by_path.tobytes()
        == restore_image(load_model(checkpoint), Image.fromarray(draw(0))).tobytes()
    )


@pytest.mark.parametrize("size", [(60, 72), (900, 600), (3, 2), (700, 20)])
def test_comparison_shows_three_panels(tmp_path: Path, size: tuple[int, int]) -> None:
    clean = np.asarray(Image.fromarray(draw(0)).resize(size[::-1]))
    noisy = parse_degradation("denoise_50").pair(clean, generator(0))[1]
    comparison(clean, noisy, Image.fromarray(clean), tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.mode == "RGB"
        assert strip.width == 3 * 480 + 4 * 12
        array = np.asarray(strip)
    left, middle, right = (array[40:, 12 + i * 492 : 12 + i * 492 + 480] for i in range(3))
    assert np.array_equal(left, right)
    assert not np.array_equal(left, middle)


def test_comparison_wants_pictures_of_one_size(tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="must have one size"):
        comparison(draw(0), draw(0)[1:], draw(0), tmp_path / "strip.png")


def test_before_and_after_need_no_clean_picture(tmp_path: Path) -> None:
    before_and_after(draw(0), draw(1), tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.width == 2 * 480 + 3 * 12
        array = np.asarray(strip)
    assert not np.array_equal(array[40:, 12:492], array[40:, 504:984])


@pytest.mark.parametrize(
    "message", ["DefaultCPUAllocator: can't allocate memory", "std::bad_alloc"]
)
def test_piece_too_large_for_the_memory_of_any_device_gets_advice(message: str) -> None:
    class Hungry(torch.nn.Conv2d):
        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(message)

    with pytest.raises(
        RestoreError, match=r"memory of cpu is too small .* 72x60 pixels: lower tile"
    ):
        restore_array(Hungry(3, 3, 1), draw(0))
