"""Reasons that a crawl gives for the sample site's misbehaviours."""

from pathlib import Path

import pyarrow.parquet as pq

import curate
from curate.demo.site import Canary, DemoSite
from curate.recipe import Recipe

EXPECTED = {
    "not-found": "http_404",
    "gone": "http_404",
    "refused": "http_4xx",
    "unavailable": "http_5xx",
    "slow": "timeout",
    "truncated": "truncated",
    "empty": "empty",
    "disguised": "not_image",
    "opted-out": "opted_out",
    "looping": "redirects",
    "to-private": "forbidden_address",
    "to-file": "forbidden_scheme",
}


def test_crawl_of_every_misbehaviour_gives_its_reason(site: DemoSite, tmp_path: Path) -> None:
    site.write_list(tmp_path / "urls.txt")
    recipe = Recipe.load("demo", ["fetch.deadline=2", "fetch.probe=false"])
    with Canary(site.port) as canary:
        curate.run(
            recipe,
            [tmp_path / "urls.txt"],
            tmp_path / "run",
            scheduler="serial",
            stages=["candidates", "fetch"],
        )
    parts = sorted((tmp_path / "run").glob("fetched/*.parquet"))
    reasons = [reason for part in parts for reason in pq.read_table(part)["reason"].to_pylist()]
    for entry, reason in zip(site.entries, reasons, strict=True):
        expected = (
            "robots" if entry.path.startswith("/private/") else EXPECTED.get(str(entry.behaviour))
        )
        if entry.behaviour != "endless":  # too large or out of time, whichever comes first
            assert reason == expected, entry.path
    assert {"robots", "opted_out"} <= set(reasons)
    assert canary.connections == 0
