import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dask.utils
import psutil
import pytest

from curate.engine import (
    DaskExecutor,
    RunFolder,
    map_in_order,
    open_executor,
    rows_of,
    run_stage,
    write_source,
)
from curate.errors import InputError, RunError
from tests.engine.example_stages import Hears, Recorder, Waits, candidates, hurdle, squares
from tests.engine.test_runner import SERIAL, contents
from tests.images.work import attempt


def test_dask_run_has_the_bytes_of_a_serial_run(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder, dask_workers: DaskExecutor
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    serial = contents(folder)
    for name in [name for name in serial if name.startswith(("squared", "files"))]:
        folder.remove(name)
    run_stage(folder, squares(), shards, 24, dask_workers, progress)
    assert contents(folder) == serial
    assert run_stage(folder, squares(), shards, 24, dask_workers, progress).resumed == 3


def test_row_that_kills_its_worker_is_found_and_excluded(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder, dask_workers: DaskExecutor
) -> None:
    outcome = run_stage(folder, squares(exit_on=("0205",)), shards, 24, dask_workers, progress)
    assert outcome.excluded == ("0205",)
    assert rows_of(folder, ["squared"], "part-00002")["reason"].to_pylist()[5] == "crashed"
    assert outcome.rows_out == {"bad_url": 3, "crashed": 1, "ok": 14, "too_small": 6}


def test_killed_worker_changes_no_result(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder, dask_workers: DaskExecutor
) -> None:
    class KillsOne(Recorder):
        def stage_started(self, stage: str, shards: int, rows: int) -> None:
            workers = [
                p
                for p in psutil.Process().children(recursive=True)
                if "spawn_main" in " ".join(p.cmdline())
            ]
            os.kill(workers[-1].pid, signal.SIGKILL)

    outcome = run_stage(folder, squares(), shards, 24, dask_workers, KillsOne())
    assert outcome.rows_out == {"bad_url": 3, "ok": 15, "too_small": 6}
    assert not outcome.excluded
    assert not outcome.quarantined


def test_picture_that_takes_too_much_ends_no_worker(dask_workers: DaskExecutor) -> None:
    ends = {"length": "done", "hang": "too_costly", "spin": "too_costly", "fill": "too_costly"}
    ends |= {"kill": "crashed"}
    for executor in (SERIAL, dask_workers):
        assert map_in_order(executor, attempt, ends) == list(ends.values())


def test_map_in_order_returns_results_in_order_of_tasks(dask_workers: DaskExecutor) -> None:
    for executor in (SERIAL, dask_workers):
        assert map_in_order(executor, hurdle, range(7)) == [0, 1, 4, 9, 16, 25, 36]
        assert map_in_order(executor, hurdle, []) == []
        with pytest.raises(InputError, match="no such number: -1"):
            map_in_order(executor, hurdle, [0, -1, 1])
    with pytest.raises(RunError, match="a worker process died twice over the same work"):
        map_in_order(dask_workers, hurdle, [1, 99])


class UnpicklableError(Exception):
    def __reduce__(self) -> str:
        raise TypeError("holds a socket")


def _fill_disk(task: int, report: object) -> None:
    try:
        raise UnpicklableError
    except UnpicklableError as error:
        raise RunError("no space left on device") from error


def test_error_with_unpicklable_cause_reaches_the_driver(dask_workers: DaskExecutor) -> None:
    """Dask sends a bare Exception otherwise, and a full disk looks like a failed shard."""
    with pytest.raises(RunError, match=r"^no space left on device$"):
        map_in_order(dask_workers, _fill_disk, [0])


def test_workers_that_die_often_are_restarted(dask_workers: DaskExecutor) -> None:
    """Dask checks 15 s after a death for the worker, and stops its nanny if it died again."""
    timeout = dask.utils.parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout"))
    assert timeout > timedelta(days=365).total_seconds()


def test_executor_of_an_address_uses_that_scheduler(
    dask_workers: DaskExecutor, tmp_path: Path
) -> None:
    address = dask_workers._client.scheduler.address
    with open_executor(address) as executor:
        results = list(executor.map(_double, [1, 2, 3], lambda task, report: None))
    assert sorted(results) == [(1, 2), (2, 4), (3, 6)]


def test_workers_that_join_later_get_tasks(caplog: pytest.LogCaptureFixture) -> None:
    from distributed import LocalCluster

    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(12):
            taken.append(task)
            yield task

    with (
        LocalCluster(
            n_workers=0, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        open_executor(cluster.scheduler_address) as executor,
    ):
        assert "has no workers yet" in caplog.text
        cluster.scale(1)
        results = executor.map(_double, tasks(), lambda task, report: None)
        next(results)
        assert len(taken) <= 3
        cluster.scale(3)
        cluster.wait_for_workers(3)
        next(results)
        assert len(taken) == 8  # two are done, two for each worker are under way
        assert len(list(results)) == 10


def test_workers_collect_no_profile(dask_workers: DaskExecutor) -> None:
    """Dask's would grow for an hour, with every call stack that it sees."""
    dask_workers._client.wait_for_workers(1)  # tests before this one kill some
    (enabled,) = set(
        dask_workers._client.run(dask.config.get, "distributed.worker.profile.enabled").values()
    )
    assert enabled is False


def test_workers_block_ctrl_c(dask_workers: DaskExecutor) -> None:
    """A terminal sends it to the workers too: each would say so with a traceback."""
    dask_workers._client.wait_for_workers(1)
    masks = dask_workers._client.run(signal.pthread_sigmask, signal.SIG_BLOCK, [])
    assert masks
    assert all(signal.SIGINT in mask for mask in masks.values())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("name", ["", "Local", "slurm"])
def test_unknown_scheduler_raises(name: str) -> None:
    with pytest.raises(RunError, match="--scheduler takes local, serial or"):
        open_executor(name)


def test_lost_scheduler_raises_a_run_error(
    dask_workers: DaskExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(dask_workers._client, "nthreads", gone)
    with pytest.raises(RunError, match="went away; run the same command again"):
        list(dask_workers.map(_double, [1, 2], lambda task, report: None))


def test_gpu_tasks_go_to_the_restarted_gpu_worker() -> None:
    with open_executor("local", 2, gpus=["7"]) as executor:
        assert executor.offers("GPU")
        assert not executor.offers("TPU")
        on_it = [
            place for _, place in executor.map(_place, range(6), lambda task, rows: None, "GPU")
        ]
        assert len(set(on_it)) == 1
        pid, devices = on_it[0]
        assert devices == "7"
        os.kill(pid, signal.SIGKILL)
        again = {
            place for _, place in executor.map(_place, range(3), lambda task, rows: None, "GPU")
        }
        assert [devices for _, devices in again] == ["7"]
        assert pid not in {pid for pid, _ in again}


def test_executor_without_gpus_offers_none(dask_workers: DaskExecutor) -> None:
    assert not dask_workers.offers("GPU")
    with open_executor("serial") as executor:
        assert [
            result for _, result in executor.map(_double, [1], lambda task, rows: None, "GPU")
        ] == [2]


def _place(task: int, report: object) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def _double(task: int, report: object) -> int:
    return 2 * task


def test_reports_of_a_dead_worker_are_void(
    folder: RunFolder, tmp_path: Path, dask_workers: DaskExecutor
) -> None:
    index, _ = write_source(folder, candidates(1), dict, "input", "config", Recorder())
    progress = Hears(tmp_path / "heard")
    waits = Waits(str(tmp_path / "heard"), die_once=str(tmp_path / "died"))
    outcome = run_stage(folder, squares(waits), index.shards, 8, dask_workers, progress)
    assert outcome.rows_out == {"bad_url": 1, "ok": 5, "too_small": 2}
    # each report has all counts so far, including the row that an earlier stage rejected
    standing = ("part-00000", {"bad_url": 1, "slow": 2}, ["the other side"])
    assert progress.under_way[0] == standing
    again = progress.under_way[1:]  # by the next worker, whose rows may be done when it says so
    assert again and all(rows_out["slow"] == 2 for _, rows_out, _ in again)
    assert (tmp_path / "died").exists()
    assert not progress.failed


def test_cluster_that_does_not_close_is_left_after_the_timeout(tmp_path: Path) -> None:
    script = """
        import asyncio
        from distributed import LocalCluster
        from curate.engine import executor

        def double(task, report):
            return 2 * task

        async def never(self):
            await asyncio.sleep(3600)

        if __name__ == "__main__":
            executor.CLOSING_SECONDS = 0.2
            LocalCluster._close = never
            with executor.DaskExecutor(None, 1) as workers:
                print(list(workers.map(double, [21], lambda task, report: None)))
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "[(21, 42)]\n"), done.stderr


def test_executor_puts_back_dask_settings_and_log_levels() -> None:
    names = ("distributed", "distributed.client")
    key = "distributed.scheduler.allowed-failures"
    before = dask.config.get(key), [logging.getLogger(name).level for name in names]
    with DaskExecutor(None, 1):
        assert dask.config.get(key) == 1
    assert (dask.config.get(key), [logging.getLogger(name).level for name in names]) == before
