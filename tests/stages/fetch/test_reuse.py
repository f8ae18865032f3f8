"""Fetched bytes are reused after damage, kills and changes of settings."""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate
from curate.recipe import Recipe
from curate.stages.fetch.reuse import doubtful_reasons
from curate.storage import atomic
from curate.storage.atomic import Sink
from tests.site.hostile import SITE, HostileSite, picture

FETCH = {"allow_networks": [f"{SITE}/32"], "retries": 0, "robots": False}
FETCH |= {"host_failures": 1000, "max_bytes": 50_000}
STAGES = ["candidates", "fetch"]


def fetch(
    run: Path,
    urls: Path | None = None,
    settings: dict | None = None,
    retry: tuple[str, ...] = (),
    **fetch: object,
) -> None:
    """Bring a run's fetch stage up to date, by its own recipe or by other filters and settings."""
    recipe = None
    if urls is not None:
        parts = {"name": "r", "candidates": {"shard_size": 100}, "fetch": {**FETCH, **fetch}}
        recipe = Recipe.parse({**parts, "filters": settings or {}}, "here")
    again = "fetch" if recipe is not None and (run / "recipe.yaml").exists() else None
    inputs, options = [urls] if urls else [], {"stages": STAGES, "retry": retry}
    curate.run(recipe, inputs, run, scheduler="serial", redo_from=again, **options)


def reasons(run: Path) -> list[str | None]:
    return pq.read_table(run / "fetched/part-00000.parquet")["reason"].to_pylist()


def results(run: Path) -> dict[str, bytes]:
    """Files that must be the same in every run with the same recipe and web."""
    parts = [*run.glob("fetched/*"), *run.glob("images/*")]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in parts}


@pytest.fixture
def finished(site: HostileSite, tmp_path: Path) -> Path:
    """A run of six images, a page and a bad link, with a site that has gone since."""
    paths = ["numbered/0", "numbered/1", "html", "numbered/2", "status/404", "redirect/2"]
    paths += ["format/PNG", "numbered/3", "promises-much"]
    (tmp_path / "urls.txt").write_text("".join(f"{site.url(path)}\n" for path in paths))
    fetch(tmp_path / "run", tmp_path / "urls.txt", {"allow": {"format": ["JPEG"]}})
    expected = [None, None, "not_image", None, "http_404", None, "not_allowed", None, "too_large"]
    assert reasons(tmp_path / "run") == expected
    site.gone = True
    site.hits.clear()
    return tmp_path / "run"


def place(run: Path, row: int) -> tuple[int, int]:
    """Offset and number of the bytes of a row."""
    table = pq.read_table(run / "fetched/part-00000.parquet").to_pylist()
    return table[row]["offset"], table[row]["nbytes"]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("row", [0, 3])
@pytest.mark.parametrize("where", ["first byte", "last byte", "name"])
def test_damaged_image_is_the_only_one_requested_again(
    finished: Path, site: HostileSite, row: int, where: str
) -> None:
    before, tar = reasons(finished), finished / "images/part-00000.tar"
    table = pq.read_table(finished / "fetched/part-00000.parquet").to_pylist()
    whole, (offset, nbytes) = tar.read_bytes(), place(finished, row)
    flip(tar, {"first byte": offset, "last byte": offset + nbytes - 1, "name": offset - 512}[where])
    fetch(finished)
    assert site.hits.total() == 1
    assert reasons(finished) == [*before[:row], "http_404", *before[row + 1 :]]
    data = tar.read_bytes()
    after = pq.read_table(finished / "fetched/part-00000.parquet").to_pylist()
    for old, new in zip(table, after, strict=True):
        if new["reason"] is None:
            assert {**old, "offset": 0} == {**new, "offset": 0}
            found = data[new["offset"] : new["offset"] + new["nbytes"]]
            assert found == whole[old["offset"] : old["offset"] + old["nbytes"]]


def test_truncated_tar_keeps_its_whole_members(finished: Path, site: HostileSite) -> None:
    tar, (offset, _) = finished / "images/part-00000.tar", place(finished, 3)
    tar.write_bytes(tar.read_bytes()[: offset + 100])
    fetch(finished)
    rows = [row for row, reason in enumerate(reasons(finished)) if reason == "http_404"]
    assert rows == [3, 4, 5, 7]


