"""A run of small textures in four colours."""

import json
from pathlib import Path

import pytest

import curate
from tests.datasets.ablation.pictures import BLURRED, GOOD, RECIPE, SMOOTH, ByColour, picture


@pytest.fixture(autouse=True)
def _labeller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.stages.label.clip.load_labeller", lambda config: ByColour())


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 168 pictures: 40 for training, 8 for tests, 32 spare, 88 rejected as too smooth."""
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "pictures").mkdir()
    for number in (*GOOD, *SMOOTH, *BLURRED):
        suffix = ("png", "jpg", "webp")[number // 4 % 3]
        picture(number).save(folder / f"pictures/{number:03d}.{suffix}", quality=95)
    (folder / "recipe.yaml").write_text(json.dumps({"name": "small", **RECIPE}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curate.stages.label.clip.load_labeller", lambda config: ByColour())
        out = curate.run(
            folder / "recipe.yaml", [folder / "pictures"], folder / "run", scheduler="serial"
        )
    assert out.reasons == {"ok": 48, "surplus": 32, "low_texture": 88}
    return folder / "run"
