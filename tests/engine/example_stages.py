"""Example stages, candidates and progress that Dask workers can import by name."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate.engine import Progress, Shard, Stage, Wait
from curate.engine.executor import Report
from curate.errors import InputError

SCHEMA = pa.schema([("square", pa.int64())])


@dataclass(frozen=True)
class Square:
    """Squares `number`, rejects multiples of 3 as `too_small`, and misbehaves as told."""

    version: int = 1
    raise_on: tuple[str, ...] = ()
    exit_on: tuple[str, ...] = ()
    fail_once: str | None = None
    """A path that is made at the first call, which then fails."""

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        if self.fail_once and not Path(self.fail_once).exists():
            Path(self.fail_once).touch()
            raise OSError("the network blinked")
        ids, numbers = rows["id"].to_pylist(), rows["number"].to_pylist()
        for id_ in ids:
            if id_ in self.raise_on:
                raise RuntimeError(f"can't stand {id_}")
            if id_ in self.exit_on:
                os._exit(1)
        with shard.create(f"files/{shard.name}.txt") as sink:
            sink.write("\n".join(ids).encode())
        with shard.create(f"log/{shard.name}.txt", volatile=True) as sink:
            sink.write(os.urandom(8))
        reasons = ["too_small" if n and n % 3 == 0 else None for n in numbers]
        for reason in reasons:
            shard.advance(1, reason)
        return pa.table(
            {
                "id": ids,
                "reason": pa.array(reasons, pa.string()),
                "square": [n * n for n in numbers],
            },
            schema=pa.schema([("id", pa.string()), ("reason", pa.string()), *SCHEMA]),
        )


@dataclass(frozen=True)
class Waits:
    """Report progress from other threads, as a downloader does, and wait until it arrives."""

    heard: str
    """A path that is there once what it says has arrived."""
    fail_once: str | None = None
    """A path that is made at the first call, which then fails."""
    die_once: str | None = None
    """Report progress likewise, and then kill the worker."""

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        shard.watch(
            lambda: [("the other side", time.monotonic())]
        )  # so there is always something new to tell
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: shard.advance(1, "slow"), range(2)))
        for _ in range(3000):
            if Path(self.heard).exists():
                break
            time.sleep(0.01)
        for path in (self.fail_once, self.die_once):
            if path and not Path(path).exists():
                Path(path).touch()
                Path(self.heard).unlink()
                if path == self.die_once:
                    os._exit(1)
                raise OSError("the network blinked")
        return Square()(rows, shard)


@dataclass(frozen=True)
class LosesRow:
    """Returns one row fewer than it was given."""

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        return Square()(rows.slice(1), shard)


def squares(function: object = None, **settings: object) -> Stage:
    """A stage of `Square`."""
    square = function or Square(**settings)
    return Stage(
        "squared", square, SCHEMA, ("candidates",), {"version": getattr(square, "version", 1)}
    )


class Recorder(Progress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, bool]] = []
        self.failed: list[str] = []
        self.seconds: dict[str, float] = {}
        self.under_way: list[tuple[str, dict[str, int], list[str]]] = []

    def advanced(
        self, stage: str, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait]
    ) -> None:
        self.under_way.append((shard, dict(rows_out), [what for what, _ in waits]))

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        self.done.append((stage, shard, resumed))
        self.seconds[shard] = seconds

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        self.failed.append(shard)


class Hears(Recorder):
    """Lets the one shard of `Waits` go on as soon as it is heard."""

    def __init__(self, heard: Path) -> None:
        super().__init__()
        self.heard = heard

    def advanced(
        self, stage: str, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait]
    ) -> None:
        super().advanced(stage, shard, rows_out, waits)
        self.heard.touch()


def candidates(shards: int = 3, rows: int = 8) -> list[pa.Table]:
    """Tables of candidates, the second of each rejected already."""
    return [
        pa.table(
            {
                "id": [f"{shard:02d}{row:02d}" for row in range(rows)],
                "number": list(range(rows)),
                "status": ["rejected" if row == 1 else "ok" for row in range(rows)],
                "reason": pa.array(
                    ["bad_url" if row == 1 else None for row in range(rows)], pa.string()
                ),
            }
        )
        for shard in range(shards)
    ]


def hurdle(number: int, report: Report) -> int:
    """Task that ends later the earlier it began; negative ones fail, and 99 kills its worker."""
    if number < 0:
        raise InputError(f"no such number: {number}")
    if number == 99:
        os._exit(1)
    time.sleep(0.02 * max(0, 6 - number))
    return number * number
