from __future__ import annotations

import numpy as np
import pytest

from curate import find_task
from curate.errors import RestoreError
from curate.restore.data.degradations import generator, parse_degradation
from curate.stages.measure.restoration_task import streaks


def photographs() -> dict[str, np.ndarray]:
    data = pytest.importorskip("skimage.data")
    return {
        name: np.ascontiguousarray(getattr(data, name)()[40:296, 60:380, :3])
        for name in ("astronaut", "chelsea", "coffee")
    }


@pytest.mark.parametrize(
    ("degradation", "task"),
    [
        *((f"sr_x{scale}", "sr") for scale in (2, 3, 4)),
        *((f"denoise_{sigma}", "denoise") for sigma in (15, 25, 50)),
        *((f"dejpeg_{quality}", "dejpeg") for quality in (10, 20, 30, 40)),
        ("derain", "derain"),
    ],
)
def test_find_task_names_each_degradation_of_the_paper(degradation: str, task: str) -> None:
    for name, image in photographs().items():
        degraded = parse_degradation(degradation).pair(image, generator(0, degradation, name))[1]
        assert find_task(degraded) == task, name


def grey(luma: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(luma).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_bright_lines_are_rain_and_dark_ones_are_not() -> None:
    """Lines of two pixels on a surface with a little texture, upright and lying."""
    rng = np.random.default_rng(0)
    ground = 120 + rng.normal(0, 3, (200, 200))
    lines = np.zeros((200, 200))
    for x, y in rng.integers(0, 180, (60, 2)):
        lines[y : y + 18, x : x + 2] = 60
    bright, dark, lying = (
        streaks(grey(ground + found)[..., 0]) for found in (lines, -lines, lines.T)
    )
    assert bright > 0.1
    assert dark == pytest.approx(-bright, abs=0.05)
    assert lying == pytest.approx(-bright, abs=0.05)
    assert find_task(grey(ground + lines)) == "derain"
    assert streaks(grey(ground)[..., 0]) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("size", [(1, 1), (33, 200), (40, 40), (200, 150)])
def test_find_task_of_faultless_picture_raises(size: tuple[int, int]) -> None:
    with pytest.raises(RestoreError, match=r"doesn't look enlarged.* name the task"):
        find_task(np.full((*size, 3), 90, np.uint8))
