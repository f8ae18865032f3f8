import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.engine import count_reasons
from curate.engine.stage import Shard
from curate.errors import Reason
from curate.manifest.schema import LEDGER
from curate.recipe import Bound, Recipe
from curate.stages.fetch.shard import SCHEMA, FetchShard
from curate.storage.run_folder import RunFolder
from tests.site.hostile import HostileSite, picture, settings

ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("local_path", pa.string()),
        ("local_offset", pa.int64()),
        ("local_nbytes", pa.int64()),
    ]
)

ROWS_WITH_CLAIMS = pa.schema(
    [
        *ROWS,
        ("claimed_width", pa.int32()),
        ("claimed_height", pa.int32()),
        ("punsafe", pa.float64()),
    ]
)


@pytest.fixture
def rows(site: HostileSite, tmp_path: Path) -> pa.Table:
    (tmp_path / "own.png").write_bytes(b"before" + picture("PNG") + b"after")
    urls = [site.url(f"numbered/{i}") for i in range(12)]
    urls += [site.url("status/404"), site.url("format/WEBP"), site.canary_url, "file:///etc/passwd"]
    table = [{"id": f"{i:016x}", "url": url} for i, url in enumerate(urls)]
    own = {"url": "file:own.png", "local_path": str(tmp_path / "own.png"), "local_offset": 6}
    table.insert(3, {"id": "f" * 16, **own, "local_nbytes": len(picture("PNG"))})
    return pa.Table.from_pylist(table, ROWS)


@pytest.fixture(params=["stream", "img2dataset"])
def stage(request: pytest.FixtureRequest) -> FetchShard:
    if request.param == "img2dataset":
        request.getfixturevalue("needs_img2dataset")
    return FetchShard(settings(engine=request.param))


def run(
    stage: FetchShard, rows: pa.Table, folder: RunFolder
) -> tuple[pa.Table, Shard, dict[str, int]]:
    shard = Shard("part-00007", folder)
    table = stage(rows, shard)
    return table, shard, shard.progress.state()[0]


def test_fetch_shard_returns_one_row_for_each_in_order(
    stage: FetchShard, rows: pa.Table, site: HostileSite, tmp_path: Path
) -> None:
    table, _, advanced = run(stage, rows, RunFolder(tmp_path / "run"))
    assert table.column("id") == rows.column("id")
    assert table.schema == pa.schema([("id", pa.string()), ("reason", pa.string()), *SCHEMA])
    ends = ["http_404", None, "forbidden_address", "forbidden_scheme"]
    assert table.column("reason").to_pylist() == [None] * 13 + ends
    statuses = [200] * 3 + [None] + [200] * 9 + [404, 200, None, None]
    assert table.column("http_status").to_pylist() == statuses
    assert advanced == count_reasons(table)
    assert site.canary_hits == 0


