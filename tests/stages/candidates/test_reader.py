import bz2
import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, Reason
from curate.recipe import Candidates
from curate.stages.candidates import CandidateReader, candidate_id
from curate.stages.candidates.reader import split

STEADY = settings(deadline=None, derandomize=True, max_examples=80)

_LINES = ["", "  ", "\t", "http://a/1", "http://a/1", "HTTP://A:80/1", "http://a/2"]
lines = st.one_of(
    st.sampled_from([*_LINES, "no url", "ftp://a/b"]),
    st.builds("http://example.com/{}".format, st.integers(0, 30)),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20),
)


def write(path: Path, text: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def read(*inputs: str, **settings_: object) -> list[dict]:
    reader = CandidateReader(inputs, Candidates(**settings_))
    return [row for table in reader for row in table.to_pylist()]


def urls(*inputs: str, **settings_: object) -> list[str]:
    return [row["url"] for row in read(*inputs, **settings_)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that the examples of a test share."""
    return tmp_path_factory.mktemp("lists")


# Every line is accounted for


@pytest.mark.parametrize(
    ("rows", "most", "sizes"),
    [
        (0, 1000, []),
        (30, 1000, [30]),
        (51, 1000, [50, 1]),
        (800, 1000, [50] * 16),
        (801, 1000, [51] * 15 + [36]),
        (15_999, 1000, [1000] * 15 + [999]),
        (16_001, 1000, [1000] * 16 + [1]),
        (26, 6, [6, 6, 6, 6, 2]),
        (120, 100, [50, 50, 20]),
    ],
)
def test_split_of_short_list_is_even(rows: int, most: int, sizes: list[int]) -> None:
    shards = list(split(({"url": str(row)} for row in range(rows)), most))
    assert [len(shard) for shard in shards] == sizes
    numbers = [int(row["url"]) for shard in shards for row in shard]
    assert numbers == list(range(rows))


@STEADY
@given(st.lists(lines, max_size=40), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_line_of_text_is_a_row_or_is_counted(
    place: Path, given_: list[str], end: str, last: bool
) -> None:
    path = write(place / "list.txt", end.join(given_) + (end if last and given_ else ""))
    reader = CandidateReader([path], Candidates(shard_size=7))
    shards = list(reader)
    notes = reader.notes()
    count = len(given_) if last or not given_ or given_[-1] else len(given_) - 1
    assert sum(map(len, shards)) + notes["blank"] + notes["repeated"] == count
    assert all(len(shard) == 7 for shard in shards[:-1])
    ids = [id_ for shard in shards for id_ in shard["id"].to_pylist()]
    assert len(ids) == len(set(ids))
    assert all(len(id_) == 16 for id_ in ids)


@STEADY
@given(
    st.lists(st.tuples(st.integers(0, 9), st.text(max_size=12)), max_size=20),
    st.sampled_from(["csv", "jsonl", "parquet"]),
)
def test_captions_are_read_unchanged(place: Path, rows: list[tuple[int, str]], form: str) -> None:
    table = []
    for n, text in rows:
        caption = text.replace("\r", "").replace("\0", "").encode(errors="replace").decode()
        table.append({"url": f"http://example.com/{n}", "caption": caption})
    path = place / f"captions.{form}"
    match form:
        case "csv":
            text = "url,caption\n"
            for row in table:
                text += '{},"{}"\n'.format(row["url"], row["caption"].replace('"', '""'))
            write(path, text)
        case "jsonl":
            write(path, "".join(json.dumps(row) + "\n" for row in table))
        case _:
            schema = pa.schema({"url": pa.string(), "caption": pa.string()})
            pq.write_table(pa.Table.from_pylist(table, schema), path)
    first: dict[str, str] = {}
    for row in table:
        first.setdefault(row["url"], row["caption"])
    found = {row["url"]: row["caption"] for row in read(str(path))}
    assert found == {url: text or None for url, text in first.items()}


@STEADY
@given(
    st.binary(max_size=200),
    st.sampled_from(["txt", "csv", "tsv", "jsonl", "parquet", "txt.gz", "txt.xz", "txt.bz2"]),
)
def test_any_bytes_give_candidates_or_an_input_error(place: Path, data: bytes, form: str) -> None:
    headers = {"csv": b"url,caption\n", "tsv": b"URL\tTEXT\n"}
    headers["jsonl"] = b'{"url": "http://a/b"}\n'
    path = write(place / f"any.{form}", headers.get(form, b"") + data)
    try:
        read(path)
    except InputError as error:
        assert path in str(error)


names = st.sampled_from(["url", "caption", "width", "similarity", "license"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(names, x, max_size=4),
    max_leaves=8,
)


@STEADY
@given(json_values)
def test_any_json_line_is_a_candidate_or_counted(place: Path, value: object) -> None:
    path = write(place / "any.jsonl", '{"url": "http://a/b"}\n' + json.dumps(value) + "\n")
    reader = CandidateReader([path], Candidates())
    rows = [row for table in reader for row in table.to_pylist()]
    assert len(rows) + sum(reader.notes().values()) == 2


# Lists


def test_text_list_with_awkward_lines_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "list.txt",
        b"\xef\xbb\xbfhttp://a.com/first\r\n"
        b"\r\n"
        b'http://a.com/x,y?z="quoted"\r\n'
        b"   http://a.com/spaces   \r\n"
        b"HTTP://A.COM:80/first#again\r\n"
        b"http://a.com/line\xe2\x80\xa8separator\r\n"
        b"http://a.com/last",
    )
    reader = CandidateReader([path], Candidates())
    rows = [row for table in reader for row in table.to_pylist()]
    assert [row["url"] for row in rows] == [
        "http://a.com/first",
        'http://a.com/x,y?z="quoted"',
        "http://a.com/spaces",
        "http://a.com/line\u2028separator",
        "http://a.com/last",
    ]
    assert reader.notes() == {"blank": 1, "repeated": 1}
    assert {row["host"] for row in rows} == {"a.com"}
    assert {row["status"] for row in rows} == {"ok"}


AWKWARD = [
    "http://a.com/x,y;z?a=1,2&b='3'",
    'http://a.com/"quoted"?q="',
    "http://a.com/two  spaces/here.jpg",
    "http://bücher.example/größe.jpg",
    "http://例え.テスト/絵.jpg?キー=値",
    "http://xn--bcher-kva.example/",
    "http://a.com/100%25/%7e?x=%2B+%20",
    "http://a.com/[1]/{2}|3^4`5\\6",
    "http://a.com/tab%09newline%0A",
    "http://a.com/#fragment, with a comma",
    "http://a.com/line\u2028and\u0085separators",
    "http://a.com/" + "long/" * 3000,
]


def awkward_list(form: str, end: str) -> str:
    """Return the URLs above as usual writers of a form write them, with blank lines between."""
    match form:
        case "txt":
            return "".join(f"{url}{end}  {end}" for url in AWKWARD)
        case "jsonl":
            records = [json.dumps({"url": url}, ensure_ascii=False) for url in AWKWARD]
            return "".join(record + end * 2 for record in records)
        case "tsv":
            records = [f"{n}\t{url}" for n, url in enumerate(AWKWARD)]
            return f"n\turl{end}" + "".join(record + end * 2 for record in records)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(["url", "n"])
    for n, url in enumerate(AWKWARD):
        writer.writerow([url, n])
        text.write(end)
    return text.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ["txt", "csv", "tsv", "jsonl"])
def test_awkward_urls_are_read_unchanged(
    tmp_path: Path, form: str, end: str, encoding: str
) -> None:
    path = write(tmp_path / f"list.{form}", awkward_list(form, end).encode(encoding))
    reader = CandidateReader([path], Candidates())
    rows = [row for table in reader for row in table.to_pylist()]
    assert [row["url"] for row in rows] == AWKWARD
    assert {row["reason"] for row in rows} == {None}
    assert reader.notes() == {"blank": len(AWKWARD), "repeated": 0}
    book = "xn--bcher-kva.example"
    assert [row["host"] for row in rows[3:6]] == [book, "xn--r8jz45g.xn--zckzah", book]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]
    + [pa.dictionary(pa.int32(), pa.string())],
)
def test_awkward_urls_in_parquet_are_read_unchanged(tmp_path: Path, kind: pa.DataType) -> None:
    values = [value for url in AWKWARD for value in (url, None, "")]
    table = pa.table({"url": pa.array(values, pa.string()).cast(kind)})
    pq.write_table(table, tmp_path / "list.parquet")
    reader = CandidateReader([str(tmp_path / "list.parquet")], Candidates())
    assert [row["url"] for table in reader for row in table.to_pylist()] == AWKWARD
    assert reader.notes() == {"blank": 2 * len(AWKWARD), "repeated": 0}


@pytest.mark.parametrize("form", ["txt", "csv", "tsv", "jsonl", "parquet"])
def test_bytes_that_are_no_text_reject_only_their_line(tmp_path: Path, form: str) -> None:
    """Latin-1 in a list of UTF-8: the URL is lost, and half a URL is never requested."""
    lines = [b"http://a.com/1", b"http://a.com/gr\xfc\xdfe", b"http://a.com/2"]
    path = tmp_path / f"list.{form}"
    match form:
        case "parquet":
            array = pa.StringArray.from_buffers(3, *pa.array(lines, pa.binary()).buffers()[1:])
            pq.write_table(pa.table({"url": array}), path)
        case "jsonl":
            write(path, b"".join(b'{"url": "%s"}\n' % line for line in lines))
        case _:
            header = [] if form == "txt" else [b"url"]
            write(path, b"\n".join([*header, *lines, b""]))
    rows = read(str(path))
    assert [row["reason"] for row in rows] == [None, Reason.BAD_URL, None]
    assert rows[2]["url"] == "http://a.com/2"


@pytest.mark.parametrize("form", ["txt", "csv", "tsv", "jsonl"])
def test_zeros_and_long_lines_reject_only_their_line(tmp_path: Path, form: str) -> None:
    lines = ["http://a.com/1", "\0" * 5000, "http://a.com/\0/x"]
    lines += ["http://a.com/" + "x" * 10**7, "http://a.com/2"]
    header = "" if form in ("txt", "jsonl") else "url\n"
    body = ['{"url": "%s"}' % line for line in lines] if form == "jsonl" else lines  # noqa: UP031
    rows = read(write(tmp_path / f"list.{form}", header + "\n".join(body) + "\n"))
    assert [row["reason"] for row in rows] in (
        [None, Reason.BAD_URL, None, Reason.BAD_URL, None],
        [None, Reason.BAD_URL, Reason.BAD_URL, Reason.BAD_URL, None],  # JSON has no bare zeros
    )
    assert rows[4]["url"] == "http://a.com/2"
    assert sum(len(row["url"]) for row in rows) < 10**5


@pytest.mark.parametrize("form", ["txt", "csv", "tsv", "jsonl"])
def test_endless_line_raises_before_it_fills_the_memory(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"list.{form}"
    with path.open("wb") as file:
        file.truncate(2**32)
    message = r"line 1 has no end for 16,777,216 characters: is it a list of URLs\?"
    with pytest.raises(InputError, match=message):
        read(str(path))


def test_field_with_many_line_ends_is_read_in_linear_time(tmp_path: Path) -> None:
    text = 'url,caption\nhttp://a.com/1,"' + "\n" * 10**6 + '"\n'
    assert len(read(write(tmp_path / "list.csv", text))) == 1


def test_utf_16_without_a_mark_is_rejected(tmp_path: Path) -> None:
    data = "http://a.com/1\nhttp://a.com/2\n".encode("utf-16-le")
    rows = read(write(tmp_path / "list.txt", data))
    assert {row["reason"] for row in rows} == {Reason.BAD_URL}


def test_second_reading_gives_the_same_rows_and_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "list.txt", "http://a/1\n\nhttp://a/1\n")
    reader = CandidateReader([path], Candidates())
    first = [table.to_pylist() for table in reader]
    assert [table.to_pylist() for table in reader] == first
    assert reader.notes() == {"blank": 1, "repeated": 1}


def test_bad_lines_are_rejected_not_lost(tmp_path: Path) -> None:
    text = "no url\nhttp://a:port/\nftp://a/b\nfile:/etc/passwd\ndata:image/png;base64,AA==\n"
    rows = read(write(tmp_path / "list.txt", text))
    assert [row["reason"] for row in rows] == [Reason.BAD_URL, Reason.BAD_URL, None, None, None]
    assert [row["status"] for row in rows] == ["rejected", "rejected", "ok", "ok", "ok"]
    # a list from elsewhere never names a file of this machine
    assert {row["local_path"] for row in rows} == {None}


def test_laion_columns_are_recognised(tmp_path: Path) -> None:
    table = pa.table(
        {
            "SAMPLE_ID": [1, 2],
            "URL": ["http://a/1", "http://a/2"],
            "TEXT": ['a cat, "quoted"', None],
            "HEIGHT": pa.array([768, None], pa.int32()),
            "WIDTH": pa.array([1024.0, float("nan")]),
            "LICENSE": ["?", None],
            "NSFW": ["UNLIKELY", None],
            "similarity": pa.array([0.31, None], pa.float64()),
            "punsafe": pa.array([0.01, float("nan")], pa.float32()),
            "pwatermark": pa.array([0.5, 1.0], pa.float64()),
        }
    )
    pq.write_table(table, tmp_path / "part.parquet")
    first, second = read(str(tmp_path / "part.parquet"))
    assert (first["url"], first["licence"]) == ("http://a/1", "?")
    assert first["caption"] == 'a cat, "quoted"'
    assert (first["claimed_width"], first["claimed_height"]) == (1024, 768)
    assert (first["similarity"], first["pwatermark"]) == (0.31, 0.5)
    assert first["punsafe"] == pytest.approx(0.01)
    for name in ("caption", "claimed_width", "claimed_height", "similarity", "punsafe"):
        assert second[name] is None


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_all_forms_of_a_list_give_the_same_candidates(tmp_path: Path, form: str) -> None:
    rows = [("http://a/1", "one", 640), ("http://a/ä", "zwei", 1024), ("http://a/3", "", 2)]
    path = tmp_path / f"list.{form}"
    header = ("Link", "ALT", "Original_Width")
    records = [dict(zip(header, row, strict=True)) for row in rows]
    match form:
        case "csv" | "tsv":
            delimiter = "," if form == "csv" else "\t"
            lines = [delimiter.join(map(str, row)) for row in (header, *rows)]
            write(path, "\n".join([*lines, ""]))
        case "jsonl":
            write(path, "\n".join(json.dumps(record) for record in records))
        case _:
            pq.write_table(pa.Table.from_pylist(records), path)
    found = [(row["url"], row["caption"] or "", row["claimed_width"]) for row in read(str(path))]
    assert found == rows


def test_quoted_fields_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    text = 'caption,url\n"a, ""b""\nc","http://a/x,y"\nplain,http://a/z\n'
    found = [(row["url"], row["caption"]) for row in read(write(tmp_path / "list.csv", text))]
    assert found == [("http://a/x,y", 'a, "b"\nc'), ("http://a/z", "plain")]


def test_quotes_in_tsv_are_plain_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "list.tsv", 'url\tcaption\nhttp://a/1\t"unbalanced\nhttp://a/2\tb"\n')
    found = [(row["url"], row["caption"]) for row in read(path)]
    assert found == [("http://a/1", '"unbalanced'), ("http://a/2", 'b"')]


def test_line_cut_by_a_comma_is_rejected(tmp_path: Path) -> None:
    # any of the pieces may be the URL, and a request for half a URL is worse than none
    text = "url,caption\nhttp://a/x,y.jpg,cat\nhttp://a/z,dog\nhttp://a/short\n"
    rows = read(write(tmp_path / "list.csv", text))
    assert [row["reason"] for row in rows] == [Reason.BAD_URL, None, None]
    assert rows[0]["url"] == "http://a/x,y.jpg,cat"
    assert rows[2]["caption"] is None


def test_blank_lines_of_a_table_are_counted(tmp_path: Path) -> None:
    text = "url,caption\n\nhttp://a/1,x\n,no url\n\nhttp://a/1,again\n"
    path = write(tmp_path / "list.csv", text)
    reader = CandidateReader([path], Candidates())
    assert [len(table) for table in reader] == [1]
    assert reader.notes() == {"blank": 3, "repeated": 1}


def test_broken_json_lines_are_rejected_one_by_one(tmp_path: Path) -> None:
    broken = ["{", "[1, 2]", "null", '{"caption": "no url"}', '{"url": 5}', "[" * 100_000]
    broken.append('{"url": "http://a/\\ud800"}')
    lines = ['{"url": "http://a/1"}', *broken, '{"url": "http://a/2"}', ""]
    rows = read(write(tmp_path / "list.jsonl", "\n".join(lines)))
    assert [row["reason"] for row in rows] == [None, *[Reason.BAD_URL] * len(broken), None]


def test_numbers_out_of_range_are_null(tmp_path: Path) -> None:
    huge = "1" + "0" * 400
    odd = f'"width": {huge}, "height": -5, "similarity": {huge}, "punsafe": NaN, "pwatermark": ""'
    good = '"width": 1e400, "height": "768", "similarity": "0.5", "punsafe": true, "caption": [1]'
    text = f'{{"url": "http://a/1", {odd}}}\n{{"url": "http://a/2", {good}}}\n'
    first, second = read(write(tmp_path / "list.jsonl", text))
    names = ("claimed_width", "claimed_height", "similarity", "punsafe", "pwatermark")
    assert [first[name] for name in names] == [None] * 5
    assert [second[name] for name in names] == [None, 768, 0.5, 1, None]
    assert second["caption"] == "[1]"


def test_columns_setting_names_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "id,src,url,points\n1,http://a/1,not this,7\n")
    row = read(path, columns={"url": "src"}, keep=("points",))[0]
    assert (row["url"], row["points"]) == ("http://a/1", 7)
    assert "similarity" not in row


def test_list_without_urls_names_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "id,src\n1,http://a/1\n")
    message = "no column of URLs among id, src; name it with --set candidates.columns.url="
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize("binary", [b"http://a/1", b"\xff\xfe"])
def test_urls_stored_as_bytes_are_read(tmp_path: Path, binary: bytes) -> None:
    pq.write_table(pa.table({"url": [binary, None]}), tmp_path / "list.parquet")
    reader = CandidateReader([str(tmp_path / "list.parquet")], Candidates())
    expected = None if binary[:1] == b"h" else "bad_url"
    assert [row["reason"] for table in reader for row in table.to_pylist()] == [expected]
    assert reader.notes()["blank"] == 1


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_list_is_read_or_refused_if_damaged(
    tmp_path: Path, suffix: str, pack: object
) -> None:
    packed = pack("".join(f"http://a/{n}\n" for n in range(1000)).encode())
    assert len(read(write(tmp_path / f"list.txt.{suffix}", packed))) == 1000
    flipped = packed[:60] + b"\0\0\0\0" + packed[64:]
    for name, damaged in [("cut", packed[:-9]), ("flipped", flipped), ("other", b"text")]:
        path = write(tmp_path / f"{name}.txt.{suffix}", damaged)
        with pytest.raises(InputError, match=name):
            read(path)


def test_damaged_parquet_raises_an_input_error(tmp_path: Path) -> None:
    table = pa.table({"url": [f"http://a/{n}" for n in range(5000)]})
    pq.write_table(table, tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    files = [b"", b"PAR1", whole[:-20], whole[:4] + bytes(500) + whole[504:]]
    for number, damaged in enumerate(files):
        path = write(tmp_path / f"damaged-{number}.parquet", damaged)
        with pytest.raises(InputError, match=f"damaged-{number}"):
            read(path)


def test_folder_of_parquet_files_is_one_list(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        table = pa.table({"URL": [f"http://a/{number}"]})
        pq.write_table(table, tmp_path / f"part-{number}.parquet")
    assert urls(str(tmp_path)) == ["http://a/0", "http://a/1", "http://a/2"]


def test_inputs_are_read_in_order_without_repetitions(tmp_path: Path) -> None:
    first = write(tmp_path / "b.txt", "http://a/1\nhttp://a/2\n")
    second = write(tmp_path / "a.csv", "url,license\nhttp://a/2,CC0\nhttp://a/3,CC0\n")
    reader = CandidateReader([first, second], Candidates(licence="unknown", shard_size=2))
    rows = [row for table in reader for row in table.to_pylist()]
    assert [(row["url"], row["source"], row["licence"]) for row in rows] == [
        ("http://a/1", "b.txt", "unknown"),
        ("http://a/2", "b.txt", "unknown"),
        ("http://a/3", "a.csv", "CC0"),
    ]
    assert reader.notes() == {"blank": 0, "repeated": 1}


def test_list_on_any_file_system_is_read() -> None:
    with fsspec.open("memory://candidates-test/list.csv", "wb") as file:
        file.write(b"url\nhttp://a/1\n")
    assert urls("memory://candidates-test/list.csv") == ["http://a/1"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", "no input at .*missing.txt: --input takes a list of URLs"),
        (
            "list.dat",
            "can't tell what .*list.dat is: name its form with --set candidates.format=txt",
        ),
        ("foo://x/list.txt", "can't open foo://x/list.txt: Protocol not known: foo"),
    ],
)
def test_unusable_input_names_the_remedy(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path / "list.dat", "http://a/1\n")
    path = name if "://" in name else str(tmp_path / name)
    with pytest.raises(InputError, match=message):
        read(path)


def test_input_deleted_meanwhile_raises(tmp_path: Path) -> None:
    path = write(tmp_path / "list.txt", "http://a/1\n")
    reader = CandidateReader([path], Candidates())
    Path(path).unlink()
    with pytest.raises(InputError, match=r"no input at .*list\.txt"):
        list(reader)
    with pytest.raises(InputError, match=r"can't read .*list\.txt"):
        reader.fingerprint()


def test_endless_field_names_its_line(tmp_path: Path) -> None:
    # an unclosed quote makes such a field in a list of many megabytes
    text = 'url,caption\nhttp://a/1,x\nhttp://a/2,"' + f"{'endless' * 10}\n" * 2**18
    path = write(tmp_path / "list.csv", text)
    with pytest.raises(InputError, match=r"list\.csv line \d+: field larger than field limit"):
        read(path)


def test_format_setting_allows_any_file_name(tmp_path: Path) -> None:
    assert urls(write(tmp_path / "list.dat", "http://a/1\n"), format="txt") == ["http://a/1"]


# Credentials


@pytest.mark.parametrize(
    ("line", "url", "reason"),
    [
        ("http://user:secret@a.com/x", "http://a.com/x", Reason.CREDENTIALS),
        ("https://user@a.com/", "https://a.com/", Reason.CREDENTIALS),
        ("ftp://user:secret@a.com/", "ftp://a.com/", Reason.CREDENTIALS),
        ("http://user:secret@a.com:99999/", "http://a.com:99999/", Reason.BAD_URL),
        ("//user:secret@a.com/x", "//a.com/x", Reason.BAD_URL),
        ("http://user:secret@[broken/", "http://[broken/", Reason.BAD_URL),
        ("http:/user:secret@a.com/", "http:/a.com/", Reason.BAD_URL),
        ("http://user:sec#ret@a.com/", "http://a.com/", Reason.BAD_URL),
        ("user:secret@a.com/x", "a.com/x", Reason.BAD_URL),
    ],
)
def test_no_secret_reaches_a_table(tmp_path: Path, line: str, url: str, reason: Reason) -> None:
    (row,) = read(write(tmp_path / "list.txt", line + "\n"))
    assert (row["url"], row["reason"]) == (url, reason)
    assert not any("sec" in str(value) or "user" in str(value) for value in row.values())


def test_url_with_and_without_credentials_are_two_candidates(tmp_path: Path) -> None:
    text = "http://u:secret@a.com/x\nhttp://a.com/x\nhttp://u:other@a.com/x\n"
    rows = read(write(tmp_path / "list.txt", text))
    # the id must not depend on the secret, or a weak one could be guessed from it
    assert [row["reason"] for row in rows] == [Reason.CREDENTIALS, None]
    assert len({row["id"] for row in rows}) == 2


def test_cut_line_keeps_no_secret(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "caption,url\na cat, sitting,http://user:secret@a.com/x\n")
    (row,) = read(path)
    assert row["reason"] == Reason.BAD_URL
    assert "secret" not in row["url"]


# Fingerprints


def test_fingerprint_of_a_list_follows_its_content(tmp_path: Path) -> None:
    def fingerprint(text: str, folder: str = "x", **settings_: object) -> str:
        path = write(tmp_path / folder / "list.txt", text)
        return CandidateReader([path], Candidates(**settings_)).fingerprint()

    original = fingerprint("http://a/1\n")
    assert fingerprint("http://a/1\n") == original
    assert fingerprint("http://a/1\n", folder="y") == original
    assert fingerprint("http://a/2\n") != original
    assert fingerprint("http://a/1\n", source="other") != original


def test_fingerprint_of_a_folder_follows_names_and_sizes(tmp_path: Path) -> None:
    path = write(tmp_path / "pics/a.jpg", "12345")
    reader = CandidateReader([str(tmp_path / "pics")], Candidates())
    original = reader.fingerprint()
    write(tmp_path / "pics/b.jpg", "1")
    assert reader.fingerprint() != original
    (tmp_path / "pics/b.jpg").unlink()
    assert reader.fingerprint() == original
    write(Path(path), "123456")
    assert reader.fingerprint() != original


def test_reader_gives_the_id_of_the_normalised_url(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path / "list.txt", "HTTPS://Example.com:443/#x\n"))
    assert row["id"] == candidate_id("https://example.com/") == "0f115db062b7c0dd"
    assert row["url"] == "HTTPS://Example.com:443/#x"


def test_open_quote_loses_no_lines(tmp_path: Path) -> None:
    text = 'url,caption\nhttp://a.com/1,"a lens\nhttp://a.com/2,a cat\n'
    text += 'http://a.com/3,"a dog"\nhttp://a.com/4,x\n'
    rows = read(write(tmp_path / "list.csv", text))
    assert len(rows) == 4
    assert rows[-1]["url"] == "http://a.com/4"
    assert {row["reason"] for row in rows[:-1]} == {Reason.BAD_URL}


def test_json_array_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is one JSON array: write one object a line"):
        read(write(tmp_path / "list.json", '[{"url": "http://a.com/1"}]'))


def test_folder_of_text_lists_is_one_list(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"part-{number}.txt", f"http://a.com/{number}\n")
    (tmp_path / "_SUCCESS").touch()
    assert urls(str(tmp_path)) == ["http://a.com/0", "http://a.com/1"]


def test_empty_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no files"):
        read(str(tmp_path))
