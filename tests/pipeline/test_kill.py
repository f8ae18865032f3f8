"""Kill a run with -9 at many moments; the same command again must end with the same bytes.

The long form, with crawls by both engines, is benchmarks/chaos.py.
"""

import random
import sys
from pathlib import Path

import pytest

from tests.pipeline.digests import digests
from tests.pipeline.kills import Command, Kind, disturb, draw_moments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the watcher needs inotify")


@pytest.mark.parametrize(
    ("scheduler", "kind", "count"),
    [("serial", "all", 2), ("local", "all", 1), ("local", "worker", 2), ("own", "scheduler", 1)],
)
def test_killed_run_resumes_to_same_bytes(
    recipe: Path,
    pictures: Path,
    tmp_path: Path,
    undisturbed: Path,
    scheduler: str,
    kind: Kind,
    count: int,
) -> None:
    expected = digests(undisturbed)
    seed = random.Random(f"{scheduler} {kind}")
    moments = draw_moments(seed, len(expected), count)
    command = Command(recipe, pictures, tmp_path / "run")
    survival = disturb(command, scheduler, kind, moments, expected, seed)
    assert not survival.faults
    assert survival.stages