def test_tar_holds_the_bytes_as_served(stage: FetchShard, rows: pa.Table, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    table, shard, _ = run(stage, rows, folder)
    data = folder.read("images/part-00007.tar")
    served = [picture(seed=i) for i in range(12)]
    served.insert(3, picture("PNG"))
    served.append(picture("WEBP"))
    kept = [row for row in table.to_pylist() if row["reason"] is None]
    assert [data[row["offset"] : row["offset"] + row["nbytes"]] for row in kept] == served
    assert {row["tar"] for row in kept} == {"images/part-00007.tar"} == set(shard.outputs)
    extensions = ["jpg"] * 3 + ["png"] + ["jpg"] * 9 + ["webp"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        pairs = zip(kept, extensions, strict=True)
        assert tar.getnames() == [f"{row['id']}.{extension}" for row, extension in pairs]


def test_outputs_depend_only_on_served_bytes(
    stage: FetchShard, rows: pa.Table, tmp_path: Path
) -> None:
    first, second = (RunFolder(tmp_path / name) for name in ("first", "second"))
    one, one_shard, _ = run(stage, rows, first)
    another = FetchShard(stage.config.model_copy(update={"concurrency": 2, "engine": "stream"}))
    two, two_shard, _ = run(another, rows, second)
    assert one == two
    assert one_shard.outputs == two_shard.outputs


def test_rejected_row_has_no_bytes(stage: FetchShard, rows: pa.Table, tmp_path: Path) -> None:
    table, _, _ = run(stage, rows, RunFolder(tmp_path / "run"))
    for row in table.to_pylist():
        bytes_facts = [row[name] for name in ("sha256", "tar", "offset", "nbytes")]
        assert all(fact is None for fact in bytes_facts) == (row["reason"] is not None)


def test_volatile_facts_go_to_the_log(stage: FetchShard, rows: pa.Table, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run(stage, rows, folder)
    with folder.open("log/fetch-00007.parquet") as file:
        log = pq.read_table(file).to_pylist()
    assert [row["id"] for row in log] == rows.column("id").to_pylist()
    assert log[0]["address"] == "127.0.0.1"
    assert log[0]["content_type"] == "image/jpeg"
    assert log[3]["address"] is None  # it was never asked for
    assert all(row["attempts"] == 1 for row in log)


def test_local_rows_never_reach_the_network(site: HostileSite, tmp_path: Path) -> None:
    row = {"id": "0" * 16, "url": site.url("ok"), "local_path": str(tmp_path / "gone.jpg")}
    rows = pa.Table.from_pylist([row], ROWS)
    table, _, _ = run(FetchShard(settings()), rows, RunFolder(tmp_path / "run"))
    assert table.column("reason").to_pylist() == ["unreadable"]
    assert not site.hits


def test_changed_local_bytes_are_fetched(
    stage: FetchShard, site: HostileSite, tmp_path: Path
) -> None:
    (tmp_path / "old.jpg").write_bytes(picture(seed=7))
    digest = f"sha256:{hashlib.sha256(picture()).hexdigest()}"
    claims = [(64, 64), (64, 64), (10, 10), (None, None)]
    (tmp_path / "as-served.jpg").write_bytes(picture())
    rows = []
    for i, (width, height) in enumerate(claims):
        path = tmp_path / ("as-served.jpg" if i == 3 else "old.jpg")
        row = {"id": f"{i:016x}", "url": site.url(f"ok?{i}"), "local_path": str(path)}
        claimed = {"claimed_width": width, "claimed_height": height}
        rows.append({**row, "local_digest": digest, **claimed})
    table = pa.Table.from_pylist(rows)
    bounds = (Bound("width", "min", 64, Reason.TOO_SMALL),)
    folder = RunFolder(tmp_path / "run")
    result, _, advanced = run(FetchShard(stage.config, bounds), table, folder)
    # claims may spare the request
    assert result["reason"].to_pylist() == [None, None, "too_small", None]
    assert result["sha256"].to_pylist() == [digest[7:], digest[7:], None, digest[7:]]
    assert result["http_status"].to_pylist() == [200, 200, None, None]
    assert advanced == count_reasons(result)
    assert set(site.hits) == {"ok?0", "ok?1"}
    with folder.open("log/fetch-00007.parquet") as file:
        details = pq.read_table(file)["detail"].to_pylist()
    assert details[0] == "on disk: not the bytes that were served, by their sha256"
    assert details[3] is None


def test_malformed_responses_fit_the_tables(
    stage: FetchShard, site: HostileSite, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    urls = [site.url("bad-bytes"), site.url("garbage"), site.url("status/999"), "http://\0/"]
    rows = [{"id": f"{i:016x}", "url": url} for i, url in enumerate(urls)]
    table, _, _ = run(stage, pa.Table.from_pylist(rows, ROWS), folder)
    assert table.column("reason").to_pylist()[1:] == ["bad_response", "http_other", "bad_url"]
    with folder.open("log/fetch-00007.parquet") as file:
        assert pq.read_table(file).num_rows == 4


def test_empty_shard_gives_an_empty_tar(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    table, _, _ = run(FetchShard(settings()), ROWS.empty_table(), folder)
    assert table.num_rows == 0
    with tarfile.open(fileobj=io.BytesIO(folder.read("images/part-00007.tar"))) as tar:
        assert tar.getnames() == []


def test_fetch_shard_leaves_no_scratch_files(rows: pa.Table, tmp_path: Path) -> None:
    run(FetchShard(settings()), rows, RunFolder(tmp_path / "run"))
    folder = tmp_path / "run"
    paths = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix() for path in paths}
    files.remove(".tmp-turns")  # shared by the workers of a run, and removed at its end
    assert files == {"images/part-00007.tar", "log/fetch-00007.parquet"}


def test_fetch_shard_pickles(stage: FetchShard) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage


def test_fetch_columns_are_columns_of_the_ledger() -> None:
    ledger = {column.name: column.type for column in LEDGER}
    assert {field.name: field.type for field in SCHEMA}.items() <= ledger.items()


def test_claims_out_of_bounds_spare_the_request(
    stage: FetchShard, site: HostileSite, tmp_path: Path
) -> None:
    bounds = (
        Bound("width", "min", 100, Reason.TOO_SMALL),
        Bound("punsafe", "max", 0.5, Reason.ABOVE_MAXIMUM),
    )
    (tmp_path / "own.png").write_bytes(picture("PNG", 100))
    (tmp_path / "small.png").write_bytes(picture("PNG"))
    claims = [(99, 50, 0.0), (1000, 1000, 0.6), (1000, 1000, 0.1), (None, None, None)]
    rows = []
    for i, (width, height, unsafe) in enumerate(claims):
        row = {"id": f"{i:016x}", "url": site.url(f"ok?{i}"), "punsafe": unsafe}
        rows.append({**row, "claimed_width": width, "claimed_height": height})
    own = {"id": "f" * 16, "url": "file:own.png", "local_path": str(tmp_path / "own.png")}
    rows.append({**own, "claimed_width": 1, "punsafe": 1.0})
    own |= {"id": "e" * 16, "local_path": str(tmp_path / "small.png")}
    rows.append({**own, "claimed_width": 1000})
    table = pa.Table.from_pylist(rows, ROWS_WITH_CLAIMS)
    result, _, advanced = run(FetchShard(stage.config, bounds), table, RunFolder(tmp_path / "run"))
    # claims of local files are ignored, since their bytes cost nothing; their headers are not
    expected = ["too_small", "above_maximum", "smaller_than_claimed", "too_small", None]
    expected.append("too_small")
    assert result.column("reason").to_pylist() == expected
    assert result.column("http_status").to_pylist() == [None, None, 200, 200, None, None]
    assert result.column("nbytes").to_pylist()[:4] == [None] * 4
    assert advanced == count_reasons(result)
    assert set(site.hits) == {"ok?2", "ok?3"}


def test_bounds_beyond_the_header_are_left_to_later_stages() -> None:
    allow = {"mode": ["RGB"], "format": ["PNG"]}
    filters = {"min": {"width": 64, "hf_ratio_032": 0.1}, "allow": allow}
    recipe = Recipe.parse({"name": "r", "filters": filters}, "here")
    assert [bound.column for bound in recipe.early_bounds] == ["format", "animated", "width"]
    assert recipe.override(["fetch.probe=false"]).early_bounds == ()


def test_retry_of_local_rows_keeps_the_others(tmp_path: Path) -> None:
    folder, stage = RunFolder(tmp_path / "run"), FetchShard(settings(), retry=("unreadable",))
    rows = [
        {"id": f"{i:016x}", "url": f"file:{i}", "local_path": str(tmp_path / f"{i}")}
        for i in range(3)
    ]
    table = pa.Table.from_pylist(rows, ROWS)
    for i in (0, 2):
        (tmp_path / f"{i}").write_bytes(picture(seed=i))
    before, _, _ = run(stage, table, folder)
    assert before.column("reason").to_pylist() == [None, "unreadable", None]
    (tmp_path / "1").write_bytes(picture(seed=1))
    (tmp_path / "2").unlink()  # it was read once
    after, _, _ = run(stage, table, folder)
    data = folder.read("images/part-00007.tar")
    found = [data[row["offset"] : row["offset"] + row["nbytes"]] for row in after.to_pylist()]
    assert found == [picture(seed=i) for i in range(3)]