@pytest.mark.parametrize("how", ["removed", "cut", "flipped"])
@pytest.mark.parametrize("lost", ["fetched/*.parquet", "log/*.parquet"])
def test_damaged_table_costs_no_request(
    finished: Path, site: HostileSite, lost: str, how: str
) -> None:
    before = results(finished)
    (path,) = finished.glob(lost)
    data = bytearray(path.read_bytes())
    match how:
        case "removed":
            path.unlink()
        case "cut":
            path.write_bytes(data[:-100])
        case "flipped":
            data[200] ^= 1  # in a page
            path.write_bytes(data)
    (finished / "fetched/part-00000.json").unlink()
    fetch(finished)
    assert results(finished) == before
    assert not site.hits


def test_rerun_from_fetch_requests_nothing(finished: Path, site: HostileSite) -> None:
    before = results(finished)
    fetch(finished, finished.parent / "urls.txt", {"allow": {"format": ["JPEG"]}})
    assert results(finished) == before
    assert not site.hits


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


WRITTEN = [
    "log/fetch-00000.parquet",
    "images/part-00000.tar",
    "fetched/part-00000.parquet",
    "fetched/part-00000.json",
]
"""In this order."""


def kill_before(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Raise Killed just before a file is written."""
    real = atomic.create

    @contextmanager
    def create(url: str) -> Iterator[Sink]:
        if str(url).endswith(name):
            raise Killed
        with real(url) as sink:
            yield sink

    monkeypatch.setattr(atomic, "create", create)


@pytest.mark.parametrize("name", WRITTEN)
def test_killed_retry_loses_nothing(
    site: HostileSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = tmp_path / "run"
    paths = ["numbered/0", "fails-once/a", "numbered/1", "fails-once/b", "status/503"]
    (tmp_path / "urls.txt").write_text("".join(f"{site.url(path)}\n" for path in paths))
    fetch(run, tmp_path / "urls.txt")
    with monkeypatch.context() as patch:
        kill_before(patch, name)
        with pytest.raises(Killed):
            fetch(run, retry=("transient",))
    fetch(run, retry=("transient",))
    assert reasons(run) == [None] * 4 + ["http_5xx"]
    assert site.hits["numbered/0"] == site.hits["numbered/1"] == 1
    in_tar = WRITTEN.index(name) > 1
    assert site.hits["fails-once/a"] == site.hits["fails-once/b"] == (2 if in_tar else 3)


@pytest.mark.parametrize("name", WRITTEN)
def test_killed_first_fetch_reuses_its_files(
    site: HostileSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = tmp_path / "run"
    paths = ["numbered/0", "html", "numbered/1"]
    (tmp_path / "urls.txt").write_text("".join(f"{site.url(path)}\n" for path in paths))
    with monkeypatch.context() as patch:
        kill_before(patch, name)
        with pytest.raises(Killed):
            fetch(run, tmp_path / "urls.txt")
    fetch(run)
    assert reasons(run) == [None, "not_image", None]
    assert site.hits["numbered/0"] == (1 if WRITTEN.index(name) > 1 else 2)
    assert site.hits["html"] == (1 if WRITTEN.index(name) > 0 else 2)


BOUNDS: dict[str, dict] = {
    "none": {},
    "sides": {"min": {"width": 70, "height": 70}},
    "large sides": {"min": {"width": 90, "height": 90}},
    "bytes, then sides": {"min": {"nbytes": 6000, "width": 70}},
    "many bytes": {"min": {"width": 30, "nbytes": 8000}},
    "format": {"allow": {"format": ["PNG"]}, "min": {"width": 70}},
    "claims": {"min": {"claimed_width": 100}, "max": {"height": 95}},
}


@pytest.fixture
def zoo(site: HostileSite, tmp_path: Path) -> Path:
    """A list of pictures of many kinds, with claimed sizes."""
    paths = [f"drawn/{side}/{format_}" for side in (20, 60, 80, 100) for format_ in ("JPEG", "PNG")]
    paths += [f"drawn/{side}/JPEG/chunked" for side in (60, 80, 100)]
    paths += [f"late-size/{side}/{before}" for side in (60, 80) for before in (13_000, 45_000)]
    paths += ["drawn/150/PNG", "drawn/150/PNG/chunked"]
    paths += ["promises-much", "html", "status/404", "gzipped"]
    claims = itertools.cycle(["", "40", "90", "300"])
    lines = [f"{site.url(path)},{side},{side}" for path, side in zip(paths, claims, strict=False)]
    (tmp_path / "urls.csv").write_text("\n".join(["url,width,height", *lines]))
    return tmp_path / "urls.csv"


def paths_of(zoo: Path, site: HostileSite) -> list[str]:
    """Paths of the list's URLs, in its order."""
    urls = [line.split(",")[0] for line in zoo.read_text().splitlines()[1:]]
    return [url.partition(f"{site.port}/")[2] for url in urls]


def fetched(paths: list[str], run: Path) -> set[str]:
    """Paths whose bytes a run has."""
    return {path for path, reason in zip(paths, reasons(run), strict=True) if reason is None}


@pytest.mark.parametrize("seed", range(2))
def test_changed_bounds_give_the_results_of_a_fresh_run(
    site: HostileSite, zoo: Path, tmp_path: Path, seed: int
) -> None:
    run, walk = tmp_path / "run", [*BOUNDS, *BOUNDS]
    random.Random(seed).shuffle(walk)
    paths = paths_of(zoo, site)
    fresh: dict[str, dict[str, bytes]] = {}
    ever_fetched: set[str] = set()
    for name in walk:
        if name not in fresh:
            fetch(tmp_path / name, zoo, BOUNDS[name])
            fresh[name] = results(tmp_path / name)
        site.hits.clear()
        fetch(run, zoo, BOUNDS[name])
        assert results(run) == fresh[name]
        assert not ever_fetched & site.hits.keys()
        ever_fetched |= fetched(paths, run)
    # bytes fetched under any bounds are still there, though the site has gone
    assert (run / "aside").exists()
    site.gone = True
    fetch(run, zoo, BOUNDS["none"])
    assert fetched(paths, run) == ever_fetched


@pytest.mark.parametrize(
    ("old", "new"), [(50_000, 5_000), (5_000, 50_000), (66_000, 50_000), (50_000, 200_000)]
)
def test_changed_byte_limit_gives_the_results_of_a_fresh_run(
    site: HostileSite, zoo: Path, tmp_path: Path, old: int, new: int
) -> None:
    run = tmp_path / "run"
    fetch(run, zoo, BOUNDS["sides"], max_bytes=old)
    kept = [reason is None for reason in reasons(run)]
    site.hits.clear()
    fetch(run, zoo, BOUNDS["sides"], max_bytes=new)
    assert set(site.hits) <= set(paths_of(zoo, site))
    if new < old:
        assert not site.hits
    fetch(tmp_path / "fresh", zoo, BOUNDS["sides"], max_bytes=new)
    assert results(run) == results(tmp_path / "fresh")
    site.gone = True
    fetch(run, zoo, BOUNDS["sides"], max_bytes=old)
    assert [r is None for r in reasons(run)] == kept


def test_looser_settings_request_only_what_they_forbade(site: HostileSite, tmp_path: Path) -> None:
    run, urls = tmp_path / "run", tmp_path / "urls.txt"
    paths = ["ok", "redirect/3", "tagged?noai", "status/404"]
    urls.write_text("".join(f"{site.url(path)}\n" for path in paths) + f"{site.canary_url}\n")
    fetch(run, urls, max_redirects=2)
    assert reasons(run) == [None, "redirects", "opted_out", "http_404", "forbidden_address"]
    site.hits.clear()
    fetch(run, urls, max_redirects=3)
    assert reasons(run) == [None, None, "opted_out", "http_404", "forbidden_address"]
    fetch(run, urls, max_redirects=3, opt_out=[])
    assert reasons(run) == [None, None, None, "http_404", "forbidden_address"]
    assert not site.hits["status/404"]
    assert site.hits["tagged?noai"] == 1
    # stricter settings might forbid anything, so everything is requested again
    fetch(run, urls, max_redirects=2)
    assert reasons(run) == [None, "redirects", "opted_out", "http_404", "forbidden_address"]
    assert site.hits["status/404"] == 1


def test_changed_settings_make_their_reasons_doubtful() -> None:
    recipe = Recipe.parse({"name": "r", "fetch": {"opt_out": ["noai", "noindex"]}}, "here")
    old = recipe.fetch.essence()
    same = {**old, "opt_out": ["noindex", "noai"], "max_bytes": 1, "probe": False}
    assert doubtful_reasons(old, same) == set()
    looser = {**old, "opt_out": ["noai"], "robots": False}
    assert doubtful_reasons(old, looser) == {"opted_out", "robots"}
    assert doubtful_reasons(old, {**old, "allow_networks": ["10.0.0.0/8"]}) == {"forbidden_address"}
    assert doubtful_reasons({**old, "allow_networks": ["10.0.0.0/8"]}, old) is None
    assert doubtful_reasons({**old, "robots": False}, old) is None
    assert doubtful_reasons(old, {**old, "opt_out": ["noai", "other"]}) is None
    assert doubtful_reasons(old, {**old, "a setting to come": 1}) is None


def test_changed_claims_are_checked_without_requests(site: HostileSite, tmp_path: Path) -> None:
    run, urls = tmp_path / "run", tmp_path / "urls.csv"
    recipe = Recipe.parse({"name": "r", "fetch": FETCH, "filters": BOUNDS["sides"]}, "here")
    for claims, expected in [
        (("80", "80"), [None, None]),
        (("80", "20"), [None, "too_small"]),
        (("", ""), [None, None]),
    ]:
        paths = zip(["drawn/80/JPEG", "drawn/100/JPEG"], claims, strict=True)
        lines = [f"{site.url(path)},{claim},{claim}" for path, claim in paths]
        urls.write_text("\n".join(["url,width,height", *lines]))
        again = "candidates" if run.exists() else None
        curate.run(recipe, [urls], run, scheduler="serial", stages=STAGES, redo_from=again)
        assert reasons(run) == expected
    assert site.hits.total() == 2


def test_longer_list_requests_only_its_new_lines(site: HostileSite, tmp_path: Path) -> None:
    run, urls = tmp_path / "run", tmp_path / "urls.txt"
    recipe = Recipe.parse({"name": "r", "candidates": {"shard_size": 2}, "fetch": FETCH}, "here")
    for count in (3, 5, 1):
        urls.write_text("".join(f"{site.url(f'numbered/{i}')}\n" for i in range(count)))
        again = "candidates" if run.exists() else None
        fresh = tmp_path / str(count)
        curate.run(recipe, [urls], run, scheduler="serial", stages=STAGES, redo_from=again)
        curate.run(recipe, [urls], fresh, scheduler="serial", stages=STAGES)
        assert results(run) == results(fresh)
    assert site.hits["numbered/0"] == 4  # once for each of the fresh runs, once for this one
    assert site.hits["numbered/3"] == 2
    assert not [path for path in run.rglob("*00001*") if path.is_file()]


def test_local_images_follow_their_files_and_survive_their_removal(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "pictures"
    folder.mkdir()
    recipe = Recipe.parse({"name": "r"}, "here")
    for seed, (names, expected) in enumerate([("ab", [0, 0]), ("b", [0, 1]), ("", [0, 1])]):
        for name in names:
            (folder / f"{name}.jpg").write_bytes(picture(seed=seed))
        again = "candidates" if run.exists() else None
        curate.run(recipe, [folder], run, scheduler="serial", stages=STAGES, redo_from=again)
        data = (run / "images/part-00000.tar").read_bytes()
        for row, old_seed in enumerate(expected):
            offset, nbytes = place(run, row)
            assert data[offset : offset + nbytes] == picture(seed=old_seed)
    (folder / "a.jpg").unlink()
    (run / "fetched/part-00000.json").unlink()
    curate.run(recipe, out=run, scheduler="serial", stages=["fetch"])
    assert (run / "images/part-00000.tar").read_bytes() == data
