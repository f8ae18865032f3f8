from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import RestoreError
from curate.restore import evaluate, load_model, save_routes
from curate.restore.data.degradations import TASKS, generator, parse_degradation
from curate.restore.data.patches import to_tensor
from curate.restore.models.damoe import SoftMixture
from tests.restore.samples import draw, encode


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two pictures of different sizes."""
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "0.png").write_bytes(encode(draw(0, 24, 36)))
    (folder / "1.png").write_bytes(encode(draw(1, 48, 60)))
    return folder


def test_shares_of_soft_mixtures_count_the_patches_of_each_expert(
    checkpoints: dict[str, Path], two: Path
) -> None:
    """Compared with the gate's largest output for each token; each picture counts the same."""
    found = evaluate(
        {"mine": checkpoints["damoe"]}, two, ["denoise_25", "sr_x2"], routing=True
    ).routes["mine"]
    model = load_model(checkpoints["damoe"])
    soft = [module for module in model.modules() if isinstance(module, SoftMixture)]
    heard: list[np.ndarray] = []
    soft[0].norm.register_forward_hook(
        lambda m, i, token: heard.append((token @ soft[0].gate.weight.T).argmax(1).numpy())
    )
    shares = []
    for n, size in enumerate([(24, 36), (48, 60)]):
        noisy = parse_degradation("denoise_25").pair(
            draw(n, *size), generator(0, "denoise_25", f"{n}.png")
        )[1]
        model(to_tensor(noisy)[None], task=TASKS.index("denoise"))
        shares.append(np.bincount(heard[-1], minlength=3) / len(heard[-1]))
    assert len(heard[1]) == 7 * 9, "padded to whole patches"
    assert found.shares()["denoise_25"]["block 2"] == pytest.approx(np.mean(shares, axis=0))
    assert list(found.shares()) == ["sr_x2", "denoise_25"], "by task"
    assert set(found.shares()["sr_x2"]) == {"block 2", "block 4"}
    assert found.shown == "block 2", "the middle one, as the 18th of 36"
    for layers in found.shares().values():
        for layer in layers.values():
            assert layer.sum() == pytest.approx(1)


def test_shares_of_routers_count_the_pictures_of_each_expert(
    checkpoints: dict[str, Path], two: Path
) -> None:
    found = evaluate({"mine": checkpoints["one"]}, two, ["dejpeg_10"], routing=True).routes["mine"]
    model = load_model(checkpoints["one"])
    expected = np.zeros((3, 4))
    for n, size in enumerate([(24, 36), (48, 60)]):
        jpeg = parse_degradation("dejpeg_10").pair(draw(n, *size), generator(0))[1]
        choices = model.forward_with_choices(to_tensor(jpeg)[None])[1][0]
        expected[np.arange(3), choices] += 0.5
    shares = found.shares()["dejpeg_10"]
    assert np.array([shares[f"decoder block {n}"] for n in (1, 2, 3)]) == pytest.approx(expected)
    assert found.shown is None


def test_save_routes_writes_a_picture_and_its_numbers(
    checkpoints: dict[str, Path], two: Path, tmp_path: Path
) -> None:
    models = {"first": checkpoints["damoe"], "second": checkpoints["one"]}
    found = evaluate(models, two, ["derain", "denoise_25"], routing=True)
    png, numbers = save_routes(found.routes, tmp_path / "routes.png")
    with Image.open(png) as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 10, "something is drawn"
    rows = list(csv.DictReader(Path(numbers).read_text().splitlines()))
    assert len(rows) == 2 * (2 * 3 + 3 * 4)
    shares: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = (row["model"], row["layer"], row["degradation"])
        shares[key] = shares.get(key, 0) + float(row["share"])
    assert list(shares.values()) == pytest.approx([1] * len(shares), abs=1e-5)
    assert {row["task"] for row in rows if row["degradation"] == "derain"} == {"derain"}
    with pytest.raises(RestoreError, match=r"name it \.png, not routes\.pdf"):
        save_routes(found.routes, tmp_path / "routes.pdf")


def test_routes_of_a_failed_picture_are_not_counted(
    checkpoints: dict[str, Path], two: Path
) -> None:
    (two / "2.png").write_bytes(encode(draw(0)[:1, :1]))
    found = evaluate({"mine": checkpoints["one"]}, two, ["sr_x2"], routing=True)
    assert len(found.failures) == 1
    (two / "2.png").unlink()
    again = evaluate({"mine": checkpoints["one"]}, two, ["sr_x2"], routing=True)
    for layer, shares in found.routes["mine"].shares()["sr_x2"].items():
        assert shares == pytest.approx(again.routes["mine"].shares()["sr_x2"][layer])
