import numpy as np
import pytest

from curate.errors import Reason
from curate.pipeline.probe.forecast import HEAD_BYTES, Timing, asked, estimate, images_seen
from curate.pipeline.sampling import Listing, Range, wilson_interval
from tests.pipeline.probe.probed_rows import RECIPE, TIMING, group, judged, rows_of


@pytest.mark.parametrize(
    ("hits", "drawn", "low", "high"),
    [
        (10, 100, 0.0552, 0.1744),
        (0, 50, 0.0, 0.0713),
        (50, 50, 0.9287, 1.0),
        (1, 2, 0.0945, 0.9055),
    ],
)
def test_wilson_interval_matches_published_values(
    hits: int, drawn: int, low: float, high: float
) -> None:
    found = wilson_interval(hits, drawn, 10**12)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)
    assert found.likely == hits / drawn


@pytest.mark.parametrize(
    ("passing", "listed", "drawn"), [(56, 1000, 400), (500, 1000, 100), (300, 100_000, 2000)]
)
def test_wilson_interval_covers_truth_in_95_percent(passing: int, listed: int, drawn: int) -> None:
    hits = np.random.default_rng(3).hypergeometric(passing, listed - passing, drawn, 2000)
    ranges = [wilson_interval(int(count), drawn, listed) for count in hits]
    held = np.mean([found.low <= passing / listed <= found.high for found in ranges])
    assert 0.93 < held < 0.985


def test_wilson_interval_of_whole_list_is_exact() -> None:
    assert wilson_interval(7, 40, 40) == Range(7 / 40, 7 / 40, 7 / 40)


def test_forecast_of_sample_scales_to_list() -> None:
    rows = rows_of(group(20), group(180, Reason.TOO_SMALL, content_length=900))
    found = judged(rows, listed=20_000)
    assert found.images.likely == 2000
    assert found.images.low == pytest.approx(20_000 * found.share.low)
    assert found.bytes_kept == 100 * 20 * 1000
    assert found.bytes_read == 100 * (20 * 1000 + 180 * 900)
    assert found.measure_hours == pytest.approx(100 * 2 / 3600)
    assert found.needed is not None
    assert found.needed.likely == 1000
    assert found.needed.low < 1000 < found.needed.high


def test_forecast_without_passing_images_needs_unknown_candidates() -> None:
    assert judged(rows_of(group(30, Reason.TOO_SMALL))).needed is None


def test_forecast_counts_heads_of_aborted_downloads() -> None:
    large, unknown = group(1, Reason.TOO_SMALL, content_length=10**9), group(1, Reason.NOT_IMAGE)
    silent, claimed = group(1, Reason.DNS), group(1, Reason.TOO_SMALL, attempts=0, http_status=None)
    local = group(1, None, local=True, attempts=0, http_status=None, nbytes=5000)
    found = judged(rows_of(large, unknown, silent, claimed, local))
    assert found.bytes_read == 2 * HEAD_BYTES
    assert found.bytes_kept == 5000


def test_forecast_counts_requests_and_bytes() -> None:
    claimed = group(2, Reason.TOO_SMALL, attempts=0, http_status=None)
    never = group(3, Reason.BAD_URL, attempts=None)
    given_up = group(4, Reason.DNS, attempts=0)
    local = group(5, None, local=True, attempts=0)
    rows = rows_of(
        claimed,
        never,
        given_up,
        local,
        group(6),
        group(7, Reason.TOO_SMALL),
        group(8, Reason.HTTP_404),
    )
    assert len(asked(rows)) == 4 + 6 + 7 + 8
    assert len(images_seen(rows)) == 5 + 6 + 7


def test_forecast_is_bounded_by_busiest_host() -> None:
    polite = RECIPE.override(["fetch.per_host_rate=10"])
    hosts = {"large.test": 3_600_000, "host0.test": 400_000}
    found = judged(rows_of(group(40)), 4_000_000, hosts, recipe=polite)
    assert (found.slowest_host, found.host_hours) == ("large.test", pytest.approx(100.0))
    assert found.hours == pytest.approx(max(100, found.fetch_hours) + found.measure_hours)
    # other tries cost turns too, and what the list's claims reject costs none
    claimed = group(30, Reason.TOO_SMALL, attempts=0, http_status=None)
    found = judged(rows_of(group(10, attempts=2), claimed), 4_000_000, hosts, recipe=polite)
    assert found.host_hours == pytest.approx(100 * 2 / 4)


