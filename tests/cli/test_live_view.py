import io

import pytest
from rich.console import Console

from curate.cli.live_view import LiveProgress, PlainProgress, run_progress
from curate.cli.stage_tally import Listeners, StageTally
from curate.errors import RunError
from curate.stages.names import StageName

SLOW = "http://[2001:db8::1]/a.jpg"


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[PlainProgress, io.StringIO, Clock]:
    text, clock = io.StringIO(), Clock()
    return PlainProgress(Console(file=text, width=40, highlight=False), clock), text, clock


def test_progress_is_lines_in_file_and_view_on_terminal() -> None:
    assert type(run_progress(Console(file=io.StringIO()))) is PlainProgress
    assert type(run_progress(Console(file=io.StringIO(), force_terminal=True))) is LiveProgress


def test_finished_stage_prints_its_rows() -> None:
    progress, text, clock = plain()
    with progress:
        progress.stage_started("fetched", 2, 20)
        progress.advanced("fetched", "part-00000", {"ok": 4}, [])
        progress.shard_done("fetched", "part-00000", {"ok": 7, "dns": 3}, False, 1.0)
        progress.shard_failed("fetched", "part-00001", "OSError('[errno] the network blinked')")
        progress.shard_done("fetched", "part-00001", {"ok": 10}, False, 1.0)
        clock.now += 4
        progress.stage_finished("fetched")
        progress.stage_started("measured", 2, 2000)
        progress.shard_done("measured", "part-00000", {"ok": 2000}, True, 0.0)
        progress.stage_finished("measured")
    assert text.getvalue().splitlines() == [
        "fetch: part-00001 failed (OSError('[errno] the network blinked')); it will be tried again",
        "fetch      20 rows: 17 in, 3 out   4.0 s, 5.0 rows/s",
        "measure    2,000 rows, there already",
    ]


def test_running_stage_prints_line_every_ten_seconds() -> None:
    progress, text, clock = plain()
    progress.stage_started("fetched", 2, 2000)
    for _ in range(40):
        clock.now += 0.5
        rows = int(clock.now - 100) * 10
        reasons = {"ok": rows, "dns": 4, "tls": 3, "timeout": 2, "connect": 1}
        progress.advanced(
            "fetched", "part-00000", reasons, [(SLOW, clock.now - 100), ("http://b/", 2.0)]
        )
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1] == (
        "fetch      210 of 2,000 rows, 10.5 rows/s, 2.8 minutes left, out: dns 4 tls 3 timeout 2, "
        f"open for 20 s: {SLOW}"
    )


@pytest.mark.parametrize(
    ("error", "then"),
    [
        (KeyboardInterrupt, ""),
        (RunError, "; once that is mended, the same command goes on from there"),
    ],
)
def test_interrupted_stage_prints_finished_shards(error: type[BaseException], then: str) -> None:
    progress, text, _ = plain()
    with pytest.raises(error), progress:
        progress.stage_started("fetched", 3, 30)
        progress.shard_done("fetched", "part-00000", {"ok": 10}, False, 1.0)
        raise error
    assert text.getvalue() == f"fetch      broken off; 1 of 3 shards are done, and stay{then}\n"


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (40, 10), (20, 4)])
def test_live_view_fits_terminal_and_vanishes(width: int, height: int) -> None:
    text, clock = io.StringIO(), Clock()
    console = Console(file=text, force_terminal=True, width=width, height=height, highlight=False)
    progress = LiveProgress(console, clock)
    with progress:
        progress.stage_started("fetched", 1, 5_000_000)
        clock.now += 10
        waits = [(f"http://slow.example.org/{'a/' * 60}{n}.jpg", 41.0 + n) for n in range(5)]
        reasons = {"ok": 900, "dns": 500, "tls": 30} | {f"reason_{n}": n + 1 for n in range(20)}
        progress.advanced("fetched", "part-00000", reasons, waits)
        drawn = Console(file=io.StringIO(), width=width, height=height, highlight=False)
        drawn.print(progress._draw())
        progress.shard_done("fetched", "part-00000", reasons, False, 1.0)
        progress.stage_finished("fetched")
    shown = drawn.file.getvalue()
    lines = shown.splitlines()
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("fetch ")
    if width >= 80:
        assert "the host name did not resolve" in shown
        assert "open for" in shown
        assert "http://slow.example.org/a/" in shown
    assert text.getvalue().rstrip().endswith("rows/s")


