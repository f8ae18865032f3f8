import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from curate.cli.event_log import EVENTS, EventLog
from curate.errors import RunError


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def log_all(log: EventLog, clock: Clock) -> None:
    log.run_started("run", "demo", "f00")
    log.stage_started("fetched", 2, 200)
    clock.now += 10
    log.advanced(
        "fetched", "part-00000", {"ok": 40, "dns": 10}, [("http://slow.example.org/a.jpg", 12.34)]
    )
    log.shard_failed("fetched", "part-00000", "OSError('ä')")
    log.shard_done("fetched", "part-00000", {"ok": 90, "dns": 10}, False, 1.23456)
    log.shard_done("fetched", "part-00001", {"ok": 100}, True, 0.0)
    log.stage_finished("fetched")


def test_event_log_matches_table_of_events(tmp_path: Path) -> None:
    clock, complaints = Clock(), list[str]()
    with EventLog(str(tmp_path / "new/run.jsonl"), complaints.append, clock) as log:
        log_all(log, clock)
    with (
        pytest.raises(RunError),
        EventLog(str(tmp_path / "new/run.jsonl"), complaints.append, clock),
    ):
        raise RunError("no room")
    logged = events(tmp_path / "new/run.jsonl")
    assert {event["event"] for event in logged} == EVENTS.keys()
    for event in logged:
        assert list(event) == ["time", "event", *EVENTS[event["event"]][1]]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
    progress = next(event for event in logged if event["event"] == "progress")
    assert progress | {"time": ""} == {
        "time": "",
        "event": "progress",
        "stage": "fetch",
        "done": 50,
        "rows": 200,
        "rows_out": {"ok": 40, "dns": 10},
        "rows_per_second": 5.0,
        "seconds_left": 30.0,
        "slowest": [{"url": "http://slow.example.org/a.jpg", "seconds": 12.3}],
    }
    assert (logged[-1]["error"], logged[-1]["message"]) == ("RunError", "no room")
    assert not complaints


def test_event_log_writes_each_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with EventLog(str(path), pytest.fail) as log:
        log.stage_started("fetched", 2, 200)
        assert events(path)[-1]["stage"] == "fetch"


def test_event_log_after_cut_line_starts_new_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"event": "run_started"}\n{"event": "prog')
    with EventLog(str(path), pytest.fail):
        pass
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"event": "run_started"}', '{"event": "prog']
    assert json.loads(lines[2])["event"] == "run_finished"


def test_event_log_named_dash_is_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw))
    with EventLog("-", pytest.fail) as log:
        log.run_started("run", "demo", "f00")
    assert [json.loads(line)["event"] for line in raw.getvalue().splitlines()] == [
        "run_started",
        "run_finished",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_event_log_on_full_disk_stops_without_failing_run() -> None:
    complaints: list[str] = []
    clock = Clock()
    with EventLog("/dev/full", complaints.append, clock) as log:
        log_all(log, clock)
    assert len(complaints) == 1
    assert "No space left on device; no more events are logged, the run goes on" in complaints[0]


def test_event_log_that_cannot_open_is_refused_before_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="can't write"):
        EventLog(str(tmp_path), pytest.fail)


def test_run_command_logs_every_event(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    from curate.pipeline.execute import run

    path = tmp_path / "run.jsonl"
    for _ in range(2):
        with EventLog(str(path), pytest.fail) as log:
            run(recipe, [pictures], tmp_path / "run", scheduler="serial", progress=log)
    logged = events(path)
    assert [event["event"] for event in logged].count("run_started") == 2
    first, second = logged[: len(logged) // 2], logged[len(logged) // 2 :]
    stages = ["candidates", "fetch", "measure", "label", "match", "select", "report"]
    for run_ in (first, second):
        assert [event["stage"] for event in run_ if event["event"] == "stage_finished"] == stages
        assert run_[-1]["event"] == "run_finished"
    assert {event["resumed"] for event in first if event["event"] == "shard_done"} == {False}
    assert {event["resumed"] for event in second if event["event"] == "shard_done"} == {True}
