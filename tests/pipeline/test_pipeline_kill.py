"""kill -9, at many moments: of a worker, and of everything. The same command again must end with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pipeline_digests import digests

import curate


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, recipe: Path, pictures: Path) -> dict[str, str]:
    out = tmp_path_factory.mktemp("expected") / "run"
    curate.run(recipe, [pictures], out, scheduler="serial")
    return digests(out)


def start(recipe: Path, pictures: Path, out: Path, scheduler: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "curate", "run", str(recipe), "--input", str(pictures), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--scheduler", scheduler, "--workers", "2"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_for_files(run: subprocess.Popen[bytes], out: Path, count: int) -> bool:
    """Until the run folder holds so many files; False if the run ends before."""
    while run.poll() is None:
        # os.walk, since temporary folders come and go meanwhile
        if sum(len(files) for _, _, files in os.walk(out)) >= count:
            return True
        time.sleep(0.002)
    return False


def check_whole(out: Path, expected: dict[str, str]) -> None:
    """Whatever stands under a final name is what an undisturbed run puts there."""
    for name, digest in digests(out).items():
        if ".tmp-" not in name:
            assert digest == expected[name], name


@pytest.mark.parametrize("scheduler", ["serial", "local"])
def test_killing_everything(
    recipe: Path, pictures: Path, tmp_path: Path, expected: dict[str, str], scheduler: str
) -> None:
    out, moments = tmp_path / "run", random.Random(scheduler)
    for count in sorted(moments.sample(range(2, len(expected)), 3)):
        run = start(recipe, pictures, out, scheduler)
        with run:
            if wait_for_files(run, out, count):
                os.killpg(run.pid, signal.SIGKILL)
        check_whole(out, expected)
    with start(recipe, pictures, out, scheduler) as run:
        _, errors = run.communicate()
    assert run.returncode == 0, errors.decode()
    assert digests(out) == expected


def test_killing_a_worker(recipe: Path, pictures: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    out, moments = tmp_path / "run", random.Random(1)
    with start(recipe, pictures, out, "local") as run:
        for count in sorted(moments.sample(range(6, len(expected) - 6), 2)):
            if wait_for_files(run, out, count):
                workers = [
                    process
                    for process in psutil.Process(run.pid).children(recursive=True)
                    if "spawn_main" in " ".join(process.cmdline())
                ]
                if workers:
                    moments.choice(workers).kill()
        _, errors = run.communicate()
    assert run.returncode == 0, errors.decode()
    assert digests(out) == expected
