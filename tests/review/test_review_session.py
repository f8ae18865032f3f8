import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate
from curate.errors import CurateError, InputError, RunError
from curate.manifest import read_manifest
from curate.manifest.verdicts import Sidecar, Verdicts
from curate.review.collection import open_collection
from curate.review.review_session import Review
from tests.contracts.contracts_run import RUN
from tests.review.conftest import TOKEN, Reviewing, reviewing


def on_disk(source: Path) -> list[list[str | None]]:
    return Verdicts.read(Sidecar.of(str(source))).essence


# --- verdicts


def test_verdict_is_on_disk_when_it_is_answered(desk: Reviewing, run: Path) -> None:
    id_ = desk.ids()[0]
    status, answer = desk.post("verdicts", id=id_, verdict="drop", why="a logo")
    assert status == 200
    assert on_disk(run) == [[id_, "drop", None, "ann"]]
    assert answer["verdict"]["why"] == "a logo"
    assert answer["counts"] == {"keep": 0, "drop": 1, "relabel": 0}


def test_abandoned_session_loses_no_verdict_that_was_answered(run: Path) -> None:
    first = reviewing(run)
    ids = first.ids()
    for id_ in ids[:3]:
        first.post("verdicts", id=id_, verdict="drop")
    # killed: nothing is closed, and a file is half written
    (run / "verdicts/.tmp-killed").write_bytes(b"PAR1")
    second = reviewing(run, "bob")
    with first.review, second.review:
        assert second.ids("verdict=drop") == ids[:3]
        second.post("verdicts", id=ids[0], verdict="keep")
    assert {id_: by for id_, _, _, by in on_disk(run)} == {
        ids[0]: "bob",
        ids[1]: "ann",
        ids[2]: "ann",
    }


def test_verdict_that_cannot_be_written_is_not_answered_for(
    desk: Reviewing, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise RunError("can't write: no space left")

    monkeypatch.setattr("curate.storage.atomic.write", full)
    status, answer = desk.post("verdicts", id=desk.ids()[0], verdict="drop")
    assert status == 500
    assert "no space left" in answer["error"]
    assert desk.ids("verdict=any") == []
    assert on_disk(run) == []


def test_undo_takes_back_the_last_verdict_and_restores_the_one_before(
    desk: Reviewing, run: Path
) -> None:
    id_ = desk.ids()[0]
    desk.post("verdicts", id=id_, verdict="relabel", category="Food")
    desk.post("verdicts", id=id_, verdict="drop")
    assert desk.post("undo")[1]["verdict"]["category"] == "Food"
    assert on_disk(run) == [[id_, "relabel", "Food", "ann"]]
    assert desk.post("undo")[1]["verdict"] is None
    assert on_disk(run) == []
    assert list((run / "verdicts").iterdir()) == []
    status, answer = desk.post("undo")
    assert (status, answer["error"]) == (400, "this session has no verdict to take back")


def test_kept_image_keeps_the_category_that_a_person_gave_it(desk: Reviewing, run: Path) -> None:
    id_ = desk.ids()[0]
    desk.post("verdicts", id=id_, verdict="relabel", category="Food")
    desk.post("verdicts", id=id_, verdict="keep")
    assert on_disk(run) == [[id_, "keep", "Food", "ann"]]


def test_session_begins_another_file_so_that_writes_stay_small(
    desk: Reviewing, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.review.session_verdicts._ROWS", 2)
    ids = desk.ids()[:5]
    for id_ in ids:
        desk.post("verdicts", id=id_, verdict="drop")
    sizes = [pq.read_table(path).num_rows for path in sorted((run / "verdicts").iterdir())]
    assert sizes == [2, 2, 1]
    for left in (4, 3, 2, 1, 0):
        desk.post("undo")
        assert len(on_disk(run)) == left


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"verdict": "burn"}, "a verdict is keep, drop, relabel"),
        ({"verdict": "drop", "id": "../../etc/passwd"}, "there is no image"),
        ({"verdict": "drop", "id": 7}, "names an image by its id"),
        ({"verdict": "relabel"}, "a category belongs to the verdict relabel"),
        ({"verdict": "relabel", "category": "Fod"}, "there is no category 'Fod'"),
        ({"verdict": "relabel", "category": ["Food"]}, "there is no category"),
        ({"verdict": "keep", "category": "Food"}, "a category belongs to the verdict relabel"),
        ({"verdict": "drop", "why": 1}, "a note is a text"),
    ],
)
def test_write_that_is_no_verdict_is_refused_in_one_line(
    body: dict[str, object], fault: str, desk: Reviewing
) -> None:
    status, answer = desk.post("verdicts", **{"id": desk.ids()[0], **body})
    assert status == 400
    assert fault in answer["error"]
    assert desk.review.verdicts.count == 0


