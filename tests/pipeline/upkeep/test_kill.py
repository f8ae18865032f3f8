"""kill -9 while a dataset is rebuilt: the same command again ends with the same bytes."""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import curate
from curate.manifest import export_manifest
from tests.pipeline.digests import digests
from tests.pipeline.kills import Command, disturb, draw_moments
from tests.pipeline.upkeep.ageing import SETTINGS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the watcher needs inotify")


@dataclass
class Rebuild(Command):
    """`curate rebuild`, of one list into one folder."""

    def words(self) -> tuple[object, ...]:
        return ("rebuild", self.input, "--out", self.out)


def test_killed_rebuild_resumes_to_same_bytes(dataset: Path, tmp_path: Path) -> None:
    export_manifest(str(dataset), tmp_path / "m.parquet")
    curate.rebuild(
        tmp_path / "m.parquet", tmp_path / "expected", settings=SETTINGS, scheduler="serial"
    )
    expected = digests(tmp_path / "expected")
    command = Rebuild(Path("unused"), tmp_path / "m.parquet", tmp_path / "run", SETTINGS)
    seed = random.Random(3)
    survival = disturb(
        command, "serial", "all", draw_moments(seed, len(expected), 2), expected, seed
    )
    assert not survival.faults
    assert survival.restarts
