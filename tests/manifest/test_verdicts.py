from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import Reason, RunError
from curate.manifest.verdicts import Sidecar, Verdicts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(id_: str, verdict: str, minute: int = 0, **others: Any) -> dict[str, Any]:
    when = NOON + timedelta(minutes=minute)
    return {"id": id_, "verdict": verdict, "by": "ann", "when": when, **others}


@pytest.fixture
def sidecar(tmp_path: Path) -> Sidecar:
    return Sidecar.of(str(tmp_path / "pictures"))


def test_newest_verdict_of_several_files_holds_whatever_their_order(sidecar: Sidecar) -> None:
    sidecar.write("b", [row("1", "drop", 1), row("2", "keep", 5, by="bob")])
    sidecar.write("a", [row("1", "keep", 2), row("2", "drop", 3)])
    found = Verdicts.read(sidecar)
    assert found.essence == [["1", "keep", None, "ann"], ["2", "keep", None, "bob"]]


def test_equally_old_verdicts_are_taken_in_order_of_their_rows(sidecar: Sidecar) -> None:
    sidecar.write("a", [row("1", "drop"), row("1", "keep")])
    assert Verdicts.read(sidecar).essence[0][1] == "keep"


def test_unfinished_files_of_a_killed_session_do_not_count(sidecar: Sidecar) -> None:
    sidecar.write("a", [row("1", "drop")])
    folder = Path(str(sidecar))
    (folder / ".tmp-0123.parquet").write_bytes(b"half")
    assert len(Verdicts.read(sidecar)) == 1


def test_sidecar_stands_in_a_run_or_beside_a_file_or_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "candidates").mkdir(parents=True)
    (run / "candidates/index.json").write_text("{}")
    (run / "recipe.yaml").write_text("")
    inside = str(run / "verdicts")
    assert str(Sidecar.of(str(run))) == str(Sidecar.of(f"{run}/manifest/test.parquet")) == inside
    assert str(Sidecar.of(f"{tmp_path}/a.parquet")) == f"{tmp_path}/a.verdicts"
    assert str(Sidecar.of(f"{tmp_path}/pictures/")) == f"{tmp_path}/pictures.verdicts"


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([{**row("1", "drop"), "by": None}], "has rows without 'by'"),
        ([row("1", "burn")], "has the verdict 'burn': it is keep, drop, relabel"),
        ([row("1", "relabel")], "relabels an image without a category"),
    ],
)
def test_file_with_wrong_rows_is_refused_in_one_line(
    rows: list[dict[str, Any]], fault: str, sidecar: Sidecar
) -> None:
    sidecar.write("a", rows)
    with pytest.raises(RunError) as refused:
        Verdicts.read(sidecar)
    assert fault in str(refused.value)
    assert "a.parquet" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["text", "other_columns", "other_types", "text_that_is_none"])
def test_file_that_holds_no_verdicts_is_refused_in_one_line(kind: str, sidecar: Sidecar) -> None:
    folder = Path(str(sidecar))
    folder.mkdir()
    columns = {name: ["x"] for name in ("id", "verdict", "category", "by", "when", "why")}
    match kind:
        case "text":
            (folder / "a.parquet").write_text("no Parquet")
        case "other_columns":
            pq.write_table(pa.table({"id": ["1"]}), folder / "a.parquet")
        case "other_types":
            pq.write_table(pa.table(columns), folder / "a.parquet")
        case "text_that_is_none":
            bad = pa.array([b"\xff"]).view(pa.string())
            when = pa.array([NOON], pa.timestamp("us", "UTC"))
            pq.write_table(pa.table({**columns, "id": bad, "when": when}), folder / "a.parquet")
    with pytest.raises(RunError, match=r"is no file of verdicts .*: put a copy in its place"):
        Verdicts.read(sidecar)


def test_link_out_of_the_sidecar_is_refused(sidecar: Sidecar, tmp_path: Path) -> None:
    elsewhere = Sidecar.of(f"{tmp_path}/elsewhere/pictures")
    elsewhere.write("a", [row("1", "drop")])
    outside = tmp_path / "inside"
    outside.mkdir()
    inside = Sidecar.of(f"{outside}/pictures")
    Path(str(inside)).mkdir()
    Path(str(inside), "a.parquet").symlink_to(f"{elsewhere}/a.parquet")
    with pytest.raises(RunError, match="leads out of"):
        Verdicts.read(inside)


def test_category_unknown_to_the_taxonomy_is_refused(sidecar: Sidecar) -> None:
    sidecar.write("a", [row("1", "relabel", category="Fod")])
    with pytest.raises(RunError, match="category 'Fod', which the taxonomy"):
        Verdicts.read(sidecar).check_categories(["Food"])


def test_unknown_ids_are_named_in_one_line(sidecar: Sidecar) -> None:
    sidecar.write("a", [row(id_, "drop") for id_ in ("1", "2", "x\ny", "z", "zz")])
    trouble = Verdicts.read(sidecar).name_unknown(pa.array(["1", "3"]))
    assert trouble is not None
    assert "4 verdicts" in trouble
    assert r"2, x\ny, z and more" in trouble
    assert Verdicts.read(sidecar).name_unknown(pa.array(["1", "2", "x\ny", "z", "zz"])) is None


def test_apply_marks_dropped_and_relabelled_rows_and_leaves_filters_alone(
    sidecar: Sidecar,
) -> None:
    dropped, relabelled, kept, rejected = (
        row("1", "drop"),
        row("2", "relabel", category="Food"),
        row("3", "keep"),
        row("4", "drop"),
    )
    sidecar.write("a", [dropped, relabelled, kept, rejected])
    rows = pa.table(
        {
            "id": ["0", "1", "2", "3", "4"],
            "reason": pa.array([None, None, None, "low_bpp", "low_bpp"]),
            "category": ["Map"] * 5,
            "broad": ["Artificial"] * 5,
            "label_score": pa.array([0.5] * 5, pa.float32()),
        }
    )
    found = Verdicts.read(sidecar).apply(rows, {"Food": "Indoor"})
    reason = Reason.DROPPED_BY_REVIEW.value
    assert found["reason"].to_pylist() == [None, reason, None, "low_bpp", "low_bpp"]
    assert found["category"].to_pylist() == ["Map", "Map", "Food", "Map", "Map"]
    assert found["broad"].to_pylist()[2] == "Indoor"
    assert found["label_score"].to_pylist() == [0.5, 0.5, None, 0.5, 0.5]
    assert found["verdict"].to_pylist() == [None, "drop", "relabel", "keep", "drop"]
    assert found["verdict_by"].to_pylist() == [None, "ann", "ann", "ann", "ann"]
