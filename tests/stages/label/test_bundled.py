"""The bundled demo labeller: small, loadable without a network, and right about clear cases."""

import os
import subprocess
import sys

import pytest

from curate.demo.draw import draw
from curate.recipe import Label
from curate.stages.label.clip import label_images
from curate.stages.label.weights import BUNDLED

HELD_OUT = 30_000
"""Seeds that the labeller was neither trained on nor chosen by."""


@pytest.mark.parametrize("category", ["Text Scene", "Comic", "Food", "Architecture"])
def test_bundled_labeller_recognises_clear_drawings(category):
    drawings = [draw(category, HELD_OUT + n, (256, 256)) for n in range(6)]
    labels = [result.category for result in label_images(drawings, Label(model="bundled"))]
    assert labels.count(category) >= 5


def test_bundled_labeller_is_small():
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) <= 8_000_000


def test_bundled_labeller_is_no_default():
    assert Label().model != "bundled"


def test_bundled_labeller_offline_gives_the_same_labels(tmp_path):
    draw("Map", HELD_OUT, (256, 256)).save(tmp_path / "map.png")
    code = """if True:
        import sys, curate
        recipe = curate.Recipe(name="x", label={"model": "bundled"})
        print(curate.label_images(sys.argv[1:], recipe.label))"""
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "2"}
    fresh = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "map.png")],
        env=offline,
        capture_output=True,
        text=True,
        check=True,
    )
    assert fresh.stdout.strip() == str(label_images([tmp_path / "map.png"], Label(model="bundled")))
