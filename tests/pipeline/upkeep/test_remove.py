"""Removed images leave no trace and never come back; other images stay as they were."""

import hashlib
import json
import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import curate
from curate.engine import RunFolder
from curate.manifest import find_faults, read_manifest
from curate.pipeline import recipe_changes
from curate.pipeline.removal import Removal
from curate.pipeline.tombstones import TOMBSTONES, read_identity
from curate.recipe import Recipe
from tests.pipeline.digests import digests
from tests.pipeline.upkeep.dying import Killed, killed_after
from tests.pipeline.upkeep.folder_contents import contents
from tests.small_crawl import serving

SERIAL = {"scheduler": "serial"}


@pytest.fixture(scope="module")
def published(recipe: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished run over a site that is down now; shards of six, a caption for each image."""
    folder = tmp_path_factory.mktemp("published")
    with serving(pictures) as site:
        lines = [
            f"{site}/{path.name},the caption of {path.name}" for path in sorted(pictures.iterdir())
        ]
        (folder / "list.csv").write_text("\n".join(["url,caption", *lines]))
        crawled = Recipe.load(recipe, ["fetch.allow_networks=[127.0.0.1/32]", "fetch.retries=0"])
        curate.run(crawled, [folder / "list.csv"], folder / "run", **SERIAL)
    return folder / "run"


@pytest.fixture
def run(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "run"))


def ledger(run: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted((run / "ledger").iterdir())])


def candidate(run: Path, name: str) -> dict:
    """The row of a picture."""
    table = ledger(run)
    [row] = [row for row in table.to_pylist() if (row["url"] or "").endswith(f"/{name}")]
    return row


def picks(run: Path) -> dict[str, str]:
    tables = [read_manifest(run / f"manifest/{split}.parquet") for split in ("train", "test")]
    return {
        id_: split
        for t in tables
        for id_, split in zip(t.column("id"), t.column("split"), strict=True)
    }


def take_out(run: Path | str, tmp_path: Path, kind: str, *lines: str, **options: bool) -> Removal:
    (tmp_path / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    return curate.remove(run, **{kind: [tmp_path / "list.txt"]}, **SERIAL, **options)


def traces(run: Path, row: dict) -> list[str]:
    """Files of a run folder that tell of a removed candidate anything but that it was removed."""
    name = row["url"][
        row["url"].rindex("/") :
    ]  # with its slash: a member of a tar may be called 00.png by chance
    signs = {
        row["url"],
        row["caption"],
        row["sha256"],
        row["pixel_sha256"],
        str(row["phash"]),
        name,
    }
    texts = [sign.encode() for sign in signs if sign and sign != "None"]
    found = []
    for name, data in contents(run):
        if name != TOMBSTONES and any(text in data for text in texts):
            found.append(name)
    return found


def test_removed_image_leaves_no_byte_and_no_text(
    run: Path, pictures: Path, tmp_path: Path
) -> None:
    page = (run / "report/index.html").read_text()
    rows = ledger(run).to_pylist()
    alone = [
        row
        for row in rows
        if row["split"] and not row["dup_cluster"] and not row["url"].endswith("/01.jpg")
    ]
    row = next(row for row in alone if row["url"] in page)  # 01.jpg is in cut.jpg, too
    data = (pictures / row["url"].split("/")[-1]).read_bytes()
    places = {name.split("/")[0] for name in traces(run, row)}
    assert places == {
        "candidates",
        "fetched",
        "measured",
        "embeddings",
        "keypoints",
        "ledger",
        "manifest",
        "report",
        "log",
    }
    assert any(data in content for _, content in contents(run))
    piece = data[len(data) // 2 :][:200]  # what comes before may be tables that any JPEG has
    assert [name for name, content in contents(run) if piece in content] == [row["tar"]]

    removal = take_out(run, tmp_path, "urls", row["url"])
    assert (removal.ids, removal.by, removal.copies) == ({row["id"]}, {"id": 1}, 0)
    assert traces(run, row) == []
    assert [name for name, content in contents(run) if piece in content] == []

    left = [r for r in ledger(run).to_pylist() if r["id"] == row["id"]]
    emptied = {"id": row["id"], "source": "list.csv", "status": "rejected", "reason": "removed"}
    assert [{k: v for k, v in r.items() if v is not None} for r in left] == [emptied]
    assert [
        json.loads(line)["id"] for line in (run / "log/removals.jsonl").read_text().splitlines()
    ] == [row["id"]]


def test_removal_keeps_other_rows_and_picks(published: Path, run: Path, tmp_path: Path) -> None:
    before, table = picks(run), ledger(run)
    gone = [min(id_ for id_, split in before.items() if split == s) for s in ("train", "test")]
    removal = take_out(run, tmp_path, "ids", *gone)
    assert removal.picked == {"train": 1, "test": 1}

    after = picks(run)
    kept = {id_: split for id_, split in before.items() if id_ not in removal.ids}
    assert kept.items() <= after.items()
    assert len(after) >= len(kept)
    for split in ("train", "test"):
        assert not list(
            find_faults(read_manifest(run / f"manifest/{split}.parquet"), check_bytes=True)
        )
    again = ledger(run)
    assert again["id"].equals(table["id"])
    others = pc.invert(pc.is_in(table["id"], pa.array(removal.ids)))
    decided = ["status", "reason", "split", "dup_cluster", "frequency_bin", "offset"]
    assert (
        again.drop_columns(decided)
        .filter(others)
        .equals(table.drop_columns(decided).filter(others))
    )

    old, new = digests(published), digests(run)
    whole = {
        Path(name).stem for name in old if name.startswith("images/") and new[name] == old[name]
    }
    assert len(whole) == removal_free_shards(table, removal.ids)
    for name, digest in old.items():
        if Path(name).stem in whole and not name.startswith("ledger/"):
            assert new[name] == digest, name


def removal_free_shards(table: pa.Table, ids: set[str]) -> int:
    rows = [place for place, id_ in enumerate(table["id"].to_pylist()) if id_ in ids]
    return -(-len(table) // 6) - len({place // 6 for place in rows})


def test_run_without_changed_shards_checks_no_candidate_against_tombstones(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def note(folder: RunFolder, shard: str) -> pa.Table:
        checked.append(shard)
        return read_identity(folder, shard)

    monkeypatch.setattr("curate.pipeline.tombstone_hook.read_identity", note)
    curate.run(None, out=run, **SERIAL)
    assert not checked, "no tombstones"
    take_out(run, tmp_path, "ids", candidate(run, "03.png")["id"])
    assert checked
    checked.clear()
    curate.run(None, out=run, **SERIAL)
    assert not checked
    (run / "measured/part-00001.json").unlink()
    curate.run(None, out=run, **SERIAL)
    assert set(checked) <= {"part-00001"}


def test_run_after_removal_changes_nothing(run: Path, tmp_path: Path) -> None:
    row = candidate(run, "04.jpg")
    take_out(run, tmp_path, "ids", row["id"])
    first = digests(run)
    again = take_out(run, tmp_path, "ids", row["id"])
    assert (again.ids, again.unknown) == (set(), 0)
    outcome = curate.run(None, (), run, **SERIAL)
    assert all(stage.resumed == stage.shards for stage in outcome.stages)
    assert digests(run) == first


def test_removal_takes_copies_unless_kept(run: Path, tmp_path: Path) -> None:
    row, copy = candidate(run, "00.png"), candidate(run, "again.png")
    assert row["sha256"] == copy["sha256"]
    would = take_out(run, tmp_path, "ids", row["id"], dry_run=True)
    assert (would.ids, would.copies) == ({row["id"], copy["id"]}, 1)
    alone = take_out(run, tmp_path, "ids", row["id"], keep_copies=True)
    assert alone.ids == {row["id"]}
    assert candidate(run, "again.png")["sha256"] == copy["sha256"]
    both = take_out(run, tmp_path, "hashes", copy["sha256"].upper())
    assert (both.ids, both.by) == ({copy["id"]}, {"sha256": 1})
    assert traces(run, copy) == []


def test_dry_removal_changes_nothing(published: Path, run: Path, tmp_path: Path) -> None:
    removal = take_out(run, tmp_path, "hosts", "127.0.0.1", "elsewhere.example", dry_run=True)
    assert len(removal.ids) == 26
    assert (removal.picked.total(), removal.unknown, removal.outcome) == (len(picks(run)), 1, None)
    assert digests(run) == digests(published)


def test_removal_of_only_host_leaves_empty_dataset(run: Path, tmp_path: Path) -> None:
    removal = take_out(run, tmp_path, "hosts", "127.0.0.1")
    assert removal.outcome is not None
    assert removal.outcome.reasons == {"removed": 26}
    assert len(read_manifest(run / "manifest/train.parquet")) == 0
    assert [name for name, data in contents(run) if b"http://127" in data] == []


@pytest.mark.parametrize("by", ["remove", "run"])
def test_killed_removal_resumes_to_same_bytes(
    published: Path, run: Path, tmp_path: Path, by: str
) -> None:
    gone = [candidate(published, name)["id"] for name in ("04.jpg", "10.jpg", "00.png")]
    deaths = 0
    for count in range(2 if by == "run" else 1, 100):
        try:
            with killed_after(count):
                if by == "remove" or not (run / TOMBSTONES).exists():
                    take_out(run, tmp_path, "ids", *gone)
                else:
                    curate.run(None, (), run, **SERIAL)
            break
        except Killed:
            deaths += 1
    assert deaths > 5
    expected = shutil.copytree(published, tmp_path / "expected")
    take_out(expected, tmp_path, "ids", *gone)
    assert digests(run) == digests(expected)


def test_removal_takes_bytes_that_were_put_aside(run: Path, pictures: Path, tmp_path: Path) -> None:
    recipe = recipe_changes.open_run(run)[1]
    tighter = recipe.override(["fetch.max_bytes=9000"])
    curate.run(tighter, (), run, **SERIAL, redo_from="fetch")
    data = {
        path.name: path.read_bytes() for path in pictures.iterdir() if path.stat().st_size > 9000
    }
    tars = {path: path.read_bytes() for path in (run / "aside").iterdir()}
    name = next(name for name in sorted(data) if any(data[name] in tar for tar in tars.values()))
    take_out(run, tmp_path, "hashes", hashlib.sha256(data[name]).hexdigest())
    assert not any(data[name] in path.read_bytes() for path in run.rglob("*.tar"))
    others = [
        other
        for other in data.values()
        if other != data[name] and any(other in tar for tar in tars.values())
    ]
    assert all(
        any(other in path.read_bytes() for path in (run / "aside").iterdir()) for other in others
    )


def test_removal_works_in_memory_store(published: Path, run: Path, tmp_path: Path) -> None:
    gone = candidate(run, "04.jpg")["id"]
    store, root = fsspec.core.url_to_fs(f"memory://{tmp_path.name}/run")
    store.put(f"{run}/", f"{root}/", recursive=True)
    take_out(f"memory://{tmp_path.name}/run", tmp_path, "ids", gone)
    take_out(run, tmp_path, "ids", gone)
    store.get(f"{root}/", f"{tmp_path}/copy/", recursive=True)
    assert digests(tmp_path / "copy") == digests(run)
