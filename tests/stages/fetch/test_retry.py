"""A rerun after an outage fetches missing images, and touches nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate
from curate.errors import RunError
from curate.recipe import Recipe
from tests.site.hostile import SITE, HostileSite

STAGES = ["candidates", "fetch"]


@pytest.fixture
def recipe() -> Recipe:
    fetch = {"allow_networks": [f"{SITE}/32"], "retries": 0, "robots": False, "host_failures": 1000}
    return Recipe.parse({"name": "r", "candidates": {"shard_size": 4}, "fetch": fetch}, "here")


@pytest.fixture
def run(site: HostileSite, recipe: Recipe, tmp_path: Path) -> Iterator[Path]:
    """A run of three shards: one with transient failures, one with permanent ones, one without."""
    paths = ["numbered/0", "fails-once/a", "numbered/1", "fails-once/b"]
    paths += ["numbered/2", "status/404", "html", "numbered/3"]
    paths += ["numbered/4", "numbered/5"]
    (tmp_path / "urls.txt").write_text("".join(f"{site.url(path)}\n" for path in paths))
    curate.run(recipe, [tmp_path / "urls.txt"], tmp_path / "run", scheduler="serial", stages=STAGES)
    yield tmp_path / "run"


def reasons(run: Path) -> list[str | None]:
    parts = [pq.read_table(part)["reason"] for part in sorted(run.glob("fetched/*.parquet"))]
    return [reason for part in parts for reason in part.to_pylist()]


def files(run: Path) -> dict[str, bytes]:
    parts = [*run.glob("fetched/*"), *run.glob("images/*")]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in parts}


def test_retry_requests_only_failed_urls(run: Path, site: HostileSite) -> None:
    transient = [None, "http_5xx", None, "http_5xx"]
    permanent = [None, "http_404", "not_image", None]
    assert reasons(run) == [*transient, *permanent, None, None]
    before, visits = files(run), site.hits.copy()
    log = pq.read_table(run / "log/fetch-00000.parquet").to_pylist()
    outcome = curate.run(None, out=run, scheduler="serial", stages=["fetch"], retry=["transient"])
    assert reasons(run) == [None] * 5 + ["http_404", "not_image", None, None, None]
    assert set(site.hits - visits) == {"fails-once/a", "fails-once/b"}
    assert [stage.resumed for stage in outcome.stages] == [2]
    after = files(run)
    changed = {name for name in before if before[name] != after[name]}
    table, tar = "fetched/part-00000.parquet", "images/part-00000.tar"
    assert changed == {table, "fetched/part-00000.json", tar}
    rows = pq.read_table(run / "log/fetch-00000.parquet").to_pylist()
    unchanged = [new == old for new, old in zip(rows, log, strict=True)]
    assert unchanged == [True, False, True, False]
    for new, old in zip(rows, log, strict=True):
        assert new["id"] == old["id"]


def test_successful_retry_gives_the_files_of_a_run_without_failures(
    run: Path, site: HostileSite, recipe: Recipe, tmp_path: Path
) -> None:
    curate.run(None, out=run, scheduler="serial", stages=["fetch"], retry=["http_5xx", "dns"])
    other = tmp_path / "other"  # the site fails no more
    curate.run(recipe, [tmp_path / "urls.txt"], other, scheduler="serial", stages=STAGES)
    assert files(run) == files(other)


def test_retry_that_fails_again_changes_nothing(run: Path, site: HostileSite) -> None:
    before = files(run)
    curate.run(None, out=run, scheduler="serial", stages=["fetch"], retry=["http_404", "not_image"])
    assert files(run) == before
    assert site.hits["status/404"] == 2


def test_retry_of_a_shard_with_a_damaged_tar_requests_its_images(
    run: Path, site: HostileSite
) -> None:
    record = json.loads((run / "fetched/part-00000.json").read_text())
    (run / "images/part-00000.tar").write_bytes(b"half")
    curate.run(None, out=run, scheduler="serial", stages=["fetch"], retry=["transient"])
    assert reasons(run)[:4] == [None] * 4
    assert site.hits["numbered/0"] == site.hits["numbered/1"] == 2
    assert json.loads((run / "fetched/part-00000.json").read_text())["input"] == record["input"]


def test_finished_run_requests_nothing(run: Path, site: HostileSite) -> None:
    visits = site.hits.copy()
    curate.run(None, out=run, scheduler="serial", stages=["fetch"])
    assert site.hits == visits


@pytest.mark.parametrize("name", ["too_small", "decode_failed", "nonsense", "quarantined"])
def test_retry_refuses_reasons_of_other_stages(run: Path, name: str) -> None:
    with pytest.raises(RunError, match=f"{name!r} can't be tried again: name transient"):
        curate.run(None, out=run, scheduler="serial", stages=["fetch"], retry=[name])
