import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.engine import (
    CommitRecord,
    RunFolder,
    SerialExecutor,
    Stage,
    input_of,
    rows_of,
    run_stage,
    run_whole,
    write_source,
)
from curate.engine.events import ShardProgress
from curate.errors import InputError, Reason, RunError
from tests.engine.example_stages import Hears, LosesRow, Recorder, Waits, candidates, squares

SERIAL = SerialExecutor()


def contents(folder: RunFolder) -> dict[str, bytes]:
    """Every file but the volatile ones."""
    root = Path(folder.url)
    files = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    return {name: data for name, data in files.items() if not name.startswith("log/")}


def test_stage_returns_every_row_with_its_reason(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    outcome = run_stage(folder, squares(), shards, 24, SERIAL, progress)
    assert outcome.rows_out == {"bad_url": 3, "ok": 15, "too_small": 6}
    rows = rows_of(folder, ["candidates", "squared"], shards[0])
    assert rows["id"].to_pylist() == [f"00{row:02d}" for row in range(8)]
    assert rows["reason"].to_pylist() == [
        None,
        "bad_url",
        None,
        "too_small",
        None,
        None,
        "too_small",
        None,
    ]
    assert rows["status"].to_pylist() == [
        "ok",
        "rejected",
        "ok",
        "rejected",
        "ok",
        "ok",
        "rejected",
        "ok",
    ]
    # earlier rejected rows never reach the function; rows that it rejects keep its values
    assert rows["square"].to_pylist() == [0, None, 4, 9, 16, 25, 36, 49]


def test_second_run_resumes_every_shard(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)

    def files() -> dict[Path, tuple[int, int]]:
        paths = [path for path in Path(folder.url).rglob("*") if "log" not in path.parts]
        return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}

    before = files()
    outcome = run_stage(folder, squares(), shards, 24, SERIAL, progress)
    assert outcome.resumed == outcome.shards == 3
    assert files() == before


@pytest.mark.parametrize("path", ["squared/part-00001.parquet", "files/part-00001.txt"])
@pytest.mark.parametrize("damage", ["truncated", "removed", "changed"])
def test_damaged_output_is_computed_again(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder, path: str, damage: str
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    whole = contents(folder)
    file = Path(folder.url, path)
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + (b"" if damage == "truncated" else b"?"))
    assert run_stage(folder, squares(), shards, 24, SERIAL, progress).resumed == 2
    assert contents(folder) == whole


