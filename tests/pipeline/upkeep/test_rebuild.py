"""`curate rebuild`: a published dataset comes back unchanged, or each image has a reason."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate.errors import CurateError
from curate.manifest import compare, export_manifest, find_faults, open_manifests, read_manifest
from curate.pipeline import Rebuilt
from tests.pipeline.digests import digests
from tests.pipeline.upkeep.ageing import FATES, REASONS, SETTINGS, STATES, Ageing, fates

FORMS = ("m.parquet", "m.csv", "urls.parquet", "urls.tsv")


def rebuild(source: Path, out: Path, **options: object) -> Rebuilt:
    return curate.rebuild(source, out, **({"settings": SETTINGS, "scheduler": "serial"} | options))


def published(dataset: Path, tmp_path: Path, name: str = "m.parquet") -> Path:
    export_manifest(str(dataset), tmp_path / name, "urls" if name.startswith("urls") else None)
    return tmp_path / name


def ledger(run: Path) -> pa.Table:
    return pq.read_table(run / "ledger")


@pytest.mark.parametrize("form", FORMS)
def test_rebuild_of_unchanged_dataset_equals_it(
    ageing: Ageing, dataset: Path, tmp_path: Path, form: str
) -> None:
    """Rows, order, splits, measures and bytes are equal; only places and history differ."""
    ageing.old = False
    rebuilt = rebuild(published(dataset, tmp_path, form), tmp_path / "again")
    assert rebuilt.left_out == {}
    for was, now in zip(
        open_manifests(str(dataset)), open_manifests(str(tmp_path / "again")), strict=True
    ):
        assert list(find_faults(now, check_bytes=True)) == []
        assert now.fingerprint == was.fingerprint
        other = {"tar", "offset"} | (
            {"source", "url"} if form.startswith("urls") else set()
        )  # URLs come escaped there
        columns = [name for name in was.table.column_names if name not in other]
        assert now.table.select(columns) == was.table.select(columns)
        assert now.metadata["rebuilt"].endswith(", same bytes")


def test_rebuild_leaves_out_changed_images_with_reason(dataset: Path, tmp_path: Path) -> None:
    rebuilt = rebuild(published(dataset, tmp_path), tmp_path / "again")
    rows = ledger(tmp_path / "again")
    places = fates(rows["url"].to_pylist())
    assert rows["url"].to_pylist() == read_manifest(tmp_path / "m.parquet").column(
        "url"
    )  # one row each, in order
    assert rows["state"].to_pylist() == [STATES[n] for n in places]
    why = [
        REASONS[n] or {"recoded": "recoded", "changed": "changed"}.get(STATES[n]) for n in places
    ]
    assert rows["reason"].to_pylist() == why
    assert rows["status"].to_pylist() == ["rejected" if reason else "kept" for reason in why]
    kept = [
        row
        for manifest in open_manifests(str(tmp_path / "again"))
        for row in manifest.table.to_pylist()
    ]
    assert fates(row["url"] for row in kept) == [n for n in places if STATES[n] == "same"]
    assert (rebuilt.kept, sum(rebuilt.left_out.values())) == (
        {"train": 1, "test": 1},
        len(FATES) - 2,
    )
    assert json.loads((tmp_path / "again/rebuild/summary.json").read_text()) == json.loads(
        rebuilt.to_json()
    )


@pytest.mark.parametrize("form", FORMS)
def test_rebuild_can_accept_recoded_copies_with_own_measures(
    dataset: Path, tmp_path: Path, form: str
) -> None:
    rebuild(published(dataset, tmp_path, form), tmp_path / "again", accept="picture")
    was = {
        row["id"]: row
        for manifest in open_manifests(str(dataset))
        for row in manifest.table.to_pylist()
    }
    manifests = open_manifests(str(tmp_path / "again"))
    rows = [row for manifest in manifests for row in manifest.table.to_pylist()]
    assert sorted(fates(row["url"] for row in rows)) == [
        n for n, s in enumerate(STATES) if s in ("same", "recoded")
    ]
    assert all(list(find_faults(manifest, check_bytes=True)) == [] for manifest in manifests)
    for row in rows:
        before, fate = was[row["id"]], FATES[fates([row["url"]])[0]]
        assert (row["split"], row["category"]) == (before["split"], before["category"])
        assert (row["sha256"] == before["sha256"]) == (fate == "same")
        assert (row["pixel_sha256"] == before["pixel_sha256"]) == (fate in ("same", "lossless"))
        assert row["format"] == ("JPEG" if fate == "recoded" else "PNG")
        assert row["width"] == before["width"] // (2 if fate == "resized" else 1)
    assert manifests[0].metadata["rebuilt"].endswith(", same picture")


def test_rebuild_again_requests_nothing_and_retry_only_transient(
    ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    source, out = published(dataset, tmp_path), tmp_path / "again"
    first = rebuild(source, out)
    asked, before = ageing.site.requests.copy(), digests(out)
    assert rebuild(source, out, settings=()) == first  # by the folder's own recipe
    assert (ageing.site.requests, digests(out)) == (asked, before)
    ageing.old = False  # the host is up again
    assert rebuild(source, out, retry=["transient"]).kept == {"train": 2, "test": 1}
    again = {path for path in ageing.site.requests if ageing.site.requests[path] > asked[path]}
    assert {path for path in again if path != "/robots.txt"} == {"/6-unavailable, unavailable"}
    assert list(find_faults(read_manifest(out / "manifest/train.parquet"), check_bytes=True)) == []


def test_rebuild_includes_images_that_fetch_retried(
    command, ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    source, out = published(dataset, tmp_path), tmp_path / "again"
    rebuild(source, out)
    ageing.old = False
    assert command("fetch", out, "--retry", "transient", "--scheduler", "serial")[0] == 0
    assert rebuild(source, out).kept == {"train": 2, "test": 1}


def test_rebuild_with_other_acceptance_requests_nothing(
    ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    source, out = published(dataset, tmp_path), tmp_path / "again"
    rebuild(source, out)
    asked = ageing.site.requests.copy()
    rebuild(source, out, accept="picture")
    assert ageing.site.requests == asked
    other = tmp_path / "other"
    rebuild(source, other, accept="picture")
    assert digests(other) == digests(out)


def test_rebuild_does_not_depend_on_workers(dataset: Path, tmp_path: Path, cluster: str) -> None:
    source = published(dataset, tmp_path)
    rebuild(source, tmp_path / "one")
    rebuild(source, tmp_path / "two", scheduler=cluster)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_rebuild_of_urls_alone_keeps_unproven_images(dataset: Path, tmp_path: Path) -> None:
    """HQ-50K's own lists are like that: one URL a line, commas among them."""
    rebuilt = rebuild(published(dataset, tmp_path, "urls.txt"), tmp_path / "again")
    assert {share.state: share.images for share in rebuilt.rot.states} == {
        "unproven": 6,
        "gone": 4,
        "unreachable": 1,
    }
    assert (rebuilt.kept, rebuilt.rot.pictures_known) == ({"train": 6, "test": 0}, False)
    assert (
        list(
            find_faults(read_manifest(tmp_path / "again/manifest/train.parquet"), check_bytes=True)
        )
        == []
    )