def test_image_dropped_in_review_is_out_of_the_next_manifest(desk: Reviewing, run: Path) -> None:
    dropped = desk.ids("split=train")[0]
    desk.post("verdicts", id=dropped, verdict="drop")
    curate.run(None, out=run, scheduler="serial", stages=("select",))
    assert dropped not in read_manifest(run / "manifest/train.parquet").column("id")
    ledger = pq.read_table(run / "ledger").to_pylist()
    row = next(row for row in ledger if row["id"] == dropped)
    assert (row["reason"], row["verdict_by"]) == ("dropped_by_review", "ann")


def test_verdicts_on_unknown_ids_are_counted(run: Path) -> None:
    first = reviewing(run)
    with first.review:
        known = first.ids()[0]
        first.review.verdicts.give("feedfeedfeedfeed", curate_verdict("drop"))
        first.post("verdicts", id=known, verdict="drop")
    second = reviewing(run)
    with second.review:
        assert second.review.unknown == ["feedfeedfeedfeed"]
        assert second.get("state")["counts"]["drop"] == 1


def curate_verdict(name: str):  # type: ignore[no-untyped-def]
    from curate.manifest.verdicts import Verdict

    return Verdict(name)


# --- lists


def test_pages_cover_every_row_once_and_in_order(reader: Reviewing) -> None:
    total = reader.get("state")["images"]
    ledger = [row["id"] for row in pq.read_table(RUN / "ledger").to_pylist()]
    pages = [reader.ids(f"offset={offset}&limit=4") for offset in range(0, total, 4)]
    assert [id_ for page in pages for id_ in page] == ledger


def test_filters_narrow_the_list(reader: Reviewing) -> None:
    ledger = pq.read_table(RUN / "ledger").to_pylist()

    def expected(test: object) -> list[str]:
        return [row["id"] for row in ledger if test(row)]  # type: ignore[operator]

    assert reader.ids("reason=low_texture") == expected(lambda r: r["reason"] == "low_texture")
    assert reader.ids("reason=") == expected(lambda r: r["reason"] is None)
    assert reader.ids("min.bpp=2&max.bpp=4") == expected(lambda r: r["bpp"] and 2 <= r["bpp"] <= 4)
    assert reader.ids("text=FLAT") == expected(lambda r: "flat" in r["url"])
    assert reader.ids("text=%25") == []
    descending = [row["bpp"] for row in ledger if row["bpp"]]
    found = reader.get("images?sort=-bpp&min.bpp=0")["rows"]
    assert len(found) == len(descending)
    by_id = {row["id"]: row["bpp"] for row in ledger}
    assert [by_id[row["id"]] for row in found] == sorted(descending, reverse=True)


@pytest.mark.parametrize(
    "query",
    ["min.bpp=x", "min.bpp=nan", "min.none=1", "max.url=1", "sort=url", "wrong=1", "sample=a.b"]
    + ['min.bpp"%20OR%201=1%20--=1', "offset=x"],
)
def test_query_that_names_nothing_is_refused(query: str, reader: Reviewing) -> None:
    answer = reader.client.get(f"/{TOKEN}/api/images?{query}")
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]


def test_search_by_words_is_refused_where_there_are_no_embeddings(run: Path) -> None:
    shutil.rmtree(run / "embeddings")
    with Review(open_collection(str(run)), "ann") as review:
        assert not review.state()["searchable"]
        with pytest.raises(InputError, match="no 'find'"):
            review.images([("find", "a cat")])


def test_search_by_words_orders_the_list_where_there_is_one(run: Path) -> None:
    collection = open_collection(str(run))
    ids = pq.read_table(run / "ledger")["id"].to_pylist()
    found = replace(collection, find=lambda words: [ids[3], "unknown", ids[1]])
    with Review(found, "ann") as review:
        assert review.state()["searchable"]
        rows = review.images([("find", "a cat")])["rows"]
        assert [row["id"] for row in rows] == [ids[3], ids[1]]