def tally() -> StageTally:
    return StageTally("fetched", 4, 400, now=0.0)


def test_tally_counts_no_row_twice() -> None:
    stage = tally()
    stage.advanced("part-00000", {"ok": 50}, [], 1.0)
    stage.advanced("part-00000", {"ok": 20}, [], 2.0)  # its worker died, and another began anew
    assert stage.done == 20
    stage.shard_failed("part-00000")
    assert stage.done == 0
    stage.advanced("part-00000", {"ok": 100}, [("http://a/", 9.0)], 3.0)
    stage.shard_done("part-00000", {"ok": 90, "dns": 10}, False, 4.0)
    stage.advanced("part-00000", {"ok": 100}, [("http://a/", 9.0)], 5.0)  # late word of it
    assert (stage.done, stage.reasons, stage.slowest) == (100, [("dns", 10)], [])


def test_rate_covers_recent_rows_of_this_run() -> None:
    stage = tally()
    stage.shard_done("part-00000", {"ok": 100}, True, 1.0)
    assert stage.rate(10.0) == 0
    assert stage.seconds_left(10.0) is None
    for second in range(1, 101):
        stage.advanced("part-00001", {"ok": second if second <= 50 else 50}, [], float(second))
    assert stage.rate(50.0) < 1.0
    assert stage.rate(100.0) == 0  # nothing for fifty seconds
    stage.advanced("part-00002", {"ok": 60}, [], 101.0)
    assert stage.rate(101.0) == pytest.approx(60 / 30, rel=0.1)
    assert stage.seconds_left(101.0) == pytest.approx(190 / 2, rel=0.1)


def test_time_left_leaves_out_rows_rejected_before() -> None:
    stage = StageTally("measured", 2, 800, 0.0, {"part-00000": 350, "part-00001": 290})
    stage.advanced("part-00000", {"ok": 0, "too_small": 350}, [], 1.0)
    assert (stage.work, stage.work_done, stage.rate(1.0)) == (160, 0, 0.0)
    assert stage.seconds_left(1.0) is None
    stage.advanced("part-00000", {"ok": 10, "too_small": 350}, [], 10.0)
    assert stage.seconds_left(10.0) == pytest.approx(150, rel=0.1)
    stage.shard_done("part-00000", {"ok": 48, "decode_failed": 2, "too_small": 350}, False, 50.0)
    assert stage.work_done == 50
    assert stage.seconds_left(50.0) == pytest.approx(110, rel=0.1)
    assert stage.rejected == {"part-00000": 352}


def test_stage_after_another_knows_its_rejected_rows() -> None:
    progress, text, clock = plain()
    progress.stage_started("fetched", 1, 803)
    progress.shard_done("fetched", "part-00000", {"ok": 0, "dns": 803}, False, 1.0)
    progress.stage_finished("fetched")
    progress.stage_started("measured", 1, 803)
    progress.shard_done("measured", "part-00000", {"ok": 0, "dns": 803}, False, 1.0)
    progress.stage_finished("measured")
    assert text.getvalue().splitlines()[1] == "measure    skipped: no row is left"
    # a command of one stage reads them from the run folder
    progress.remember(StageName.FETCH, {"part-00000": 800})
    progress.stage_started("measured", 1, 803)
    for _ in range(11):
        clock.now += 1
        progress.advanced("measured", "part-00000", {"ok": 1, "dns": 800}, [])
    progress.stage_finished("measured")
    assert text.getvalue().splitlines()[2].startswith("measure    1 of 3 rows, ")


def test_listeners_forward_every_event() -> None:
    heard: list[str] = []

    class Hears:
        def __getattr__(self, name: str):
            return lambda *arguments: heard.append(name)

    listeners = Listeners(Hears(), Hears())
    listeners.run_started("run", "demo", "f00")
    listeners.stage_started("fetched", 1, 10)
    listeners.advanced("fetched", "part-00000", {}, [])
    listeners.shard_failed("fetched", "part-00000", "")
    listeners.shard_done("fetched", "part-00000", {}, False, 1.0)
    listeners.stage_finished("fetched")
    calls = [
        "run_started",
        "stage_started",
        "advanced",
        "shard_failed",
        "shard_done",
        "stage_finished",
    ]
    assert heard == [name for name in calls for _ in range(2)]
