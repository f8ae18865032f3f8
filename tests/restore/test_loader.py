"""The loader: its workers, its memory, and pictures far away."""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import fsspec
import psutil
import pytest
import torch

from curate.restore.data.loader import PatchLoader, _requests, _Share
from curate.restore.data.patches import Group, PatchDataset
from curate.restore.data.pictures import Picture, open_pictures
from curate.restore.recipe import Phase
from curate.restore.schedule import Schedule

PHASES = (
    Phase(epochs=2, crop=16, batch=2, lr=1),
    Phase(epochs=3, crop=24, batch=4, lr=1),
)
SCHEDULE = Schedule(PHASES, 9)  # 4 + 4 + 2 + 2 + 2 steps; the ninth sample fills no batch


def loader(
    where: str | Path,
    step: list[int],
    schedule: Schedule = SCHEDULE,
    crops_per_image: int = 1,
    **changes: int,
) -> PatchLoader:
    groups = [Group(open_pictures(where), {"denoise_25": 1})]
    patches = PatchDataset(groups, schedule.phases, seed=0, crops_per_image=crops_per_image)
    return PatchLoader(patches, schedule, lambda: step[0], **changes)


def run_through(batches: PatchLoader, step: list[int]) -> Iterator[torch.Tensor]:
    """Every batch of every epoch, as a training asks for them."""
    while step[0] < SCHEDULE.steps:
        for _, (degraded, *_) in zip(range(len(batches)), batches, strict=False):
            step[0] += 1
            yield degraded


def test_the_schedule_is_arithmetic() -> None:
    assert (SCHEDULE.epochs, SCHEDULE.steps) == (5, 14)
    assert [SCHEDULE.steps_in(epoch) for epoch in range(5)] == [4, 4, 2, 2, 2]
    assert [SCHEDULE.first_step(epoch) for epoch in range(6)] == [0, 4, 8, 10, 12, 14]
    assert [SCHEDULE.epoch_of(step) for step in range(15)] == [0] * 4 + [1] * 4 + [
        2,
        2,
        3,
        3,
        4,
        4,
        5,
    ]
    everything = list(SCHEDULE.batches(0))
    assert [n for _, samples in everything for n in samples] == list(range(8 * 2 + 6 * 4))
    assert [phase for phase, _ in everything] == [0] * 8 + [1] * 6
    assert all(list(SCHEDULE.batches(step)) == everything[step:] for step in range(15))


@pytest.mark.parametrize(("workers", "crops"), [(0, 1), (0, 3), (2, 3)])
def test_it_can_begin_at_any_step(photos: Path, workers: int, crops: int) -> None:
    whole = list(run_through(loader(photos, step := [0], crops_per_image=crops), step))
    assert [batch.shape for batch in whole] == [(2, 3, 16, 16)] * 8 + [(4, 3, 24, 24)] * 6
    for begin in (1, 7, 8, 13):
        batches = loader(photos, step := [begin], crops_per_image=crops, workers=workers)
        part = list(run_through(batches, step))
        assert len(part) == 14 - begin
        assert all(torch.equal(a, b) for a, b in zip(part, whole[begin:], strict=True))


@pytest.mark.parametrize("crops", [1, 3])
def test_processes_share_each_step(photos: Path, crops: int) -> None:
    whole = list(run_through(loader(photos, step := [0], crops_per_image=crops), step))
    halves = []
    for rank in range(2):
        share = loader(photos, step := [0], crops_per_image=crops, rank=rank, world=2)
        halves.append(list(run_through(share, step)))
    for all_of_it, *parts in zip(whole, *halves, strict=True):
        assert torch.equal(all_of_it, torch.cat(parts))


@pytest.mark.parametrize("crops", [1, 4])
def test_loader_decodes_each_picture_once_a_pass_and_spreads_its_crops(
    photos: Path, monkeypatch: pytest.MonkeyPatch, crops: int
) -> None:
    decoded: list[str] = []
    read = Picture.read_whole
    monkeypatch.setattr(
        Picture, "read_whole", lambda self: (decoded.append(self.id), read(self))[1]
    )
    schedule = Schedule([Phase(epochs=1, crop=16, batch=8, lr=1)], 8 * crops)
    pictures = open_pictures(photos)
    patches = PatchDataset(
        [Group(pictures, {"denoise_25": 1})],
        schedule.phases,
        seed=0,
        crops_per_image=crops,
        cache_bytes=0,
    )
    requests = _requests(patches, _Share(schedule, 0, 1), 0, deque())
    assert [len(keys) for keys in requests] == [8] * crops, "workers share a pass evenly"
    batches = list(PatchLoader(patches, schedule, lambda: 0))
    assert len(batches) == crops
    assert sorted(decoded) == sorted(picture.id for picture in pictures)
    for step in range(crops):
        samples = map(patches.sample, range(8 * step, 8 * step + 8))
        assert len({sample.picture for sample in samples}) == 8
        expected = torch.stack([patches[0, number][1] for number in range(8 * step, 8 * step + 8)])
        assert torch.equal(batches[step][1], expected)


def test_one_pool_of_workers_serves_all_epochs_without_growing(photos: Path) -> None:
    """A training of 300 steps starts no new process per epoch and leaks no memory or open files."""
    here = psutil.Process()
    before = {child.pid for child in here.children()}
    step = [0]
    schedule = Schedule([Phase(epochs=100, crop=16, batch=8, lr=1)], 24)
    batches = loader(photos, step, schedule, workers=2)
    seen: list[dict[int, tuple[int, int]]] = []
    while step[0] < schedule.steps:
        for _ in zip(range(len(batches)), batches, strict=False):
            step[0] += 1
        workers = [child for child in here.children() if child.pid not in before]
        seen.append(
            {worker.pid: (worker.num_fds(), worker.memory_info().rss) for worker in workers}
        )
    assert len(seen[0]) == 2
    assert {frozenset(pids) for pids in seen} == {frozenset(seen[0])}
    early, late = seen[10:55], seen[55:]
    for pid in seen[0]:
        # least numbers: batches under way to this process are open files of the worker, too
        assert min(each[pid][0] for each in late) <= min(each[pid][0] for each in early) + 2
        assert late[-1][pid][1] - early[0][pid][1] < 8 * 2**20
    del batches
    assert {child.pid for child in here.children()} == before, "they end with it"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on an S3 server on loopback."""
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    settings = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
    for name, value in (settings | {"ENDPOINT_URL": f"http://127.0.0.1:{port}"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = f"bucket-{uuid.uuid4().hex}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    yield f"s3://{bucket}"
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")  # botocore's own sessions
@pytest.mark.parametrize("workers", [0, 2])
def test_patches_come_straight_from_an_object_store(manifest: Path, s3: str, workers: int) -> None:
    run = manifest.parent.parent
    fs = fsspec.filesystem("s3")
    for path in filter(Path.is_file, run.rglob("*")):
        fs.pipe_file(f"{s3}/{path.relative_to(run).as_posix()}", path.read_bytes())
    far = loader(f"{s3}/manifest/train.parquet", [0], workers=workers)
    for here, there in itertools.islice(zip(loader(manifest, [0]), far, strict=False), 4):
        assert torch.equal(here[0], there[0])
