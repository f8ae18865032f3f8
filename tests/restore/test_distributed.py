"""Several processes share a training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from curate.errors import RestoreError
from curate.restore.training.trainer import train
from tests.restore.samples import TINY, recipe

SWINIR = {
    "model": "swinir",
    "settings": {"dim": 12, "depths": [2], "heads": 2, "window": 4, "drop_path": 0.5},
}
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
PHASES = [{"epochs": 2, "crop": 16, "batch": 4, "lr": 1e-4}]


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=ONE_THREAD
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_train_as_one_does_with_all_of_the_batch(
    manifest: Path, tmp_path: Path
) -> None:
    # three degradations of one picture for two processes: they don't come out even
    validation = {"images": 1, "crop": 32, "degradations": ["denoise_25", "sr_x2", "dejpeg_20"]}
    shared = {"phases": PHASES, "samples_per_epoch": 8, "validation": validation}
    settings = {
        "swinir": recipe(**shared, **SWINIR),
        "moe": recipe(
            **shared, settings=TINY
        ),  # whose steps leave experts out, each process others
    }
    for name, each in settings.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(each.to_yaml())
    script = Path(__file__).with_name("train_in_processes.py")
    folders = [tmp_path / name for name in settings]
    run(
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        script,
        manifest,
        *folders,
    )
    for name, folder in zip(settings, folders, strict=True):
        first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2))
        assert sorted(first["seen"] + second["seen"]) == list(range(16)), (
            "each sample by one of them"
        )
        assert first["hashes"] == second["hashes"], "both have the same weights after every epoch"
        assert (first["reported"], second["reported"]) == ([1, 2, 3, 4], [])
        assert (first["leads"], second["leads"]) == (True, False)
        assert first["metrics"] == second["metrics"]
        assert sorted(path.name for path in (folder / "out").iterdir()) == [
            "best.safetensors", "logs", "model.safetensors", "recipe.yaml", "state.ckpt"
        ]  # fmt: skip
        assert len(list((folder / "out/logs").glob("events.*"))) == 1
        if name == "swinir":  # no routers, whose noise differs from process to process
            alone = train(settings[name], [manifest], tmp_path / "alone")
            together = load_file(folder / "out/model.safetensors")
            for key, weights in load_file(alone.checkpoint).items():
                assert torch.allclose(together[key], weights, atol=2e-6), key
            assert first["metrics"] == pytest.approx(alone.metrics, abs=1e-3)
        # what several have finished is finished for one
        assert train(settings[name], [manifest], folder / "out").trained == 0


def test_the_command_starts_the_other_processes_and_says_everything_once(
    manifest: Path, tmp_path: Path
) -> None:
    settings = recipe(phases=PHASES, samples_per_epoch=8, **SWINIR)
    (tmp_path / "mine.yaml").write_text(settings.to_yaml())
    command = [
        "-m",
        "curate",
        "train",
        tmp_path / "mine.yaml",
        "-m",
        manifest,
        "-o",
        tmp_path / "out",
    ]
    said = run(*command, "--set", "devices=2")
    assert said.count("best weights") == said.count("validation") == 1


def test_a_batch_that_cannot_be_shared_is_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RestoreError,
        match=r"a batch of 2 can't be shared equally by 3 processes: make it a multiple",
    ):
        train(recipe(devices=3), [manifest], tmp_path)
