from __future__ import annotations

import io
import re
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import RestoreError
from curate.restore import evaluate, load_model, summary_table
from curate.restore.checkpoints.checkpoint import CheckpointInfo, save_model
from curate.restore.data.degradations import generator, parse_degradation
from curate.restore.inference.restore_image import restore_array
from curate.restore.metrics import METRICS, psnr
from curate.restore.models import build_model
from tests.restore.samples import draw, encode, pair_manifest


def test_scores_of_known_outputs_equal_the_metrics(
    checkpoints: dict[str, Path], manifest: Path
) -> None:
    found = evaluate(
        {"mine": checkpoints["one"]}, {"set": manifest}, ["denoise_25", "sr_x2"], limit=2
    )
    order = product((f"{0:016x}", f"{1:016x}"), ("denoise_25", "sr_x2"), ("input", "mine"))
    assert [(s.image, s.degradation, s.model) for s in found.scores] == list(order)
    clean = draw(1)
    rng = generator(0, "denoise_25", f"{1:016x}")
    noisy = parse_degradation("denoise_25").pair(clean.astype(np.float32), rng)[1]
    restored = np.asarray(restore_array(load_model(checkpoints["one"]), noisy))
    before, after = (
        s for s in found.scores if s.image == f"{1:016x}" and s.degradation == "denoise_25"
    )
    for name, measure in METRICS.items():
        assert getattr(before, name) == measure(noisy, clean)
        assert getattr(after, name) == measure(restored, clean)
    assert (before.task, before.benchmark, before.drawn) == ("denoise", "set", True)
    small = parse_degradation("sr_x2").pair(draw(0), generator(0))[1]
    assert found.scores[2].psnr == psnr(small[2:-2, 2:-2], draw(0)[2:-2, 2:-2]), (
        "the border of sr doesn't count"
    )
    assert (
        evaluate({"mine": checkpoints["one"]}, {"set": manifest}, ["denoise_25"], limit=1).scores
        == found.scores[:2]
    )


def test_noise_that_is_not_clipped_is_worse(checkpoints: dict[str, Path], photos: Path) -> None:
    clipped, floats = (
        evaluate(checkpoints["one"], photos, ["denoise_50", "dejpeg_10"], limit=2, clip_noise=clip)
        for clip in (True, False)
    )
    inputs = [
        (a, b) for a, b in zip(clipped.scores, floats.scores, strict=True) if a.model == "input"
    ]
    for a, b in inputs:
        assert b.psnr < a.psnr - 0.5 if a.task == "denoise" else b.psnr == a.psnr, (
            "JPEG is of bytes either way"
        )
    noise = np.random.default_rng(0).normal(0, 50, draw(0).shape)
    assert floats.scores[0].psnr == pytest.approx(psnr(draw(0) + noise, draw(0)), abs=0.3)


