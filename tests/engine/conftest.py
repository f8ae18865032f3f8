from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.engine import DaskExecutor, RunFolder, write_source
from tests.engine.example_stages import Recorder, candidates


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def shards(folder: RunFolder, progress: Recorder) -> tuple[str, ...]:
    index, _ = write_source(folder, candidates(), dict, "input", "config", progress)
    progress.done.clear()
    return index.shards


@pytest.fixture(scope="module")
def dask_workers() -> Iterator[DaskExecutor]:
    with DaskExecutor(None, 2) as executor:
        yield executor
