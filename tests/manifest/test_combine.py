import os
from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import ManifestError
from curate.manifest import (
    Manifest,
    export_manifest,
    find_faults,
    merge,
    open_manifests,
    read_manifest,
    sample,
)


def changed(table: pa.Table, column: str, values: list) -> pa.Table:
    return table.set_column(
        table.column_names.index(column), column, pa.array(values, table.schema.field(column).type)
    )


def test_merged_rows_still_point_at_their_bytes(run, pictures: Path, tmp_path: Path) -> None:
    run(str(tmp_path / "far/run"))
    first, second = (
        [read_manifest(tmp_path / "far/run/manifest/train.parquet")],
        open_manifests(str(pictures)),
    )
    merged = merge([*first, *second], tmp_path / "near/all.parquet")
    assert (merged.images, merged.repeated, merged.to_test) == (10, 0, 0)
    opened = read_manifest(tmp_path / "near/all.parquet")
    assert list(find_faults(opened, check_bytes=True)) == []
    assert opened.column("id") == [
        id_ for manifest in (*first, *second) for id_ in manifest.column("id")
    ]
    assert not any(tar.startswith("/") for tar in opened.column("tar"))


def test_merge_keeps_each_image_once_by_id_and_by_bytes(table: pa.Table, tmp_path: Path) -> None:
    same_bytes = changed(table.slice(0, 1), "id", ["f" * 16])
    same_id = changed(table.slice(1, 1), "sha256", ["e" * 64])
    others = pa.concat_tables([same_bytes, same_id])
    merged = merge([Manifest("a", table, {}), Manifest("b", others, {})], tmp_path / "out.parquet")
    assert (merged.images, merged.repeated) == (4, 2)
    assert read_manifest(tmp_path / "out.parquet").table.select(["id", "sha256"]) == table.select(
        ["id", "sha256"]
    )


def test_merge_makes_images_test_that_any_manifest_has_as_test(
    table: pa.Table, tmp_path: Path
) -> None:
    second = changed(table.slice(1, 2), "split", ["test", "test"])
    for order in (1, -1):
        manifests = [Manifest("a", table, {}), Manifest("b", second, {})][::order]
        assert merge(manifests, tmp_path / "out.parquet").to_test == (2 if order == 1 else 0)
        opened = read_manifest(tmp_path / "out.parquet")
        splits = dict(zip(opened.column("id"), opened.column("split"), strict=True))
        assert [splits[id_] for id_ in table["id"].to_pylist()] == [
            "train",
            "test",
            "test",
            "train",
        ]


def test_merge_keeps_only_shared_metadata(table: pa.Table, tmp_path: Path) -> None:
    first = Manifest("a", table.slice(0, 2), {"recipe_name": "demo", "seed": "1"})
    second = Manifest("b", table.slice(2), {"recipe_name": "demo", "seed": "2"})
    merge([first, second], tmp_path / "out.parquet")
    metadata = read_manifest(tmp_path / "out.parquet").metadata
    assert (metadata["recipe_name"], metadata.get("seed")) == ("demo", None)
    assert metadata["merged"] == f"{first.fingerprint} {second.fingerprint}"


def test_merge_of_images_on_another_storage_is_refused(run, tmp_path: Path) -> None:
    run("memory://combine/run")
    far = read_manifest("memory://combine/run/manifest/train.parquet")
    with pytest.raises(ManifestError, match="lie on another storage"):
        merge([far], tmp_path / "out.parquet")
    export_manifest(far, tmp_path / "published.parquet")
    assert (
        merge([read_manifest(tmp_path / "published.parquet")], tmp_path / "out.parquet").images == 4
    )
    merge([far], "memory://combine/all/out.parquet")
    assert (
        list(find_faults(read_manifest("memory://combine/all/out.parquet"), check_bytes=True)) == []
    )


