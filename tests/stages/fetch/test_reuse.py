"""What was fetched once is not fetched again: whatever is damaged, wherever it was killed, whichever bounds change."""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate
from curate.recipe import Recipe
from curate.stages.fetch.reuse import in_doubt
from curate.storage import atomic
from curate.storage.atomic import Sink
from tests.site.hostile import SITE, HostileSite, picture

FETCH = {
    "allow_networks": [f"{SITE}/32"],
    "retries": 0,
    "robots": False,
    "host_failures": 1000,
    "max_bytes": 50_000,
}


def fetch(
    run: Path,
    urls: Path | None = None,
    settings: dict | None = None,
    retry: tuple[str, ...] = (),
    **fetch: object,
) -> None:
    """Bring a run folder up to the fetch stage, by the recipe that it has, or by other filters and fetch settings."""
    recipe = None
    if urls is not None:
        parts = {"name": "r", "candidates": {"shard_size": 100}, "fetch": {**FETCH, **fetch}}
        recipe = Recipe.parse({**parts, "filters": settings or {}}, "here")
    again = "fetch" if recipe is not None and (run / "recipe.yaml").exists() else None
    curate.run(
        recipe, [urls] if urls else [], run, scheduler="serial", stages=["candidates", "fetch"], redo_from=again,
        retry=retry,
    )  # fmt: skip


def reasons(run: Path) -> list[str | None]:
    return pq.read_table(run / "fetched/part-00000.parquet")["reason"].to_pylist()


def results(run: Path) -> dict[str, bytes]:
    """What a run promises to be the same, whatever happened."""
    parts = [*run.glob("fetched/*"), *run.glob("images/*")]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in parts}