def test_changed_settings_or_input_run_the_shard_again(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    assert run_stage(folder, squares(version=2), shards, 24, SERIAL, progress).resumed == 0
    tables = candidates()
    tables[2] = tables[2].set_column(1, "number", pa.array([n + 10 for n in range(8)]))
    index, _ = write_source(folder, tables, dict, "other input", "config", progress)
    assert run_stage(folder, squares(version=2), index.shards, 24, SERIAL, progress).resumed == 2
    assert rows_of(folder, ["candidates", "squared"], "part-00002")["square"][0].as_py() == 100


def test_transient_error_is_retried(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder, tmp_path: Path
) -> None:
    outcome = run_stage(
        folder, squares(fail_once=str(tmp_path / "blinked")), shards, 24, SERIAL, progress
    )
    assert progress.failed == ["part-00000"]
    assert outcome.rows_out == {"bad_url": 3, "ok": 15, "too_small": 6}
    assert not outcome.quarantined


def test_deadly_row_is_found_and_excluded(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    outcome = run_stage(folder, squares(raise_on=("0104", "0107")), shards, 24, SERIAL, progress)
    assert outcome.excluded == ("0104", "0107")
    rows = rows_of(folder, ["candidates", "squared"], "part-00001")
    assert rows["reason"].to_pylist() == [
        None,
        "bad_url",
        None,
        "too_small",
        "crashed",
        None,
        "too_small",
        "crashed",
    ]
    assert rows["square"].to_pylist() == [0, None, 4, 9, None, 25, 36, None]
    # rehearsals leave nothing behind
    assert Path(folder.url, "files/part-00001.txt").read_text().split() == [
        "0100",
        "0102",
        "0103",
        "0105",
        "0106",
    ]
    assert (
        run_stage(folder, squares(raise_on=("0104", "0107")), shards, 24, SERIAL, progress).resumed
        == 3
    )


def test_shard_that_always_fails_is_quarantined_until_the_next_run(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    stage = squares(raise_on=("0104",))
    costly = Stage(
        stage.name, stage.function, stage.schema, stage.after, stage.config, repeatable=False
    )
    outcome = run_stage(folder, costly, shards, 24, SERIAL, progress)
    assert outcome.quarantined == ("part-00001",)
    assert outcome.rows_out == {"bad_url": 3, "ok": 10, "quarantined": 7, "too_small": 4}
    cured = run_stage(folder, squares(), shards, 24, SERIAL, progress)
    assert cured.rows_out == {"bad_url": 3, "ok": 15, "too_small": 6}
    assert (cured.resumed, cured.quarantined) == (2, ())


def test_run_stops_when_every_shard_fails(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    with pytest.raises(RunError, match=r"every shard of stage squared failed; .*can't stand"):
        run_stage(folder, squares(raise_on=("0000", "0100", "0200")), shards, 24, SERIAL, progress)


def test_function_that_loses_a_row_commits_nothing(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    with pytest.raises(RunError, match="returned other rows than it was given"):
        run_stage(folder, squares(LosesRow()), shards, 24, SERIAL, progress)
    assert not Path(folder.url, "squared").exists()


def test_curate_error_stops_the_run_at_once(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    def mendable(rows: pa.Table, shard: object) -> pa.Table:
        raise InputError("no such model")

    with pytest.raises(InputError, match="no such model"):
        run_stage(folder, squares(mendable), shards, 24, SERIAL, progress)
    assert progress.failed == []


def test_volatile_file_is_in_no_record(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    record = CommitRecord.read(folder, "squared", "part-00000")
    assert record is not None
    assert set(record.outputs) == {"squared/part-00000.parquet", "files/part-00000.txt"}
    assert Path(folder.url, "log/part-00000.txt").exists()


def test_stage_without_its_input_names_the_command_to_run(
    folder: RunFolder, progress: Recorder
) -> None:
    with pytest.raises(RunError, match="has no candidates stage for part-00000 yet"):
        input_of(folder, ["candidates"], ["part-00000"])


def test_missing_column_names_the_command_to_run(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    with pytest.raises(
        RunError, match="has no cube: an older version made its candidates, squared; bring"
    ):
        rows_of(folder, ["candidates", "squared"], shards[0], ["square", "cube"])


def test_rows_that_differ_from_the_candidates_are_refused(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    Path(folder.url, "squared/part-00001.parquet").replace(
        Path(folder.url, "squared/part-00000.parquet")
    )
    with pytest.raises(RunError, match="holds other rows"):
        rows_of(folder, ["candidates", "squared"], "part-00000")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"stage": 1}', "\0"])
def test_damaged_record_counts_as_missing(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder, text: str
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    path = Path(folder.url, "squared/part-00000.json")
    whole = path.read_bytes()
    path.write_text(text)
    outcome = run_stage(folder, squares(), shards, 24, SERIAL, progress)
    assert outcome.resumed == len(shards) - 1
    assert path.read_bytes() == whole


def test_table_with_a_wrong_checksum_is_refused(folder: RunFolder, shards: tuple[str, ...]) -> None:
    path = Path(folder.url, "candidates/part-00000.parquet")
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    data[column.dictionary_page_offset + column.total_compressed_size - 1] ^= (
        1  # of values: still valid Parquet
    )
    path.write_bytes(data)
    with pytest.raises(
        RunError, match=r"part-00000\.parquet is damaged .*: curate run with --verify mends it"
    ):
        rows_of(folder, ["candidates"], "part-00000")


def test_whole_step_resumes(folder: RunFolder, progress: Recorder) -> None:
    calls = []

    def build(whole):
        calls.append(whole.name)
        with whole.create("summary.txt") as sink:
            sink.write(b"done")
        return {"ok": 1}

    for _ in range(2):
        assert run_whole(folder, "summed", build, "input", {}, progress).rows_out == {"ok": 1}
    assert calls == ["whole"]
    run_whole(folder, "summed", build, "other input", {}, progress)
    Path(folder.url, "summary.txt").unlink()
    run_whole(folder, "summed", build, "other input", {}, progress)
    assert len(calls) == 3


def test_candidates_resume_from_their_index(folder: RunFolder, progress: Recorder) -> None:
    reads = []

    def tables():
        reads.append(1)
        yield from candidates()

    for _ in range(2):
        index, outcome = write_source(
            folder, tables(), lambda: {"blank": 4}, "input", "config", progress
        )
    assert len(reads) == 1
    assert (index.rows, index.notes, outcome.resumed) == (24, {"blank": 4}, 3)
    Path(folder.url, "candidates/part-00001.parquet").write_bytes(b"")
    write_source(folder, tables(), dict, "input", "config", progress)
    assert len(reads) == 2
    assert len(pq.read_table(Path(folder.url, "candidates/part-00001.parquet"))) == 8


def test_input_without_candidates_raises(folder: RunFolder, progress: Recorder) -> None:
    with pytest.raises(InputError, match="no candidates"):
        write_source(folder, [], dict, "input", "config", progress)


def test_commit_record_is_readable_json(
    folder: RunFolder, shards: tuple[str, ...], progress: Recorder
) -> None:
    run_stage(folder, squares(), shards, 24, SERIAL, progress)
    record = json.loads(Path(folder.url, "squared/part-00000.json").read_text())
    assert record["rows_in"] == 8
    assert record["rows_out"] == {"bad_url": 1, "ok": 5, "too_small": 2}


def test_candidates_report_shards_while_they_are_read(
    folder: RunFolder, progress: Recorder
) -> None:
    counts: list[int] = []

    def tables() -> Iterator[pa.Table]:
        for table in candidates():
            counts.append(len(progress.done))
            yield table

    write_source(folder, tables(), dict, "input", "config", progress)
    assert counts == [0, 1, 2]


def test_shard_reports_its_whole_state_each_time(folder: RunFolder, tmp_path: Path) -> None:
    index, _ = write_source(folder, candidates(1), dict, "input", "config", Recorder())
    progress = Hears(tmp_path / "heard")
    waits = Waits(str(tmp_path / "heard"), fail_once=str(tmp_path / "failed"))
    run_stage(folder, squares(waits), index.shards, 8, SERIAL, progress)
    standing = ("part-00000", {"bad_url": 1, "slow": 2}, ["the other side"])
    assert progress.under_way[0] == progress.under_way[-1] == standing
    assert len(progress.under_way) > 1
    assert progress.failed == ["part-00000"]
    assert progress.seconds["part-00000"] > 0


def test_shard_progress_counts_under_plain_strings(folder: RunFolder) -> None:
    """Dask sends exact strings only, which the members of an enum are not."""
    progress = ShardProgress()
    progress.advance(2, Reason.DNS)
    progress.advance(1, None)
    rows_out, _ = progress.state()
    assert rows_out == {"dns": 2, "ok": 1}
    assert {type(reason) for reason in rows_out} == {str}
