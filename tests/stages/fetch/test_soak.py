"""Small soak test: hundreds of URLs of all routes at once; benchmarks/soak.py is the long one."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from curate.errors import Reason
from curate.recipe import Bound
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.outcome import Outcome
from tests.site.hostile import HostileSite
from tests.site.zoo import FETCH, MIN_SIDE, ROBOTS, mix

FILTERS = EarlyFilters((Bound("width", "min", MIN_SIDE, Reason.TOO_SMALL),))


def test_mixed_routes_end_as_promised_and_leave_nothing_open(
    fetch: Callable[..., list[Outcome]], site: HostileSite, scratch: Path
) -> None:
    site.robots_txt = ROBOTS
    settings = {**FETCH, "deadline": 2.0, "robots": True, "allow_networks": ("127.0.0.1/32",)}
    fetch([site.url("ok")], **settings)  # imports modules, and opens files for good
    (scratch / "0").unlink()
    process = psutil.Process()
    before = process.num_fds(), threading.active_count()
    promised = mix(site, 300)
    outcomes = fetch([*promised], filters=FILTERS, **settings)
    for (url, reasons), outcome in zip(promised.items(), outcomes, strict=True):
        assert outcome.reason in reasons, (url, outcome)
    assert all((outcome.body is None) == (outcome.reason is not None) for outcome in outcomes)
    left = {path for path in scratch.iterdir() if path.name.isdigit()}
    assert left == {outcome.body.path for outcome in outcomes if outcome.body}
    assert site.canary_hits == 0
    for _ in range(100):  # the site, in this process too, notices closed connections later
        if (process.num_fds(), threading.active_count()) <= before:
            break
        time.sleep(0.02)
    assert (process.num_fds(), threading.active_count()) <= before
