import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from curate.engine import DaskExecutor, Progress, RunFolder, write_source

sys.path.insert(0, str(Path(__file__).parent))  # workers unpickle the stage functions of stages.py by name


class Recorder(Progress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, bool]] = []
        self.failed: list[str] = []
        self.rows = 0

    def advanced(self, stage: str, shard: str, rows: int) -> None:
        self.rows += rows

    def shard_done(self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool) -> None:
        self.done.append((stage, shard, resumed))

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        self.failed.append(shard)


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def candidates(shards: int = 3, rows: int = 8) -> list[pa.Table]:
    """Tables of candidates, the second of each rejected already."""
    return [
        pa.table(
            {
                "id": [f"{shard:02d}{row:02d}" for row in range(rows)],
                "number": list(range(rows)),
                "status": ["rejected" if row == 1 else "ok" for row in range(rows)],
                "reason": pa.array(["bad_url" if row == 1 else None for row in range(rows)], pa.string()),
            }
        )
        for shard in range(shards)
    ]


@pytest.fixture
def shards(folder: RunFolder, progress: Recorder) -> tuple[str, ...]:
    index, _ = write_source(folder, candidates(), dict, "input", "config", progress)
    progress.done.clear()
    return index.shards


@pytest.fixture(scope="module")
def dask_workers() -> Iterator[DaskExecutor]:
    with DaskExecutor(None, 2) as executor:
        yield executor
