"""Samples made up for tests, and what would be made of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from curate.errors import Reason
from curate.pipeline.probe.diagnosis import Evidence
from curate.pipeline.probe.forecast import PROBED, Estimate, Timing, estimate
from curate.pipeline.sampling import Listing
from curate.recipe import Recipe

RECIPE = Recipe.parse(
    {
        "name": "small",
        "fetch": {"user_agent": "test (someone@example.org)"},
        "filters": {"min": {"width": 48, "hf_ratio_032": 0.005}},
        "select": {"train": 100},
    },
    "test",
)
TIMING = Timing(fetch=10.0, measure=2.0, shards=1, workers=1)

_ANSWERED = {
    *(r for r in Reason if r.value.startswith("http_")),
    *(r for r in Reason if r.stage in ("filter", "measure")),
    *(Reason.NOT_IMAGE, Reason.EMPTY, Reason.OPTED_OUT, Reason.TOO_LARGE, Reason.TRUNCATED),
}


def group(
    count: int, reason: Reason | None = None, host: str | None = None, **facts: Any
) -> list[dict[str, Any]]:
    """Build `count` candidates with one outcome, each on its own host unless `host` is given."""
    late = reason in (None, Reason.LOW_TEXTURE) or (
        reason is not None and reason.stage == "measure"
    )
    known = {
        "local": False,
        "reason": reason and reason.value,
        "http_status": 200 if reason is None or reason in _ANSWERED else None,
        "nbytes": 1000 if late else None,
        "seconds": 0.5,
        "attempts": 1,
        **facts,
    }
    return [{"id": f"{n}", "host": host or f"host{n}.test", **known} for n in range(count)]


def rows_of(*groups: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of PROBED."""
    return pa.Table.from_pylist([row for rows in groups for row in rows], PROBED)


def listing(
    rows: pa.Table,
    listed: int | None = None,
    hosts: Mapping[str, int] | None = None,
    crowd: int = 0,
) -> Listing:
    """Build the list of which the rows are a sample; by default they are the whole list."""
    return Listing(
        len(rows) if listed is None else listed, hosts_of(rows) if hosts is None else hosts, crowd
    )


def judged(rows: pa.Table, *args: Any, recipe: Recipe = RECIPE, **kwargs: Any) -> Estimate:
    return estimate(
        rows,
        listing(rows, *args, **kwargs),
        recipe.select.train,
        TIMING,
        recipe.fetch,
        recipe.candidates.shard_size,
    )


def hosts_of(rows: pa.Table) -> dict[str, int]:
    counts = (
        rows.filter(pa.compute.invert(rows["local"]))["host"].drop_null().value_counts().to_pylist()
    )
    return {host["values"]: host["counts"] for host in counts}


def evidence(
    *groups: Sequence[Mapping[str, Any]],
    listed: int | None = None,
    hosts: Mapping[str, int] | None = None,
    crowd: int = 0,
    recipe: Recipe = RECIPE,
    free: int | None = 10**15,
) -> Evidence:
    """Build the evidence of a sample of these groups."""
    rows = rows_of(*groups)
    return Evidence(
        recipe,
        rows,
        listing(rows, listed, hosts, crowd),
        judged(rows, listed, hosts, crowd, recipe=recipe),
        free,
        datetime(2031, 1, 2, 3, 4, tzinfo=UTC),
    )