@pytest.fixture
def finished(site: HostileSite, tmp_path: Path) -> Path:
    """A run of six images, a page and a bad link, none of which can be had any more."""
    paths = [
        "numbered/0",
        "numbered/1",
        "html",
        "numbered/2",
        "status/404",
        "redirect/2",
        "format/PNG",
        "numbered/3",
    ]
    paths.append("promises-much")
    (tmp_path / "urls.txt").write_text("".join(f"{site.url(path)}\n" for path in paths))
    fetch(tmp_path / "run", tmp_path / "urls.txt", {"allow": {"format": ["JPEG"]}})
    assert reasons(tmp_path / "run") == [
        None,
        None,
        "not_image",
        None,
        "http_404",
        None,
        "not_allowed",
        None,
        "too_large",
    ]
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
def test_a_damaged_image_costs_itself_alone(
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
    for old, new in zip(
        table, pq.read_table(finished / "fetched/part-00000.parquet").to_pylist(), strict=True
    ):
        if new["reason"] is None:
            assert {**old, "offset": 0} == {**new, "offset": 0}
            found = data[new["offset"] : new["offset"] + new["nbytes"]]
            assert found == whole[old["offset"] : old["offset"] + old["nbytes"]]


def test_of_a_tar_that_breaks_off_the_beginning_is_kept(finished: Path, site: HostileSite) -> None:
    tar, (offset, _) = finished / "images/part-00000.tar", place(finished, 3)
    tar.write_bytes(tar.read_bytes()[: offset + 100])
    fetch(finished)
    assert [reason == "http_404" for reason in reasons(finished)] == [
        row in (3, 4, 5, 7) for row in range(9)
    ]


@pytest.mark.parametrize("how", ["removed", "cut", "flipped"])
@pytest.mark.parametrize("lost", ["fetched/*.parquet", "log/*.parquet"])
def test_a_table_that_is_damaged_costs_nothing(
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


def test_a_new_making_from_fetch_on_asks_for_nothing(finished: Path, site: HostileSite) -> None:
    before = results(finished)
    fetch(finished, finished.parent / "urls.txt", {"allow": {"format": ["JPEG"]}})
    assert results(finished) == before
    assert not site.hits


class Killed(BaseException):
    """kill -9, as far as a process can play it: nothing catches it."""


WRITTEN = [
    "log/fetch-00000.parquet",
    "images/part-00000.tar",
    "fetched/part-00000.parquet",
    "fetched/part-00000.json",
]
"""In this order."""


def kill_before(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Die when a file is to be written."""
    real = atomic.create

    @contextmanager
    def create(url: str) -> Iterator[Sink]:
        if str(url).endswith(name):
            raise Killed
        with real(url) as sink:
            yield sink

    monkeypatch.setattr(atomic, "create", create)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_retry_that_is_killed_loses_nothing(
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
def test_a_first_fetch_that_is_killed_finds_what_it_wrote(
    site: HostileSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = tmp_path / "run"
    (tmp_path / "urls.txt").write_text(
        "".join(f"{site.url(path)}\n" for path in ["numbered/0", "html", "numbered/1"])
    )
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
    """A list of pictures of many kinds, with what it claims of them."""
    paths = [f"drawn/{side}/{format_}" for side in (20, 60, 80, 100) for format_ in ("JPEG", "PNG")]
    paths += [f"drawn/{side}/JPEG/chunked" for side in (60, 80, 100)]
    paths += [f"late-size/{side}/{before}" for side in (60, 80) for before in (13_000, 45_000)]
    paths += [
        "drawn/150/PNG",
        "drawn/150/PNG/chunked",
        "promises-much",
        "html",
        "status/404",
        "gzipped",
    ]
    claims = itertools.cycle(["", "40", "90", "300"])
    lines = [f"{site.url(path)},{side},{side}" for path, side in zip(paths, claims, strict=False)]
    (tmp_path / "urls.csv").write_text("\n".join(["url,width,height", *lines]))
    return tmp_path / "urls.csv"


@pytest.mark.parametrize("seed", range(2))
def test_whichever_way_bounds_change_it_ends_as_a_fresh_run(
    site: HostileSite, zoo: Path, tmp_path: Path, seed: int
) -> None:
    run, walk = tmp_path / "run", [*BOUNDS, *BOUNDS]
    random.Random(seed).shuffle(walk)
    paths = [
        line.split(",")[0].partition(f"{site.port}/")[2]
        for line in zoo.read_text().splitlines()[1:]
    ]
    fresh: dict[str, dict[str, bytes]] = {}
    had: set[str] = set()
    for name in walk:
        if name not in fresh:
            fetch(tmp_path / name, zoo, BOUNDS[name])
            fresh[name] = results(tmp_path / name)
        site.hits.clear()
        fetch(run, zoo, BOUNDS[name])
        assert results(run) == fresh[name]
        assert not had & site.hits.keys()
        had |= {path for path, reason in zip(paths, reasons(run), strict=True) if reason is None}
    # whatever a run has had is still there, though its bounds would reject it and the site has nothing left
    assert (run / "aside").exists()
    site.gone = True
    fetch(run, zoo, BOUNDS["none"])
    assert {path for path, reason in zip(paths, reasons(run), strict=True) if reason is None} == had


@pytest.mark.parametrize(
    ("old", "new"), [(50_000, 5_000), (5_000, 50_000), (66_000, 50_000), (50_000, 200_000)]
)
def test_a_changed_limit_of_bytes_ends_as_a_fresh_run(
    site: HostileSite, zoo: Path, tmp_path: Path, old: int, new: int
) -> None:
    run = tmp_path / "run"
    fetch(run, zoo, BOUNDS["sides"], max_bytes=old)
    kept = [reason is None for reason in reasons(run)]
    site.hits.clear()
    fetch(run, zoo, BOUNDS["sides"], max_bytes=new)
    assert set(site.hits) <= {
        line.split(",")[0].partition(f"{site.port}/")[2] for line in zoo.read_text().split()[1:]
    }
    if new < old:
        assert not site.hits
    fetch(tmp_path / "fresh", zoo, BOUNDS["sides"], max_bytes=new)
    assert results(run) == results(tmp_path / "fresh")
    site.gone = True
    fetch(run, zoo, BOUNDS["sides"], max_bytes=old)
    assert [r is None for r in reasons(run)] == kept


def test_looser_manners_ask_for_what_they_forbade_alone(site: HostileSite, tmp_path: Path) -> None:
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
    # stricter ones might forbid anything, so all is asked for again
    fetch(run, urls, max_redirects=2)
    assert reasons(run) == [None, "redirects", "opted_out", "http_404", "forbidden_address"]
    assert site.hits["status/404"] == 1


def test_which_reasons_a_change_puts_in_doubt() -> None:
    old = Recipe.parse(
        {"name": "r", "fetch": {"opt_out": ["noai", "noindex"]}}, "here"
    ).fetch.essence()
    assert (
        in_doubt(old, {**old, "opt_out": ["noindex", "noai"], "max_bytes": 1, "probe": False})
        == set()
    )
    assert in_doubt(old, {**old, "opt_out": ["noai"], "robots": False}) == {"opted_out", "robots"}
    assert in_doubt(old, {**old, "allow_networks": ["10.0.0.0/8"]}) == {"forbidden_address"}
    assert in_doubt({**old, "allow_networks": ["10.0.0.0/8"]}, old) is None
    assert in_doubt({**old, "robots": False}, old) is None
    assert in_doubt(old, {**old, "opt_out": ["noai", "other"]}) is None
    assert in_doubt(old, {**old, "a setting to come": 1}) is None


def test_claims_that_change_are_held_against_what_is_there(
    site: HostileSite, tmp_path: Path
) -> None:
    run, urls = tmp_path / "run", tmp_path / "urls.csv"
    recipe = Recipe.parse({"name": "r", "fetch": FETCH, "filters": BOUNDS["sides"]}, "here")
    stages = ["candidates", "fetch"]
    for claims, expected in [
        (("80", "80"), [None, None]),
        (("80", "20"), [None, "too_small"]),
        (("", ""), [None, None]),
    ]:
        paths = zip(["drawn/80/JPEG", "drawn/100/JPEG"], claims, strict=True)
        urls.write_text(
            "\n".join(["url,width,height", *(f"{site.url(path)},{c},{c}" for path, c in paths)])
        )
        again = "candidates" if run.exists() else None
        curate.run(recipe, [urls], run, scheduler="serial", stages=stages, redo_from=again)
        assert reasons(run) == expected
    assert site.hits.total() == 2


def test_a_longer_list_costs_its_new_lines_alone(site: HostileSite, tmp_path: Path) -> None:
    run, urls = tmp_path / "run", tmp_path / "urls.txt"
    recipe = Recipe.parse({"name": "r", "candidates": {"shard_size": 2}, "fetch": FETCH}, "here")
    for count in (3, 5, 1):
        urls.write_text("".join(f"{site.url(f'numbered/{i}')}\n" for i in range(count)))
        again = "candidates" if run.exists() else None
        curate.run(
            recipe, [urls], run, scheduler="serial", stages=["candidates", "fetch"], redo_from=again
        )
        curate.run(
            recipe,
            [urls],
            tmp_path / str(count),
            scheduler="serial",
            stages=["candidates", "fetch"],
        )
        assert results(run) == results(tmp_path / str(count))
    assert site.hits["numbered/0"] == 4  # once for each of the fresh runs, once for this one
    assert site.hits["numbered/3"] == 2
    assert not [path for path in run.rglob("*00001*") if path.is_file()]


def test_pictures_on_a_disk_are_what_they_are_there_while_they_are_there(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "pictures"
    folder.mkdir()
    recipe = Recipe.parse({"name": "r"}, "here")
    for seed, (names, expected) in enumerate([("ab", [0, 0]), ("b", [0, 1]), ("", [0, 1])]):
        for name in names:
            (folder / f"{name}.jpg").write_bytes(picture(seed=seed))
        again = "candidates" if run.exists() else None
        curate.run(
            recipe,
            [folder],
            run,
            scheduler="serial",
            stages=["candidates", "fetch"],
            redo_from=again,
        )
        data = (run / "images/part-00000.tar").read_bytes()
        assert [
            data[slice(at, at + length)] for at, length in (place(run, row) for row in (0, 1))
        ] == [picture(seed=seed) for seed in expected]
    (folder / "a.jpg").unlink()
    (run / "fetched/part-00000.json").unlink()
    curate.run(recipe, out=run, scheduler="serial", stages=["fetch"])
    assert (run / "images/part-00000.tar").read_bytes() == data