def big(count: int) -> Manifest:
    rows = {"id": [f"{n:016x}" for n in range(count)]}
    rows["url"] = [f"http://a/{n}" for n in range(count)]
    rows["sha256"] = [f"{n:064x}" for n in range(count)]
    rows |= {"split": ["train"] * count, "format": ["PNG"] * count, "bpp": [8.0] * count}
    rows |= {name: [1] * count for name in ("nbytes", "width", "height", "pixels")}
    # 5 of the first, 20 of the second, the rest without one
    rows["category"] = ["Map"] * 5 + ["Food"] * 20 + [None] * (count - 25)
    return Manifest("big", pa.table(rows), {"seed": "0"})


def drawn(manifest: Manifest, count: int, folder: Path, **options) -> list[str]:
    sample([manifest], count, folder / "out.parquet", **options)
    return read_manifest(folder / "out.parquet").column("id")


def test_sample_is_the_same_for_a_seed_and_grows_by_adding(tmp_path: Path) -> None:
    manifest = big(100)
    ten = drawn(manifest, 10, tmp_path)
    assert len(set(ten)) == 10
    assert ten == sorted(ten)  # in the order that they had
    turned = Manifest("big", manifest.table.take(list(range(99, -1, -1))), {})
    assert sorted(drawn(turned, 10, tmp_path)) == ten
    assert set(ten) < set(drawn(manifest, 30, tmp_path))
    assert drawn(manifest, 10, tmp_path, seed=1) != ten
    assert drawn(manifest, 100, tmp_path) == manifest.column("id")


def test_sample_by_column_is_as_even_as_possible(tmp_path: Path) -> None:
    counts = sample([big(100)], 24, tmp_path / "out.parquet", by="category")
    assert sorted(counts.items())[0] == ("Food", counts["Food"])
    assert counts["Map"] == 5  # all there are
    assert {counts["Food"], counts["None"]} == {9, 10}
    assert (
        read_manifest(tmp_path / "out.parquet").metadata["sample"]
        == "24 of 100, seed 0, by category"
    )


def test_sample_of_too_many_rows_or_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="can't draw 101 of 100 rows"):
        sample([big(100)], 101, tmp_path / "out.parquet")
    with pytest.raises(ManifestError, match="can't sample by 'colour': the columns are id, url"):
        sample([big(100)], 1, tmp_path / "out.parquet", by="colour")


def ask(*args, **options) -> list[dict]:
    pytest.importorskip("duckdb")
    from curate.manifest.query import query

    return query(*args, **options).to_pylist()


def test_query_sees_all_rows(pictures: Path) -> None:
    (row,) = ask("SELECT count(*) AS n, max(phash) AS p FROM images", open_manifests(str(pictures)))
    assert row == {"n": 6, "p": 2**64 - 1}


def test_query_of_a_ledger_keeps_its_images_reachable(run, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table, _ = run(str(tmp_path / "it's/run"))
    ledger = table.append_column("status", pa.array(["kept", "kept", "rejected", "rejected"]))
    (tmp_path / "it's/run/ledger").mkdir()
    pq.write_table(ledger, tmp_path / "it's/run/ledger/part-00000.parquet")
    manifests = [read_manifest(tmp_path / "it's/run/manifest/train.parquet")]
    sql = "SELECT * EXCLUDE (status) FROM ledger WHERE status = 'kept'"
    from curate.manifest.query import query, save

    pytest.importorskip("duckdb")
    out = tmp_path / "some/kept.parquet"
    save(query(sql, manifests, run=str(tmp_path / "it's/run"), out=out), out, manifests)
    assert list(find_faults(read_manifest(out), check_bytes=True)) == []


def test_query_of_a_fifo_in_a_ledger_ends_at_once(run, tmp_path: Path) -> None:
    run(str(tmp_path / "run"))
    (tmp_path / "run/ledger").mkdir()
    os.mkfifo(tmp_path / "run/ledger/part-00000.parquet")
    manifests = [read_manifest(tmp_path / "run/manifest/train.parquet")]
    from curate.manifest.query import query

    pytest.importorskip("duckdb")
    with pytest.raises(ManifestError, match=r"ledger/part-00000.parquet: a FIFO"):
        query("SELECT * FROM ledger", manifests, run=str(tmp_path / "run"))


def test_query_of_a_folder_without_ledger_has_its_images(run, tmp_path: Path) -> None:
    run(str(tmp_path / "run"))
    manifests = [read_manifest(tmp_path / "run/manifest/train.parquet")]
    from curate.manifest.query import query

    pytest.importorskip("duckdb")
    found = query("SELECT id FROM images", manifests, run=str(tmp_path / "run"))
    assert len(found) == len(manifests[0])


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM '{}'", "SELECT * FROM read_csv('{}')", "COPY images TO '{}' (FORMAT csv)"],
)
def test_query_reaches_no_file(pictures: Path, tmp_path: Path, sql: str) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(
        ManifestError, match=r"file system operations are disabled|disabled by configuration"
    ):
        ask(sql.format(tmp_path / "secret.csv"), open_manifests(str(pictures)))
    assert (tmp_path / "secret.csv").read_text() == "a\n1\n"