# --- views


@pytest.mark.parametrize("view", ["thumbnail", "picture", "spectrum"])
def test_view_is_an_image_in_every_kind(view: str, reader: Reviewing) -> None:
    kept = reader.ids("split=train")[0]
    answer = reader.client.get(f"/{TOKEN}/api/images/{kept}/{view}")
    assert answer.status_code == 200
    image = Image.open(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == Image.MIME[image.format or ""]
    if view == "picture":
        details = reader.get(f"images/{kept}")["facts"]
        facts = {fact["name"]: fact["value"] for fact in details}
        assert image.size == (facts["width"], facts["height"])


def test_image_without_bytes_is_shown_with_a_note(reader: Reviewing) -> None:
    gone = reader.ids("reason=http_404")[0]
    assert not reader.get("images?reason=http_404")["rows"][0]["has_bytes"]
    answer = reader.client.get(f"/{TOKEN}/api/images/{gone}/thumbnail")
    assert answer.status_code == 422
    assert "its bytes were not kept" in answer.json()["error"]


def test_damaged_picture_is_answered_with_a_note(desk: Reviewing, run: Path) -> None:
    kept = desk.ids("split=train")[0]
    for tar in (run / "images").iterdir():
        tar.write_bytes(b"\0" * tar.stat().st_size)
    answer = desk.client.get(f"/{TOKEN}/api/images/{kept}/picture")
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]


def test_tar_outside_of_the_run_is_not_read(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes((RUN / "images/part-00000.tar").read_bytes())
    for path in (run / "ledger").iterdir():
        table = pq.read_table(path)
        places = ["../secret.jpg"] * len(table)
        table = table.set_column(table.column_names.index("tar"), "tar", [places])
        pq.write_table(table, path)
    desk = reviewing(run)
    with desk.review:
        kept = desk.ids("split=train")[0]
        answer = desk.client.get(f"/{TOKEN}/api/images/{kept}/picture")
        assert answer.status_code == 400
        assert "leads out of" in answer.json()["error"]


# --- sources


def test_manifest_alone_is_reviewed_with_verdicts_beside_it(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "train.parquet"
    shutil.copy(run / "manifest/train.parquet", alone)
    desk = reviewing(alone)
    with desk.review:
        id_ = desk.ids()[0]
        assert desk.post("verdicts", id=id_, verdict="drop")[0] == 200
        samples = desk.get("bounds")["bounds"]
        assert samples[-1]["inside"]["drawn"] == len(desk.ids())
    assert on_disk(alone) == [[id_, "drop", None, "ann"]]
    assert (tmp_path / "train.verdicts").is_dir()


def test_folder_is_listed_by_heads_and_measured_on_demand(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 damaged")
    (folder / "notes.txt").write_text("no image")
    desk = reviewing(folder)
    with desk.review:
        first, second = desk.ids()
        facts = {fact["name"]: fact["value"] for fact in desk.get(f"images/{first}")["facts"]}
        assert (facts["width"], facts["height"]) == (60, 40)
        assert facts["hf_ratio"] > 0
        assert "local_path" not in facts
        assert desk.get(f"images/{second}")["note"] != ""
        assert desk.client.get(f"/{TOKEN}/api/images/{first}/picture").status_code == 200
        assert desk.client.get(f"/{TOKEN}/api/images/{second}/picture").status_code == 422
        desk.post("verdicts", id=first, verdict="drop")
    assert on_disk(folder) == [[first, "drop", None, "ann"]]
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.jpg", "notes.txt"]


def test_source_that_is_nothing_to_review_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no run, no manifest, and no folder of images"):
        open_collection(str(tmp_path / "empty"))
    with pytest.raises(CurateError):
        open_collection(str(tmp_path / "none"))
    with pytest.raises(CurateError):
        open_collection(str(tmp_path / "none.parquet"))


def test_damaged_sidecar_stops_the_review_in_one_line(run: Path) -> None:
    (run / "verdicts").mkdir()
    (run / "verdicts/a.parquet").write_text("no Parquet")
    with pytest.raises(RunError, match="is no file of verdicts"):
        reviewing(run)
