"""Outputs of img2dataset in its formats `webdataset`, `files` and `parquet`, finished or not.

Its shard 00003 is the table 00003.parquet, with a row for each URL, and the images of successful
rows: in 00003.tar, in the folder 00003, or in a column of the table. In a tar and in a folder, each
image has a copy of its row beside it, as JSON. 00003_stats.json counts them, and is written last.
Until then the shard's rows of the input are in _tmp/3.feather.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.stages.candidates.lists import Row, Wanted, choose_columns, to_rows, wanted_columns
from curate.storage.atomic import list_files
from curate.storage.places import locate, open_file

__all__ = ["is_img2dataset", "read_img2dataset"]

# 00003.parquet, 00003.tar, 00003_stats.json, 00003/000030001.jpg
_SHARD_FILE = re.compile(
    r"(?P<number>\d+)(?:\.(?P<kind>parquet|tar|tfrecord)|_(?P<stats>stats)\.json|/(?P<member>.+))"
)
_FEATHER = re.compile(r"_tmp/(?P<number>\d+)\.feather")
_HASHES = ("sha256", "sha512", "md5")
_SIZES = ("width", "height", "original_width", "original_height")
_IMAGES = ("jpg", "png", "webp")
_TAR_ERRORS = (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError)
"""Errors of tarfile for a file that is no tar."""

TAKEN = "taken from disk"
ENCODED = "of them perhaps encoded anew (their hashes will tell)"
CHANGED = "resized or encoded anew (to be fetched)"
UNPROVEN = "without a hash, of shards that aren't whole (to be fetched)"
GONE = "downloaded, but not there (to be fetched)"
NAMELESS = "images without a row (left out)"
LOST = "rows that _stats.json counts and no file holds (give the list of URLs as another --input)"
MISCOUNTED = "shards that differ from their _stats.json"
UNFINISHED = (
    "shards cut short that no file tells the URLs of (give the list of URLs as another --input)"
)


@dataclass
class _Shard:
    """Files of one shard."""

    folder: str
    """Path of the output's folder, with its protocol."""
    name: str
    kinds: set[str] = field(default_factory=set)
    members: dict[str, int] = field(default_factory=dict)
    """Name -> bytes, in the format `files`."""
    feather: str | None = None
    places: dict[str, Row] = field(default_factory=dict)
    """Key -> place of the image."""
    rows: dict[str, Row] = field(default_factory=dict)
    """Key -> place of the JSON row beside the image."""

    def url(self, suffix: str) -> str:
        return f"{self.folder}/{self.name}{suffix}"

    def add_place(self, member: str, place: Row) -> None:
        key, _, suffix = PurePosixPath(member).name.partition(".")
        if suffix == "json":
            self.rows[key] = place
        elif suffix != "txt":
            self.places[key] = place


def is_img2dataset(names: Iterable[str]) -> bool:
    """Return whether a folder with these files is an output of img2dataset."""
    return any(name.endswith("_stats.json") or _FEATHER.fullmatch(name) for name in names)


def read_img2dataset(
    path: str, columns: Mapping[str, str], keep: Iterable[str], notes: Counter[str]
) -> Iterator[Row]:
    """Yield every URL that img2dataset was to download, with its bytes if they are as served.

    If the bytes are missing, changed or doubtful, the row has none and will be fetched. Bytes have
    their hash with them if there is one, to be checked by their reader.

    Args:
        path: the folder.
        columns: see `read_list`.
        keep: see `read_list`.
        notes: counts facts that the user should know.

    Raises:
        InputError: if the folder is no output of img2dataset, or its images can't be read.
    """
    wanted, empty = wanted_columns(columns, keep), True
    for shard in _shards(path):
        for row in _read_shard(shard, wanted, notes):
            empty = False
            yield row
    if empty:
        raise InputError(
            f"{path} tells no URL that img2dataset was to download: give the list of URLs instead"
        )


