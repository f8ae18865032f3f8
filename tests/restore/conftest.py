from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from curate.restore.checkpoints.checkpoint import CheckpointInfo, save_model
from curate.restore.models import build_model
from tests.restore.samples import DAMOE, TINY, draw, encode, make_manifest


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run beside each other, and sums of floats must not depend on how many."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight pictures."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(8):
        (folder / f"{seed}.png").write_bytes(encode(draw(seed)))
    return folder


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six train rows and two test rows."""
    pictures = {f"{seed:016x}": encode(draw(seed)) for seed in range(8)}
    return make_manifest(tmp_path_factory.mktemp("run"), pictures, ["train"] * 6 + ["test"] * 2)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MOE-IR_30G, untrained, that does something to be seen in 8 bits."""
    torch.manual_seed(0)
    model = build_model("moe_ir_30g", **TINY)
    with torch.no_grad():
        model.output.weight *= 10
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save_model(path, model.state_dict(), CheckpointInfo(model="moe_ir_30g", settings=TINY))
    return path


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two of MOE-IR_30G and one of DAMoE, all untrained."""
    folder = tmp_path_factory.mktemp("checkpoints")
    networks = {"one": ("moe_ir_30g", TINY), "two": ("moe_ir_30g", TINY), "damoe": ("damoe", DAMOE)}
    for seed, (name, (model, settings)) in enumerate(networks.items()):
        torch.manual_seed(seed)
        network = build_model(model, **settings)
        info = CheckpointInfo(model=model, settings=settings)
        save_model(folder / f"{name}.safetensors", network.state_dict(), info)
    return {name: folder / f"{name}.safetensors" for name in networks}
