import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.errors import RunError
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.host_limits import HostLimits
from curate.stages.fetch.shard import load_engine
from tests.site.hostile import HostileSite, settings

ANOTHER = """
import sys
from pathlib import Path
from curate.stages.fetch.host_limits import HostLimits
with HostLimits.open(Path(sys.argv[1])) as limits:
    print(*[round(limits.reserve("a.test", 1000.0, 1e6) / 1000) for _ in range(5)])
    print(*[limits.acquire("a.test", 3) is not None for _ in range(2)], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits"


@pytest.fixture
def limits(path: Path) -> Iterator[HostLimits]:
    with HostLimits.open(path) as opened:
        yield opened


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Clock whose time a test can set."""
    clock = [1000.0]
    monkeypatch.setattr("curate.stages.fetch.host_limits.time.time", lambda: clock[0])
    return clock


def test_host_limits_keep_the_rate(limits: HostLimits, now: list[float]) -> None:
    assert [limits.reserve("a.test", 0.25, 60.0) for _ in range(3)] == [0.0, 0.25, 0.5]
    assert limits.reserve("b.test", 0.25, 60.0) == 0.0
    now[0] += 100.0
    assert limits.reserve("a.test", 0.25, 60.0) == 0.0
    assert [limits.reserve("c.test", 0.0, 60.0) for _ in range(3)] == [0.0] * 3


def test_postponed_host_waits_for_the_longest_delay(limits: HostLimits, now: list[float]) -> None:
    limits.postpone("a.test", 5.0)
    limits.postpone("a.test", 3.0)
    now[0] += 1.0
    assert limits.reserve("a.test", 0.0, 60.0) == 4.0


def test_clock_set_back_does_not_block_a_host(limits: HostLimits, now: list[float]) -> None:
    limits.reserve("a.test", 1.0, 60.0)
    now[0] -= 500.0
    assert [limits.reserve("a.test", 1.0, 60.0) for _ in range(2)] == [0.0, 1.0]


def test_host_has_a_fixed_number_of_slots(limits: HostLimits) -> None:
    slots = [limits.acquire("a.test", 3) for _ in range(5)]
    assert len({*slots[:3]}) == 3
    assert slots[3:] == [None, None]
    assert limits.acquire("b.test", 1) is not None
    assert slots[1] is not None
    limits.release(slots[1])
    assert limits.acquire("a.test", 3) == slots[1]


def test_processes_share_rates_and_slots_and_killed_ones_free_theirs(
    limits: HostLimits, path: Path
) -> None:
    mine = [round(limits.reserve("a.test", 1000.0, 1e6) / 1000) for _ in range(3)]
    command = [sys.executable, "-c", ANOTHER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = [int(number) for number in other.stdout.readline().split()]
        assert other.stdout.readline().split() == ["True", "True"]
        assert limits.acquire("a.test", 3) is not None
        assert limits.acquire("a.test", 3) is None
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert [*mine, *theirs, round(limits.reserve("a.test", 1000.0, 1e6) / 1000)] == [*range(9)]
    assert limits.acquire("a.test", 3) is not None


def test_host_limits_opened_twice_share_their_locks(limits: HostLimits, path: Path) -> None:
    limits.acquire("a.test", 2)
    with HostLimits.open(path) as again:
        assert again.acquire("a.test", 2) is not None
        assert again.acquire("a.test", 2) is None
    command = [sys.executable, "-c", ANOTHER, str(path)]
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    other = subprocess.run(command, check=True, **options)
    # closing the second one must not drop the locks of the first
    assert other.stdout.splitlines()[1] == "True False"


def test_host_limits_in_a_missing_folder_raise(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match="can't write"),
        HostLimits.open(tmp_path / "none" / "limits"),
    ):
        pass


def crawl(
    engine: str, urls: list[str], scratch: Path, limits_file: Path, fetch: dict[str, Any]
) -> list[bool]:
    scratch.mkdir()
    context = FetchContext(settings(**fetch), scratch, limits_file=limits_file)
    outcomes = load_engine(engine)(urls, context)
    return [outcome.body is not None for outcome in outcomes]


@pytest.mark.usefixtures("needs_img2dataset")
def test_host_limit_holds_for_all_workers_and_both_engines(
    site: HostileSite, tmp_path: Path
) -> None:
    tasks = []
    for i, engine in enumerate(("stream", "stream", "img2dataset")):
        urls = [site.url(f"numbered/{20 * i + k}") for k in range(20)]
        tasks.append((engine, urls, tmp_path / f"{i}", tmp_path / "limits", {"per_host": 2}))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert all(all(kept) for kept in pool.starmap(crawl, tasks))
    assert site.busiest == 2
