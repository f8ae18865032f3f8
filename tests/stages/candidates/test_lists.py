"""Edges of lists: headers, what parts fields, compression, nested columns, claims of 0."""

import csv
import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import InputError
from curate.recipe import Candidates, Recipe
from curate.stages.candidates import CandidateReader


def read(path: Path, **settings: object) -> list[dict]:
    reader = CandidateReader([str(path)], Candidates(**settings))
    return [row for table in reader for row in table.to_pylist()]


def urls(path: Path, **settings: object) -> list[str]:
    return [row["url"] for row in read(path, **settings)]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


ROWS = "http://a/1\tone, and more\nhttp://a/2\ttwo\n"


def test_zstd_list_of_two_frames_is_read(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(b"http://a/1\nhttp://a/2\n")
    frame = sink.getvalue().to_pybytes()
    for name in ("list.txt.zst", "list.txt.zstd", "list.txt"):
        assert len(urls(write(tmp_path / name, frame))) == 2
    second = zstd(b"http://a/3\n")
    path = write(tmp_path / "two.txt.zst", frame + second)
    assert urls(path) == ["http://a/1", "http://a/2", "http://a/3"]


@pytest.mark.parametrize("damage", [b"plain text\n", b"", None])
def test_damaged_zstd_list_is_refused(tmp_path: Path, damage: bytes | None) -> None:
    text = "".join(f"http://a/{n * 7919}\n" for n in range(999)).encode()
    path = write(tmp_path / "list.txt.zst", zstd(text)[:-9] if damage is None else damage)
    if damage == b"":
        assert urls(path) == []
        return
    with pytest.raises(InputError, match=r"list\.txt\.zst"):
        read(path)


def test_list_is_unpacked_by_its_bytes_and_in_parts_of_a_folder(tmp_path: Path) -> None:
    assert urls(write(tmp_path / "list.txt", gzip.compress(b"http://a/1\n"))) == ["http://a/1"]
    (tmp_path / "parts").mkdir()
    for number in range(2):
        packed = gzip.compress(b"http://a/%d\n" % number)
        write(tmp_path / f"parts/{number}.txt.gz", packed)
    assert urls(tmp_path / "parts") == ["http://a/0", "http://a/1"]


def test_header_with_an_open_quote_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.stages.candidates.lists._MAX_LENGTH", 64)
    (tmp_path / "list.csv").write_text('url,"cap\n' + "a caption\n" * 20)
    limit = csv.field_size_limit()
    try:
        with pytest.raises(InputError, match=r"can't read .*list\.csv: field larger than"):
            list(CandidateReader([str(tmp_path / "list.csv")], Candidates()))
    finally:
        csv.field_size_limit(limit)  # which the reader sets for the process


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_list_without_a_header_loses_no_row_to_the_remedy(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / f"list.{form}", ROWS.replace(", and more", ""))
    with pytest.raises(InputError, match=r"no header.*candidates\.columns\.url=1"):
        read(path)
    with pytest.raises(InputError, match="no header"):  # the remedy of earlier versions
        read(path, columns={"url": "http://a/1"})
    rows = read(path, columns={"url": "1", "caption": "2"})
    found = [(row["url"], row["caption"]) for row in rows]
    assert found == [("http://a/1", "one"), ("http://a/2", "two")]
    recipe = Recipe.load("hq50k").override(["candidates.columns.url=1"])
    assert len(next(iter(CandidateReader([str(path)], recipe.candidates)))) == 2


def test_column_of_urls_that_is_not_the_first_is_named_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "7,http://a/1\n8,http://a/2\n")
    with pytest.raises(InputError, match=r"candidates\.columns\.url=2"):
        read(path)
    assert urls(path, columns={"url": "2"}) == ["http://a/1", "http://a/2"]


@pytest.mark.parametrize(
    "text",
    [
        "caption;url\na, b;http://a/1\n",
        "sep=;\ncaption;url\na;http://a/1\n",
        '"sep=|"\r\ncaption|url\r\na|http://a/1\r\n',
        "\ufeffsep=\t\ncaption\turl\na\thttp://a/1\n",
        "caption\turl\na\thttp://a/1\n",
        "caption|url\na|http://a/1\n",
        '"caption";"url"\n"a;b";"http://a/1"\n',
        "caption,url,\na,http://a/1,,\n",
    ],
)
def test_fields_are_parted_as_the_header_shows(tmp_path: Path, text: str) -> None:
    for form in ("csv", "tsv"):
        assert urls(write(tmp_path / f"list.{form}", text)) == ["http://a/1"]


def test_semicolons_in_addresses_part_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "url\nhttp://a/1;x\nhttp://a/2|y\n")
    assert urls(path) == ["http://a/1;x", "http://a/2|y"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_two_columns_of_urls_with_one_name_are_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"list.{form}"
    if form == "csv":
        write(path, "url,url\nhttp://page/1,http://a/1\n")
    else:
        columns = [pa.array(["http://page/1"]), pa.array(["http://a/1"])]
        pq.write_table(pa.Table.from_arrays(columns, ["url", "url"]), path)
    with pytest.raises(InputError, match="several columns 'url': rename all but one"):
        read(path)


def test_of_other_columns_with_one_name_the_first_counts(tmp_path: Path) -> None:
    columns = [pa.array([value]) for value in ("http://a/1", "first", "second")]
    pq.write_table(
        pa.Table.from_arrays(columns, ["url", "caption", "caption"]), tmp_path / "list.parquet"
    )
    write(tmp_path / "list.csv", "url,caption,caption\nhttp://a/1,first,second\n")
    for form in ("csv", "parquet"):
        assert read(tmp_path / f"list.{form}")[0]["caption"] == "first"


@pytest.mark.parametrize("indent", [1, 4])
@pytest.mark.parametrize("content", [{"url": "http://a/1"}, {"a": [1], "url": "x"}, [{"url": "x"}]])
def test_json_over_several_lines_is_refused_with_its_remedy(
    tmp_path: Path, indent: int, content: object
) -> None:
    for start in ("", "\n\n"):
        path = write(tmp_path / "list.json", start + json.dumps(content, indent=indent))
        with pytest.raises(InputError, match="write one object a line, as jq -c"):
            read(path)


def test_nested_column_is_named_by_its_path(tmp_path: Path) -> None:
    records = [
        {"image": {"url": f"http://a/{n}", "size": {"width": 7}}, "text": "x"} for n in range(2)
    ]
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "list.parquet")
    write(tmp_path / "list.jsonl", "".join(f"{json.dumps(record)}\n" for record in records))
    columns = {"url": "image.url", "claimed_width": "image.size.width"}
    for form in ("parquet", "jsonl"):
        rows = read(tmp_path / f"list.{form}", columns=columns)
        assert [(row["url"], row["claimed_width"], row["caption"]) for row in rows] == [
            ("http://a/0", 7, "x"),
            ("http://a/1", 7, "x"),
        ]
    with pytest.raises(InputError, match=r"among image, text, image\.url, image\.size"):
        read(tmp_path / "list.parquet")


@pytest.mark.parametrize("claim", ["0", "0.0", "-3", "0.4", "", "unknown", "nan"])
def test_claimed_size_that_no_image_has_is_unknown(tmp_path: Path, claim: str) -> None:
    path = write(tmp_path / "list.csv", f"url,width,height\nhttp://a/1,{claim},{claim}\n")
    (row,) = read(path)
    assert (row["claimed_width"], row["claimed_height"]) == (None, None)


def test_list_that_is_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(InputError, match="a FIFO, and no regular file"):
        read(tmp_path / "list.txt")