def test_noise_is_unclipped_by_default_and_tables_say_which(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    # black and white, half of whose noise clipping takes away
    (tmp_path / "a.png").write_bytes(encode(np.where(draw(0) < 128, 0, 255).astype(np.uint8)))
    notes = []
    for names, settings in (
        (["denoise_25"], {}),
        (["denoise_25"], {"clip_noise": True}),
        (["denoise_25+8bit"], {}),
        (["dejpeg_10"], {}),
    ):
        found = evaluate(checkpoints["one"], {"set": tmp_path}, names, **settings)
        unclipped = abs(found.scores[0].psnr - 20 * np.log10(255 / 25)) < 0.1
        assert unclipped == (names == ["denoise_25"] and not settings)
        notes.append(" ".join(summary_table(found).notes[1:]))
    assert "neither clipped nor rounded" in notes[0]
    assert "clipped and rounded to bytes" in notes[1]
    assert notes[2:] == ["", ""], "their names say it, or there is no noise"


def test_outputs_not_quantised_are_compared_as_floats(
    checkpoints: dict[str, Path], photos: Path
) -> None:
    found = evaluate(checkpoints["one"], photos, ["dejpeg_10"], limit=1, quantise=False)
    clean, jpeg = parse_degradation("dejpeg_10").pair(draw(0), generator(0))
    restored = restore_array(load_model(checkpoints["one"]), jpeg, quantise=False)
    assert restored.dtype == np.float32
    assert found.scores[1].psnr == psnr(restored, clean)
    assert (
        found.scores[1].psnr
        != evaluate(checkpoints["one"], photos, ["dejpeg_10"], limit=1).scores[1].psnr
    )


def test_grey_pictures_are_judged_as_grey(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    grey = draw(2)[..., 0]
    (tmp_path / "grey.png").write_bytes(encode(grey))
    found = evaluate(checkpoints["one"], tmp_path, ["dejpeg_10", "denoise_25"])
    jpeg, restored = found.scores[:2]
    compressed = np.asarray(Image.open(io.BytesIO(encode(grey, "JPEG", quality=10))))
    assert jpeg.psnr == psnr(compressed[..., None], grey[..., None]), "as a grey JPEG"
    assert jpeg.psnr_y == jpeg.psnr
    output = restore_array(
        load_model(checkpoints["one"]), np.repeat(compressed[..., None], 3, 2), quantise=False
    )
    mean = np.rint(output.mean(axis=2, keepdims=True))
    assert restored.psnr == psnr(mean, grey[..., None]), "the mean of the channels, rounded once"
    assert found.scores[2].psnr == pytest.approx(20.2, abs=0.6), (
        "noise isn't averaged away over three channels"
    )


def test_pairs_are_judged_as_they_are(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    blurred = np.asarray(
        Image.fromarray(draw(0)).resize((72, 60), Image.Resampling.BOX, box=(1, 1, 72, 60))
    )
    pairs = pair_manifest(tmp_path / "run", [blurred, None], task="denoise")
    found = evaluate(checkpoints["one"], {"pairs": pairs}, ["dejpeg_10"])
    before = [s for s in found.scores if s.model == "input"]
    assert [(s.degradation, s.task, s.drawn) for s in before] == [
        ("motion_blur", "denoise", False),
        ("dejpeg_10", "dejpeg", True),
    ]
    assert before[0].psnr == psnr(blurred, draw(0))
    with pytest.raises(RestoreError, match="pairs holds clean pictures: name a degradation"):
        evaluate(checkpoints["one"], {"pairs": pairs})
    alone = pair_manifest(tmp_path / "alone", [blurred], task="denoise")
    assert len(evaluate(checkpoints["one"], alone).scores) == 2, "pairs need no degradation"


def test_evaluate_with_a_broken_picture_names_it_and_judges_the_others(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0))[:200])
    (tmp_path / "b.png").write_bytes(encode(draw(1)))
    (tmp_path / "c.png").write_bytes(encode(draw(2)[:2, :2]))
    seen: list[tuple[int, int]] = []
    found = evaluate(
        checkpoints["one"],
        {"set": tmp_path},
        ["sr_x3", "dejpeg_10"],
        progress=lambda *args: seen.append(args),
    )
    assert {(s.image, s.degradation) for s in found.scores} == {
        ("b.png", "sr_x3"),
        ("b.png", "dejpeg_10"),
        ("c.png", "dejpeg_10"),
    }
    assert list(found.failures) == ["set/a.png, sr_x3", "set/a.png, dejpeg_10", "set/c.png, sr_x3"]
    assert "a.png" in found.failures["set/a.png, sr_x3"]
    assert "needs at least 3x3 pixels" in found.failures["set/c.png, sr_x3"]
    assert seen == [(n, 6) for n in range(1, 7)]
    (tmp_path / "b.png").unlink()
    (tmp_path / "c.png").unlink()
    with pytest.raises(
        RestoreError, match=r"none of 1 pictures could be judged; the first, set/a.png"
    ):
        evaluate(checkpoints["one"], {"set": tmp_path}, ["dejpeg_10"])


def test_evaluate_of_impossible_requests_is_refused_at_once(
    checkpoints: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(RestoreError, match="holds clean pictures: name a degradation"):
        evaluate(checkpoints["one"], photos)
    with pytest.raises(RestoreError, match="no degradation 'blurred'"):
        evaluate(checkpoints["one"], photos, ["blurred"])
    with pytest.raises(RestoreError, match="no checkpoint can be called input"):
        evaluate({"input": checkpoints["one"]}, photos, ["sr_x2"])
    settings = {"dim": 12, "depths": [1], "heads": 2}
    swinir = build_model("swinir", **settings)
    save_model(
        tmp_path / "swinir", swinir.state_dict(), CheckpointInfo(model="swinir", settings=settings)
    )
    with pytest.raises(RestoreError, match="nothing is routed in mine"):
        evaluate({"mine": tmp_path / "swinir"}, photos, ["sr_x2"], routing=True)
    blurred = pair_manifest(tmp_path / "run", [draw(0)], task="deblur")
    with pytest.raises(RestoreError, match="not for deblur"):
        evaluate(checkpoints["damoe"], blurred)


def test_evaluate_with_unforeseen_error_names_the_picture_and_judges_the_others(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(2):
        (tmp_path / f"{n}.png").write_bytes(encode(draw(n)))

    def measure(luma: np.ndarray) -> float:
        if np.array_equal(luma, np.asarray(Image.fromarray(draw(0)).convert("L"))):
            raise struct.error("short")
        return 0.5

    found = evaluate(checkpoints["one"], {"set": tmp_path}, ["denoise_25"], ratio_of=measure)
    assert {score.image for score in found.scores} == {"1.png"}
    assert list(found.failures) == ["set/0.png, denoise_25"]
    failure = found.failures["set/0.png, denoise_25"]
    assert re.fullmatch(r"unexpected error: short \(.+:\d+\)", failure)