def _shards(path: str) -> list[_Shard]:
    shards: dict[int, _Shard] = {}
    folder = locate(path).url.rstrip("/")
    for name, size in list_files(path, inside=True):
        match = _SHARD_FILE.fullmatch(name) or _FEATHER.fullmatch(name)
        if match is None:
            continue
        found = match.groupdict()
        shard = shards.setdefault(int(found["number"]), _Shard(folder, found["number"]))
        if "kind" not in found:
            shard.feather = f"{folder}/{name}"
        elif found["member"]:
            shard.members[found["member"]] = size
        else:
            shard.kinds.add(found["kind"] or found["stats"])
    if any("tfrecord" in shard.kinds for shard in shards.values()):
        raise InputError(
            f"{path} holds TFRecords, which can't be read: of img2dataset's formats, "
            "`webdataset`, `files` and `parquet` can be taken over"
        )
    if not any(s.kinds - {"stats"} or s.members or s.feather for s in shards.values()):
        found_instead = "no NNNNN.parquet, NNNNN.tar or folder NNNNN"
        if shards:
            found_instead = "counts alone (--output_format dummy)"
        raise InputError(
            f"{path} is no img2dataset output to take over: it holds {found_instead}; "
            "give the list of URLs instead"
        )
    return [shards[number] for number in sorted(shards)]


def _read_shard(shard: _Shard, wanted: Wanted, notes: Counter[str]) -> Iterator[Row]:
    _find_images(shard)
    table = _read_table(shard, wanted)
    # rows of the table, then JSON rows that the table lacks, then rows of the feather
    records = [*(table or ())]
    known = {record["key"] for record in records}
    records += _read_json({key: shard.rows[key] for key in shard.rows if key not in known})
    known.update(record["key"] for record in records)
    notes[NAMELESS] += len(shard.places.keys() - known)
    waiting = _read_feather(shard, {record["url"] for record in records})

    # img2dataset's own counts show whether anything is missing
    stats = _read_stats(shard)
    if stats is None and table is None and shard.feather is None:
        notes[UNFINISHED] += 1
    successes = sum(record["status"] == "success" for record in records)
    counts_hold = False
    if stats is not None:
        # without a table only successful rows are left, so the number of all rows proves nothing
        count = stats[0] if table is None else len(records)
        counts_hold = stats == (count, successes)
        notes[MISCOUNTED] += not counts_hold
        notes[LOST] += max(0, stats[0] - len(records) - len(waiting))
    places = [_place(record, shard, counts_hold, notes) for record in records]
    places += [{}] * len(waiting)
    # choosing columns takes long, and records have few different sets of them
    columns: dict[tuple[str, ...], dict[str, str]] = {}
    for record, place in zip(records + waiting, places, strict=True):
        names = tuple(record)
        if names not in columns:
            columns[names] = _choose(shard, names, wanted)
        row = {ours: record[theirs] for ours, theirs in columns[names].items()}
        yield {**row, "url": str(record["url"] or ""), **place}


def _place(record: Row, shard: _Shard, counts_hold: bool, notes: Counter[str]) -> Row:
    """Return where an image's bytes are if they may be taken, and note the decision.

    Hashes are of the bytes as served. An image with sizes was decoded, and so encoded again unless
    --skip_reencode was given; with --disable_all_reencoding no image has sizes.
    """
    is_web = str(record["url"]).lower().startswith(("http:", "https:"))
    if record["status"] != "success" or not is_web:
        return {}
    place = shard.places.get(record["key"])
    if place is None:
        notes[GONE] += 1
        return {}
    # -1: a missing column must not pass for the null sizes of an image that wasn't decoded
    width, height, *original = (record.get(name, -1) for name in _SIZES)
    decoded = original != [None, None]
    hashes = [name for name in _HASHES if record.get(name)]
    if decoded and ([width, height] != original or not hashes):
        notes[CHANGED] += 1
        return {}
    if hashes:
        notes[TAKEN] += 1
        notes[ENCODED] += decoded
        return {**place, "local_digest": f"{hashes[0]}:{record[hashes[0]]}"}
    notes[TAKEN if counts_hold else UNPROVEN] += 1
    return place if counts_hold else {}