def test_forecast_without_rate_uses_connections_per_host() -> None:
    hosts = {"slow.test": 8000, "quick.test": 20_000}
    slow, quick = (
        group(10, host="slow.test", seconds=9.0),
        group(10, host="quick.test", seconds=0.9),
    )
    found = judged(rows_of(slow, quick), 28_000, hosts)
    assert (found.slowest_host, found.host_hours) == (
        "slow.test",
        pytest.approx(8000 * 9 / 8 / 3600),
    )
    # a single answer, which may have been slow by chance, tells nothing of a host
    found = judged(rows_of(slow[:1], quick), 28_000, hosts)
    typical = (9 + 10 * 0.9) / 11
    assert found.slowest_host == "quick.test"
    assert judged(rows_of(slow[:1], quick), 8000, {"slow.test": 8000}).host_hours == pytest.approx(
        typical / 8 * 8000 / 3600
    )


def test_forecast_of_sorted_list_adds_waits_of_shards() -> None:
    polite = RECIPE.override(["fetch.per_host_rate=10"])
    rows, hosts = rows_of(group(40)), {f"host{n}.test": 36_000 for n in range(100)}
    found = judged(rows, 3_600_000, hosts, 3_600_000, recipe=polite)
    assert (found.host_hours, found.order_hours) == (1.0, 100.0)
    side_by_side = Timing(fetch=0.5, measure=0.5, shards=4, workers=4)
    fast = estimate(rows, Listing(3_600_000, hosts, 3_600_000), 1, side_by_side, polite.fetch, 1000)
    assert (fast.order_hours, fast.bound_by) == (25.0, "order")
    assert judged(rows, 3_600_000, hosts, 36_000, recipe=polite).order_hours == 1.0


def test_forecast_ignores_host_without_answers() -> None:
    dead = group(5, Reason.TIMEOUT, host="dead.test", seconds=60.0)
    found = judged(
        rows_of(dead, group(5, host="alive.test")), 1000, {"dead.test": 900, "alive.test": 100}
    )
    assert found.slowest_host == "alive.test"
    assert judged(rows_of(dead)).slowest_host is None


def test_forecast_of_local_files_has_no_host() -> None:
    found = judged(
        rows_of(group(30, local=True, attempts=0, http_status=None, seconds=0.0)), hosts={}
    )
    assert (found.slowest_host, found.bytes_read, found.host_hours) == (None, 0, 0.0)


def test_forecast_of_full_shard_adds_waits_of_its_candidates() -> None:
    rows = rows_of(group(100, seconds=6.4))  # a tenth of a second each, of 64 at once
    once = estimate(rows, Listing(10_000, {}, 0), 1, TIMING, RECIPE.fetch, 1000)
    assert once.fetch_hours * 3600 == pytest.approx(10 * (10 + 900 * 0.1))
    side_by_side = Timing(fetch=10.0, measure=2.0, shards=4, workers=4)
    fast = estimate(rows, Listing(10_000, {}, 0), 1, side_by_side, RECIPE.fetch, 1000)
    assert fast.fetch_hours * 3600 == pytest.approx(10 / 4 * (10 + 975 * 0.1))
    full = estimate(rows, Listing(100, {}, 0), 1, TIMING, RECIPE.fetch, 1000)
    assert full.fetch_hours * 3600 == pytest.approx(10)


@pytest.mark.parametrize(
    ("timing", "bound"),
    [(TIMING, "network"), (Timing(1.0, 60.0, 1, 1), "measuring"), (Timing(0.0, 0.0, 1, 1), "host")],
)
def test_forecast_names_its_bottleneck(timing: Timing, bound: str) -> None:
    rows = rows_of(group(10, host="one.test"))
    assert (
        estimate(rows, Listing(10, {"one.test": 10}, 0), 1, timing, RECIPE.fetch, 10).bound_by
        == bound
    )