def test_rebuild_measures_published_facts(ageing: Ageing, dataset: Path, tmp_path: Path) -> None:
    """The recipe in a manifest says which; so the rebuilt one has the same columns."""
    ageing.old = False
    settings = [*SETTINGS, "measure.cutoffs=[0.25]", "measure.facts=[noise_sigma]"]
    curate.rebuild(
        published(dataset, tmp_path), tmp_path / "measured", settings=settings, scheduler="serial"
    )
    was = read_manifest(tmp_path / "measured/manifest/train.parquet")
    assert was.table["hf_ratio_025"].null_count == was.table["noise_sigma"].null_count == 0
    source = published(tmp_path / "measured", tmp_path, "second.parquet")
    manifest = read_manifest(source)
    recipe = (tmp_path / "measured/recipe.yaml").read_text()
    from curate.manifest import write_manifest

    write_manifest(source, manifest.table, {**manifest.metadata, "recipe": recipe}, root=".")
    rebuild(source, tmp_path / "again")
    now = read_manifest(tmp_path / "again/manifest/train.parquet")
    difference = compare(read_manifest(tmp_path / "measured/manifest/train.parquet"), now)
    assert (difference.changed, difference.added, difference.removed) == ({}, (), ())


def test_rebuild_of_unreadable_equal_bytes_keeps_published_measures(
    ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    """As for HEIF without its plugin; if too little was published, there is a reason."""
    ageing.old = False
    settings = [*SETTINGS, "measure.max_pixels=100"]
    assert (
        rebuild(published(dataset, tmp_path), tmp_path / "again", settings=settings).left_out == {}
    )
    for was, now in zip(
        open_manifests(str(dataset)), open_manifests(str(tmp_path / "again")), strict=True
    ):
        assert {column for columns in compare(was, now).changed.values() for column in columns} <= {
            "tar",
            "offset",
        }
    urls = published(dataset, tmp_path, "urls.tsv")
    assert rebuild(urls, tmp_path / "less", settings=settings).left_out == {
        "too_many_pixels": len(FATES)
    }


def test_rebuild_takes_local_images_from_folder(tmp_path: Path) -> None:
    from curate.demo.pictures import Picture, encode

    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(3):
        (photos / f"{n}.png").write_bytes(encode(Picture("Food", n, (90, 70), "png")))
    (tmp_path / "list.txt").write_text("".join(f"file:photos/{n}.png\n" for n in range(3)))
    rebuild(tmp_path / "list.txt", tmp_path / "first", folders=[photos])
    source = published(tmp_path / "first", tmp_path)
    (photos / "1.png").write_bytes((photos / "0.png").read_bytes())
    again = rebuild(source, tmp_path / "again", folders=[photos])
    assert (again.kept, again.left_out) == ({"train": 2, "test": 0}, {"changed": 1})
    assert b"photos/" not in (tmp_path / "again/ledger/part-00000.parquet").read_bytes().replace(
        b"file:photos/", b""
    )
    assert str(tmp_path) not in str(ledger(tmp_path / "again").to_pylist())


def test_rebuild_into_others_folder_opens_nothing_by_itself(
    ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    source, out = published(dataset, tmp_path), tmp_path / "again"
    rebuild(source, out)
    with (out / "recipe.yaml").open("a") as recipe:
        recipe.write("# published\n")
    before = ageing.site.requests.total()
    with pytest.raises(CurateError, match=r"this user has not written it: .* --set 'fetch.allow_n"):
        rebuild(source, out, settings=(), retry=["transient"])
    assert ageing.site.requests.total() == before
    rebuild(source, out)  # says it again, which holds from then on
    rebuild(source, out, settings=())


def test_rebuild_into_folder_of_other_list_is_refused(dataset: Path, tmp_path: Path) -> None:
    rebuild(published(dataset, tmp_path), tmp_path / "again")
    with pytest.raises(
        CurateError, match=r"was made from another list than .*: choose another --out"
    ):
        rebuild(published(dataset, tmp_path, "urls.tsv"), tmp_path / "again")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accept": "anything"}, "--accept takes bytes or picture, not 'anything'"),
        ({"retry": ["duplicate"]}, "'duplicate' can't be tried again"),
        ({"recipe": "nosuch"}, "no recipe 'nosuch'"),
        ({"settings": ["fetch.max_bytes=-1"]}, "fetch.max_bytes"),
    ],
)
def test_rebuild_with_wrong_arguments_requests_nothing(
    ageing: Ageing, dataset: Path, tmp_path: Path, options: dict, message: str
) -> None:
    before = ageing.site.requests.total()
    with pytest.raises(CurateError, match=message):
        rebuild(published(dataset, tmp_path), tmp_path / "again", **options)
    assert ageing.site.requests.total() == before


def test_rebuild_command_prints_tables_or_json(
    command, ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    source, out = published(dataset, tmp_path, "urls.tsv"), tmp_path / "again"
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    log = tmp_path / "events.jsonl"
    code, text, _ = command(
        "rebuild", source, "--out", out, *settings, "--scheduler", "serial", "--log-json", log
    )
    assert code == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["stage"] for event in events if event["event"] == "stage_finished"] == [
        "candidates", "fetch", "measure", "rebuild",
    ]  # fmt: skip
    assert f"curate rebuild {source} --out {out} --retry transient" in text
    for words in (
        "recoded",
        "http_404",
        "of 11 images",
        f"1 image in {out}/manifest/train.parquet",
    ):
        assert words in text
    code, text, _ = command(
        "rebuild", source, "--out", out, "--accept", "picture", "--scheduler", "serial", "--json"
    )
    assert json.loads(text)["kept"] == {"train": 3, "test": 2}
