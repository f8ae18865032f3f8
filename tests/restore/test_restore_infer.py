from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from restore_samples import TINY, draw, encode
from torch import Tensor, nn

from curate.errors import RestoreError
from curate.restore import Restored, comparison, evaluate, load_model, restore_files, restore_image
from curate.restore.checkpoint import CheckpointInfo, save_model
from curate.restore.degradations import generator, parse_degradation
from curate.restore.evaluation import MEAN
from curate.restore.infer import HALO, restore_array
from curate.restore.metrics import psnr, psnr_y, ssim
from curate.restore.models import build_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = build_model("moe_ir_30g", **TINY)
    with torch.no_grad():
        model.output.weight *= 10  # something to see in 8 bits
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save_model(path, model.state_dict(), CheckpointInfo(model="moe_ir_30g", settings=TINY))
    return path


class Blur(nn.Module):
    """A restorer whose result at a pixel depends on its neighbours up to 3 pixels away."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 1, 7, 7), 1 / 49))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return nn.functional.conv2d(x_BCHW, self.weight, padding=3, groups=3)


@pytest.mark.parametrize("tile", [5, 17, 40, 1000])
def test_tiles_show_no_seams(tile: int) -> None:
    image = draw(1)
    assert HALO > 3
    assert np.array_equal(restore_array(Blur(), image, tile=tile), restore_array(Blur(), image))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16", "1"])
def test_any_mode_gives_rgb_of_its_size(checkpoint: Path, mode: str) -> None:
    image = Image.fromarray(draw(0)).convert("L").convert("I").convert("I;16") if mode == "I;16" else None
    image = image or Image.fromarray(draw(0)).convert(mode)
    restored = restore_image(load_model(checkpoint), image)
    assert (restored.mode, restored.size) == ("RGB", (72, 60))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 4), (0, 8, 3)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RestoreError, match=r"want an array of shape \(height, width, 3\), not"):
        restore_image(Blur(), np.zeros(shape, np.uint8))


def test_a_device_that_is_not_there(checkpoint: Path) -> None:
    with pytest.raises(RestoreError, match=r"no device 'cuda:99' here \(.*\): use auto or cpu"):
        load_model(checkpoint, "cuda:99")


def test_arrays_and_paths_will_do(checkpoint: Path) -> None:
    by_path = restore_image(checkpoint, draw(0))
    assert by_path.tobytes() == restore_image(load_model(checkpoint), Image.fromarray(draw(0))).tobytes()


def test_one_broken_file_does_not_stop_the_others(checkpoint: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    (source / "a.png").write_bytes(encode(draw(0)))
    (source / "b.jpg").write_bytes(encode(draw(1), "JPEG")[:300])
    (source / "deep/c.webp").write_bytes(encode(draw(2), "WEBP"))
    (source / "deep/d.gif").write_bytes(encode(draw(2), "GIF"))
    (source / "notes.txt").write_text("no picture")
    told: list[tuple[int, int, Restored]] = []
    out = tmp_path / "out"
    results = restore_files(checkpoint, [source], out, progress=lambda *args: told.append(args))
    assert [(r.source.name, r.output) for r in results] == [
        ("a.png", out / "a.png"),
        ("b.jpg", None),
        ("c.webp", out / "deep/c.webp"),
        ("d.gif", out / "deep/d.png"),
    ]
    assert "b.jpg can't be read: decode_failed" in results[1].error
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == ["a.png", "c.webp", "d.png"]
    assert [(done, total) for done, total, _ in told] == [(i, 4) for i in range(1, 5)]
    assert np.array_equal(np.asarray(Image.open(out / "a.png")), np.asarray(restore_image(checkpoint, draw(0))))


def test_exif_colour_profile_and_transparency_stay(checkpoint: Path, tmp_path: Path) -> None:
    image = Image.fromarray(draw(0))
    image.putalpha(Image.fromarray(draw(1)[..., 0]))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "in.png", exif=exif, icc_profile=profile)
    restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out.webp")
    with Image.open(tmp_path / "out.webp") as out:
        assert (out.format, out.mode, out.size) == ("WEBP", "RGBA", (60, 72)), "turned upright"
        assert out.getexif()[0x010F] == "Camera"
        assert 0x0112 not in out.getexif(), "turned only once"
        assert out.info["icc_profile"] == profile
        alpha = np.asarray(out.getchannel("A"))
    assert np.array_equal(alpha, np.rot90(draw(1)[..., 0], -1))
    restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert (out.format, out.mode) == ("JPEG", "RGB")


def test_a_profile_of_other_colours_is_dropped(checkpoint: Path, tmp_path: Path) -> None:
    grey = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    grey[16:20] = b"GRAY"
    Image.fromarray(draw(0)).convert("L").save(tmp_path / "in.png", icc_profile=bytes(grey))
    restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out")
    with Image.open(tmp_path / "out/in.png") as out:
        assert "icc_profile" not in out.info


def test_pictures_can_be_degraded_first(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0)))
    restore_files(checkpoint, [tmp_path / "a.png"], tmp_path / "out", degrade="denoise_50")
    noisy = parse_degradation("denoise_50").pair(draw(0), generator(0, "denoise_50", "a.png"))[1]
    with Image.open(tmp_path / "out/a.png") as out:
        assert np.array_equal(np.asarray(out), np.asarray(restore_image(checkpoint, noisy)))


def test_plans_that_would_lose_a_picture_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(encode(draw(0)))
    with pytest.raises(RestoreError, match="no picture or folder"):
        restore_files(checkpoint, [tmp_path / "c"], tmp_path / "out")
    with pytest.raises(RestoreError, match="would both become"):
        restore_files(checkpoint, [tmp_path / "a/x.png", tmp_path / "b/x.png"], tmp_path / "out")
    with pytest.raises(RestoreError, match="would be overwritten"):
        restore_files(checkpoint, [tmp_path / "a"], tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RestoreError, match="no pictures in"):
        restore_files(checkpoint, [tmp_path / "empty"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_evaluation_is_what_the_metrics_say(checkpoint: Path, manifest: Path) -> None:
    rows = evaluate(checkpoint, manifest, ["denoise_25", "sr_x2"], limit=2)
    assert [(r.degradation, r.image) for r in rows] == [
        (d, i) for d in ("denoise_25", "sr_x2") for i in (f"{0:016x}", f"{1:016x}", MEAN)
    ]
    clean = draw(1)
    noisy = parse_degradation("denoise_25").pair(clean, generator(0, "denoise_25", f"{1:016x}"))[1]
    restored = np.asarray(restore_image(checkpoint, noisy))
    row = rows[1]
    assert (row.psnr_before, row.psnr) == (psnr(noisy, clean), psnr(restored, clean))
    assert (row.psnr_y_before, row.psnr_y) == (psnr_y(noisy, clean), psnr_y(restored, clean))
    assert (row.ssim_before, row.ssim) == (ssim(noisy, clean), ssim(restored, clean))
    assert rows[2].psnr == pytest.approx((rows[0].psnr + rows[1].psnr) / 2)
    small = parse_degradation("sr_x2").pair(draw(0), generator(0))[1]
    assert rows[3].psnr_before == psnr(small[2:-2, 2:-2], draw(0)[2:-2, 2:-2]), "the border of sr doesn't count"
    assert evaluate(checkpoint, manifest, ["denoise_25"], limit=1)[0] == rows[0]


def test_evaluation_wants_a_known_degradation(checkpoint: Path, photos: Path) -> None:
    with pytest.raises(RestoreError, match="name at least one degradation"):
        evaluate(checkpoint, photos, [])
    with pytest.raises(RestoreError, match="no degradation 'blur'"):
        evaluate(checkpoint, photos, ["blur"])


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


def test_animated_inputs_give_their_first_frame(checkpoint: Path, tmp_path: Path) -> None:
    frames = [Image.fromarray(draw(seed)) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    (tmp_path / "a.webp").write_bytes(buffer.getvalue())
    result = restore_files(checkpoint, [tmp_path / "a.webp"], tmp_path / "a.png")[0]
    assert result.output
    with Image.open(result.output) as out:
        assert np.array_equal(np.asarray(out), np.asarray(restore_image(checkpoint, draw(0))))
