import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.errors import RunError
from curate.stages.fetch import host_limits as turns_module
from curate.stages.fetch.host_limits import Turns
from curate.stages.fetch.open_requests import Watch
from tests.site.hostile import HostileSite, settings

ANOTHER = """
import sys
from pathlib import Path
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.host_limits import Turns
with Turns.open(Path(sys.argv[1])) as turns:
    print(*[round(turns.reserve("a.test", 1000.0, 1e6) / 1000) for _ in range(5)])
    print(*[turns.enter("a.test", 3) is not None for _ in range(2)], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "turns"


@pytest.fixture
def turns(path: Path) -> Iterator[Turns]:
    with Turns.open(path) as opened:
        yield opened


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    clock = [1000.0]
    monkeypatch.setattr(turns_module.time, "time", lambda: clock[0])
    return clock


def test_turns_keep_the_rate(turns: Turns, now: list[float]) -> None:
    assert [turns.reserve("a.test", 0.25, 60.0) for _ in range(3)] == [0.0, 0.25, 0.5]
    assert turns.reserve("b.test", 0.25, 60.0) == 0.0
    now[0] += 100.0
    assert turns.reserve("a.test", 0.25, 60.0) == 0.0
    assert [turns.reserve("c.test", 0.0, 60.0) for _ in range(3)] == [0.0] * 3


def test_nobody_asks_a_host_that_wants_to_be_left_alone(turns: Turns, now: list[float]) -> None:
    turns.postpone("a.test", 5.0)
    turns.postpone("a.test", 3.0)
    now[0] += 1.0
    assert turns.reserve("a.test", 0.0, 60.0) == 4.0


def test_a_clock_that_was_set_back_stops_nobody(turns: Turns, now: list[float]) -> None:
    turns.reserve("a.test", 1.0, 60.0)
    now[0] -= 500.0
    assert [turns.reserve("a.test", 1.0, 60.0) for _ in range(2)] == [0.0, 1.0]


def test_there_are_so_many_places_and_no_more(turns: Turns) -> None:
    places = [turns.enter("a.test", 3) for _ in range(5)]
    assert len({*places[:3]}) == 3
    assert places[3:] == [None, None]
    assert turns.enter("b.test", 1) is not None
    assert places[1] is not None
    turns.leave(places[1])
    assert turns.enter("a.test", 3) == places[1]


def test_processes_share_rates_and_places_and_the_killed_leave_none_taken(
    turns: Turns, path: Path
) -> None:
    mine = [round(turns.reserve("a.test", 1000.0, 1e6) / 1000) for _ in range(3)]
    command = [sys.executable, "-c", ANOTHER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = [int(turn) for turn in other.stdout.readline().split()]
        assert other.stdout.readline().split() == ["True", "True"]
        assert turns.enter("a.test", 3) is not None
        assert turns.enter("a.test", 3) is None
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert [*mine, *theirs, round(turns.reserve("a.test", 1000.0, 1e6) / 1000)] == [*range(9)]
    assert turns.enter("a.test", 3) is not None


def test_opened_twice_in_a_process_it_is_one(turns: Turns, path: Path) -> None:
    turns.enter("a.test", 2)
    with Turns.open(path) as again:
        assert again.enter("a.test", 2) is not None
        assert again.enter("a.test", 2) is None
    command = [sys.executable, "-c", ANOTHER, str(path)]
    other = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert other.stdout.splitlines()[1] == "True False", (
        "a second close let the first one's locks go"
    )


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="can't write"), Turns.open(tmp_path / "none" / "turns"):
        pass


def crawl(
    engine: str, urls: list[str], scratch: Path, turns: Path, fetch: dict[str, Any]
) -> list[bool]:
    from curate.stages.fetch.shard import _engine

    scratch.mkdir()
    outcomes = _engine(engine)(urls, settings(**fetch), scratch, Watch(), turns=turns)
    return [outcome.body is not None for outcome in outcomes]


@pytest.mark.usefixtures("needs_img2dataset")
def test_the_limit_of_a_host_holds_for_all_workers_and_both_engines(
    site: HostileSite, tmp_path: Path
) -> None:
    urls = [site.url(f"numbered/{i}") for i in range(60)]
    tasks = [
        (
            engine,
            urls[first : first + 20],
            tmp_path / engine_scratch,
            tmp_path / "turns",
            {"per_host": 2},
        )
        for engine, engine_scratch, first in (
            ("stream", "a", 0),
            ("stream", "b", 20),
            ("img2dataset", "c", 40),
        )
    ]
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert all(all(kept) for kept in pool.starmap(crawl, tasks))
    assert site.busiest == 2
