"""A training killed at any instant resumes to the weights of an undisturbed one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from curate.restore.checkpoints.checkpoint import read_info
from curate.restore.recipe import TrainRecipe
from curate.restore.training.trainer import train
from curate.storage import atomic
from tests.restore.samples import recipe

LONG = {
    "samples_per_epoch": 8,
    "save_every": 2,
    "ema": 0.9,
    "optimiser": {"clip": 1.0},
    "phases": [
        {"epochs": 2, "crop": 16, "batch": 2, "lr": 1e-3, "warmup": 2},
        {"epochs": 1, "crop": 24, "batch": 4, "lr": 0.5},
    ],
    "validation": {"images": 2, "crop": 32},
}
"""Steps 1 to 4, 5 to 8, and 9 and 10, which do harm, so that the best weights aren't the last."""


@pytest.fixture(scope="module")
def undisturbed(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("undisturbed")
    train(recipe(**LONG), [manifest], out)
    assert read_info(out / "best.safetensors").epoch < 3
    return out


def in_a_process(target: Callable[..., None], *arguments: object) -> int:
    """Runs it in a fresh process, and returns how that ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["curate.restore.training.trainer", "tests.restore.samples"])
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def train_until(settings: TrainRecipe, manifest: Path, out: Path, step: int, when: str) -> None:
    """Kills itself after a step, or when it writes a file of that name for the second time."""
    torch.set_num_threads(1)

    def progress(done: int, total: int, values: Mapping[str, float]) -> None:
        if when == "step" and done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    written = 0
    create = atomic.create

    def create_or_die(url: object):
        nonlocal written
        if Path(str(url)).name == when:
            written += 1
            if written == 2:
                with create(url) as sink:
                    sink.write(b"half a file")
                    os.kill(os.getpid(), signal.SIGKILL)
        return create(url)

    atomic.create = create_or_die
    train(settings, [manifest], out, progress=progress)


@pytest.mark.parametrize(
    ("step", "when", "workers", "resumed"),
    [
        (1, "step", 0, 0),  # before any state
        (3, "step", 0, 2),  # after one in the middle of an epoch
        (5, "step", 2, 4),  # after an epoch's
        (7, "step", 2, 6),
        (10, "step", 0, 8),  # the last, before anything is written of it
        (0, "state.ckpt", 0, 2),
        (0, "model.safetensors", 0, 2),
    ],
)
def test_killed_anywhere_it_goes_on_to_the_same_weights(
    manifest: Path,
    tmp_path: Path,
    undisturbed: Path,
    step: int,
    when: str,
    workers: int,
    resumed: int,
) -> None:
    settings = recipe(**LONG, workers=workers)
    assert in_a_process(train_until, settings, manifest, tmp_path, step, when) == -signal.SIGKILL
    result = train(settings, [manifest], tmp_path)
    assert result.steps - result.trained == resumed
    for name in ("model.safetensors", "best.safetensors"):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.parametrize("step", [1, 3, 4, 10])
def test_ctrl_c_saves_its_step_and_goes_on_to_the_same_weights(
    manifest: Path, tmp_path: Path, undisturbed: Path, ctrl_c: Callable[[], None], step: int
) -> None:
    """After steps 4 and 10 comes a validation, which saves as well."""

    def progress(done: int, total: int, values: Mapping[str, float]) -> None:
        if done == step:
            ctrl_c()

    settings = recipe(**LONG | {"save_every": 100})
    with pytest.raises(KeyboardInterrupt):
        train(settings, [manifest], tmp_path, progress=progress)
    assert read_info(tmp_path / "model.safetensors").step == step
    result = train(settings, [manifest], tmp_path)
    assert result.steps - result.trained == step
    for name in ("model.safetensors", "best.safetensors"):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_killed_again_and_again(manifest: Path, tmp_path: Path, undisturbed: Path) -> None:
    settings = recipe(**LONG)
    for step in (3, 7):
        assert (
            in_a_process(train_until, settings, manifest, tmp_path, step, "step") == -signal.SIGKILL
        )
    train(settings, [manifest], tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (
        undisturbed / "model.safetensors"
    ).read_bytes()


def test_how_often_it_is_saved_changes_nothing(
    manifest: Path, tmp_path: Path, undisturbed: Path
) -> None:
    result = train(recipe(**LONG | {"save_every": 3, "workers": 1}), [manifest], tmp_path)
    assert result.checkpoint.read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_the_weights_say_how_far_they_have_come(manifest: Path, tmp_path: Path) -> None:
    assert (
        in_a_process(train_until, recipe(**LONG), manifest, tmp_path, 7, "step") == -signal.SIGKILL
    )
    info = read_info(tmp_path / "model.safetensors")
    assert (info.epoch, info.step, info.metrics) == (1, 6, {})
