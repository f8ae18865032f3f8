import csv
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import ManifestError
from curate.manifest import Manifest, export_manifest, find_faults, read_manifest


def changed(table: pa.Table, column: str, values: list) -> pa.Table:
    return table.set_column(
        table.column_names.index(column), column, pa.array(values, table.schema.field(column).type)
    )


@pytest.fixture
def splits(run, tmp_path: Path) -> list[Manifest]:
    """Train and test of a run."""
    table, _ = run(str(tmp_path / "run"))
    test = changed(table.slice(3), "split", ["test"])
    return [
        Manifest(
            str(tmp_path / f"run/manifest/{name}.parquet"),
            rows,
            {"recipe_name": "demo", "root": ".."},
        )
        for name, rows in (("train", table.slice(0, 3)), ("test", test))
    ]


def test_export_to_parquet_is_a_manifest_without_places(
    splits: list[Manifest], tmp_path: Path
) -> None:
    assert export_manifest(splits, tmp_path / "out.parquet").images == 4
    published = read_manifest(tmp_path / "out.parquet")
    assert list(find_faults(published)) == []
    assert published.table["split"].to_pylist() == ["train", "train", "train", "test"]
    assert published.metadata["recipe_name"] == "demo"
    for column in ("tar", "offset"):
        assert published.table[column].null_count == 4
    with pytest.raises(ManifestError, match="published manifest"):
        published.read_bytes(0)
    assert b"part-00000.tar" not in (tmp_path / "out.parquet").read_bytes()


def test_export_to_csv_has_the_same_values(splits: list[Manifest], tmp_path: Path) -> None:
    assert export_manifest(splits, tmp_path / "out.csv").images == 4
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    whole = pa.concat_tables([m.table for m in splits])
    assert set(rows[0]) == set(whole.column_names) - {"tar", "offset"}
    for row, original in zip(rows, whole.to_pylist(), strict=True):
        # commas, quotes and line breaks come through
        assert row["caption"] == (original["caption"] or "")
        assert (row["url"], int(row["phash"]), float(row["bpp"])) == (
            original["url"],
            original["phash"],
            original["bpp"],
        )


def test_export_to_txt_is_one_url_a_line(splits: list[Manifest], tmp_path: Path) -> None:
    train, test = splits
    urls = ["HTTP://A.com/x", "https://a.com/line\nbreak\t", "http://ü.com/a b/\u2028?q=ä%20"]
    train = Manifest(train.path, changed(train.table, "url", urls), train.metadata)
    assert export_manifest([train, test], tmp_path / "out.txt").images == 4
    expected = (
        "HTTP://A.com/x\nhttps://a.com/linebreak\n"
        "http://ü.com/a%20b/%E2%80%A8?q=%C3%A4%20\nhttp://a/3\n"
    )
    assert (tmp_path / "out.txt").read_bytes() == expected.encode()


@pytest.mark.parametrize("suffix", ["tsv", "parquet"])
def test_export_of_urls_has_hashes_for_downloaders(
    splits: list[Manifest], tmp_path: Path, suffix: str
) -> None:
    urls = ["http://a/tab\tand\nline", 'http://a/"quoted"', "http://a/ü"]
    train = Manifest(splits[0].path, changed(splits[0].table, "url", urls), {})
    path = tmp_path / f"urls.{suffix}"
    assert export_manifest([train, splits[1]], path, "urls").images == 4
    read = pd.read_csv(path, sep="\t") if suffix == "tsv" else pd.read_parquet(path)
    assert read["url"].tolist() == [
        "http://a/taband" + "line",
        'http://a/"quoted"',
        "http://a/%C3%BC",
        "http://a/3",
    ]
    assert read["sha256"].tolist() == train.column("sha256") + splits[1].column("sha256")
    assert read["split"].tolist() == ["train"] * 3 + ["test"]


def test_export_of_urls_to_unknown_suffix_is_refused(
    splits: list[Manifest], tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=r"name it \.txt, \.tsv or \.parquet"):
        export_manifest(splits, tmp_path / "out.json", "urls")


def test_export_of_urls_without_web_address_is_refused(
    splits: list[Manifest], tmp_path: Path
) -> None:
    train = splits[0]
    local = Manifest(
        train.path,
        changed(train.table, "url", ["http://a/0", "file:pics/a.jpg", "file:pics/b.jpg"]),
        {},
    )
    with pytest.raises(
        ManifestError,
        match=r"2 of 3 images have no web address, such as file:pics/a.jpg: use --to manifest",
    ):
        export_manifest([local], tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
    assert export_manifest([local], tmp_path / "out.csv").images == 3


@pytest.mark.parametrize("name", ["out", "out.json", "out.parquet.gz"])
def test_export_of_unknown_kind_is_refused(
    splits: list[Manifest], tmp_path: Path, name: str
) -> None:
    with pytest.raises(
        ManifestError,
        match="does not tell what to export: name one with --to, of manifest, csv, urls",
    ):
        export_manifest(splits, tmp_path / name)
    with pytest.raises(ManifestError, match="no kind of export 'zip'"):
        export_manifest(splits, tmp_path / name, "zip")


def test_export_fills_columns_that_one_split_lacks_with_null(
    splits: list[Manifest], tmp_path: Path
) -> None:
    train, test = splits
    wider = Manifest(
        train.path, train.table.append_column("similarity", pa.array([0.1, None, 0.3])), {}
    )
    assert export_manifest([wider, test], tmp_path / "out.parquet").images == 4
    assert pq.read_table(tmp_path / "out.parquet")["similarity"].to_pylist() == [
        0.1,
        None,
        0.3,
        None,
    ]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "txt"])
def test_export_of_a_published_manifest_is_the_same_again(
    splits: list[Manifest], tmp_path: Path, suffix: str
) -> None:
    export_manifest(splits, tmp_path / "first.parquet")
    first = read_manifest(tmp_path / "first.parquet")
    bare = Manifest(first.path, first.table.drop_columns(["tar", "offset"]), first.metadata)
    assert export_manifest([bare], tmp_path / f"second.{suffix}").images == 4
    assert export_manifest([first], tmp_path / "again.parquet").images == 4
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "first.parquet").read_bytes()


def test_export_of_a_list_to_object_store_is_readable(splits: list[Manifest]) -> None:
    assert export_manifest(splits, "memory://exports-test/out.parquet").images == 4
    assert len(read_manifest("memory://exports-test/out.parquet")) == 4