def _choose(shard: _Shard, names: Sequence[str], wanted: Wanted) -> dict[str, str]:
    """Return our column -> theirs, without the sizes of images after img2dataset's resizing."""
    return choose_columns(shard.folder, [n for n in names if n not in _SIZES[:2]], wanted)


def _read_table(shard: _Shard, wanted: Wanted) -> list[Row] | None:
    """Read a shard's table without its images, and add their places; None if it is damaged."""
    if "parquet" not in shard.kinds:
        return None
    url = shard.url(".parquet")
    try:
        with open_file(url) as file, pq.ParquetFile(file) as parquet:
            schema = parquet.schema_arrow
            if not {"url", "key", "status"} <= set(schema.names):
                raise InputError(f"{url} has no columns url, key and status: is it img2dataset's?")
            # all columns but the images, which take up most of the file
            chosen = _choose(shard, schema.names, wanted).values()
            needed = {"url", "key", "status", *_SIZES, *_HASHES, *chosen}
            records = to_rows(parquet.read([name for name in schema.names if name in needed]))
    except (pa.ArrowException, ValueError):
        return None
    except OSError as error:
        if error.errno is None:  # Arrow's own, of a damaged page
            return None
        raise InputError(f"can't read {url}: {error}") from error
    present = [name for name in _IMAGES if name in schema.names]
    cells = [name for name in present if schema.field(name).type == pa.binary()]
    if cells and not shard.places:
        for i, record in enumerate(records):
            place = {"local_path": url, "local_column": cells[0], "local_row": i}
            shard.places[record["key"]] = place
    return records


def _find_images(shard: _Shard) -> None:
    """Add the places of images and JSON rows in the shard's tar, up to its damage, or folder."""
    if "tar" in shard.kinds:
        url = shard.url(".tar")
        with open_file(url) as file:
            nbytes = file.seek(0, 2)
            file.seek(0)
            with suppress(*_TAR_ERRORS), tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    start, size = member.offset_data, member.size
                    # a header can promise more bytes than a truncated tar has
                    if member.isreg() and not member.issparse() and start + size <= nbytes:
                        place = {"local_path": url, "local_offset": start, "local_nbytes": size}
                        shard.add_place(member.name, place)
    # an empty file is left by a disk that had no time to write it
    for name, size in sorted(shard.members.items()):
        if size and "/" not in name:
            shard.add_place(name, {"local_path": shard.url(f"/{name}")})


def _read_json(places: Mapping[str, Row]) -> list[Row]:
    """Read the rows beside images, given their places by key."""
    records = []
    for path, group in groupby(places.items(), key=lambda item: item[1]["local_path"]):
        with open_file(path) as file:
            for key, place in group:
                file.seek(place.get("local_offset", 0))
                try:
                    record = json.loads(file.read(place.get("local_nbytes", -1)))
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict) and isinstance(record.get("url"), str):
                    records.append({**record, "key": key, "status": record.get("status")})
    return records


def _read_feather(shard: _Shard, known: set[str]) -> list[Row]:
    """Read the input rows of an unfinished shard, less known URLs."""
    if shard.feather is None:
        return []
    try:
        with open_file(shard.feather) as file, pa.ipc.open_file(file) as reader:
            rows = to_rows(reader.read_all())
    except (pa.ArrowException, ValueError, OSError):
        return []  # img2dataset was killed while it wrote the file
    return [row for row in rows if row.get("url") and row["url"] not in known]


def _read_stats(shard: _Shard) -> tuple[int, int] | None:
    """Read img2dataset's numbers of rows and of images; None if the shard is unfinished."""
    if "stats" not in shard.kinds:
        return None
    with open_file(shard.url("_stats.json")) as file:
        text = file.read()
    try:
        stats = json.loads(text)
        return int(stats["count"]), int(stats["successes"])
    except (ValueError, KeyError, TypeError):
        return None