def test_query_with_wrong_sql_gives_an_error_of_one_line(pictures: Path) -> None:
    with pytest.raises(ManifestError, match=r"colour.*the tables are images") as caught:
        ask("SELECT colour FROM images", open_manifests(str(pictures)))
    assert "\n" not in str(caught.value)


def test_save_chooses_the_format_by_suffix(pictures: Path, tmp_path: Path) -> None:
    from curate.manifest.query import query, save

    pytest.importorskip("duckdb")
    manifests = open_manifests(str(pictures))
    few = query("SELECT url, caption, 0.5::DOUBLE AS x FROM images ORDER BY url LIMIT 1", manifests)
    for suffix in ("csv", "json", "parquet"):
        save(few, tmp_path / f"few.{suffix}", manifests)
    assert (tmp_path / "few.csv").read_text() == 'url,caption,x\nhttp://site/0,"a, ü",0.5\n'
    assert (
        tmp_path / "few.json"
    ).read_text() == '{"url": "http://site/0", "caption": "a, ü", "x": 0.5}\n'
    with pytest.raises(ManifestError, match="no manifest"):
        read_manifest(tmp_path / "few.parquet")
    out = tmp_path / "deep/er/train.parquet"
    save(query("SELECT * FROM images WHERE split = 'train'", manifests, out=out), out, manifests)
    assert list(find_faults(read_manifest(out), check_bytes=True)) == []
    with pytest.raises(ManifestError, match=r"name it \.csv, \.json or \.parquet"):
        save(few, tmp_path / "few.txt", manifests)


def test_manifest_commands_print_their_results(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from curate.cli.app import app

    def curate(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    one, two = str(tmp_path / "one.parquet"), str(tmp_path / "two.parquet")
    assert "2 images in" in curate(
        "manifest", "sample", str(pictures), "2", "-o", one, "--by", "split"
    )
    output = curate("manifest", "merge", one, str(pictures), "-o", two)
    assert "6 images in" in output
    assert "2 repeated rows left out" in output
    pytest.importorskip("duckdb")
    assert "│ 6 │" in curate("manifest", "query", "SELECT count(*) AS n FROM images", two)


def test_merge_keeps_each_tile_of_an_image_once(table: pa.Table, tmp_path: Path) -> None:
    """Tiles of an image have its bytes in common, and differ by their boxes."""
    tiles = table.take(pa.array([0, 0, 0]))
    tiles = changed(tiles, "id", ["a" * 16, "b" * 16, "c" * 16])
    tiles = changed(tiles, "tile_of", table["id"][:1].to_pylist() * 3)
    tiles = changed(changed(tiles, "tile_x", [0, 8, 8]), "tile_y", [0, 0, 0])
    merged = merge([Manifest("a", tiles, {})], tmp_path / "out.parquet")
    assert (merged.images, merged.repeated) == (2, 1)
    assert read_manifest(tmp_path / "out.parquet").column("id") == ["a" * 16, "b" * 16]
