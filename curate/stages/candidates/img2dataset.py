"""What img2dataset downloaded, in its formats `webdataset`, `files` and `parquet`, whether it came to its end or not.

Its shard 00003 is the table 00003.parquet, with a row for each URL, and the images of those that succeeded: in
00003.tar, in the folder 00003, or in a column of the table. In a tar and in a folder each image has its row beside it
once more, as JSON. 00003_stats.json counts them, and comes last. Until then the shard's rows of the input lie in
_tmp/3.feather.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import PurePosixPath
from typing import BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.stages.candidates.lists import Row, choose_columns, rows_of, wanted_columns
from curate.storage.atomic import list_files

__all__ = ["is_img2dataset", "read_img2dataset"]

_OF_A_SHARD = re.compile(
    r"(?P<number>\d+)(?:\.(?P<kind>parquet|tar|tfrecord)|_(?P<stats>stats)\.json|/(?P<member>.+))"
)
_UNDER_WAY = re.compile(r"_tmp/(?P<number>\d+)\.feather")
_HASHES = ("sha256", "sha512", "md5")
_SIZES = ("width", "height", "original_width", "original_height")
_IMAGES = ("jpg", "png", "webp")
_NO_TAR = (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError)
"""What tarfile raises for what is none."""

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
    """The files of one shard."""

    path: str
    """Of the folder, with its protocol."""
    name: str
    kinds: set[str] = field(default_factory=set)
    members: dict[str, int] = field(default_factory=dict)
    """Name -> bytes, in the format `files`."""
    feather: str | None = None

    def url(self, suffix: str) -> str:
        return f"{self.path}/{self.name}{suffix}"


@dataclass
class _Images:
    """Where the images of a shard and the rows beside them lie, by key."""

    places: dict[str, Row] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)

    def add(self, name: str, place: Row) -> None:
        key, _, suffix = PurePosixPath(name).name.partition(".")
        if suffix == "json":
            self.rows[key] = place
        elif suffix != "txt":
            self.places[key] = place


def is_img2dataset(names: Iterable[str]) -> bool:
    """Whether a folder with such files in it is what img2dataset left."""
    return any(name.endswith("_stats.json") or _UNDER_WAY.fullmatch(name) for name in names)


def read_img2dataset(
    path: str, columns: Mapping[str, str], keep: Iterable[str], notes: Counter[str] | None = None
) -> Iterator[Row]:
    """Every URL that an img2dataset run was given, with its bytes where they are there as they were served.

    Where they are not, or where that can't be told, the row comes without bytes, so that it is fetched. A hash comes
    along with bytes, for whoever reads them.

    Args:
        path: the folder.
        columns: see `read_list`.
        keep: see `read_list`.
        notes: counts what a user should know of.

    Raises:
        InputError: if the folder holds no such run, or one whose images can't be read.
    """
    notes = Counter() if notes is None else notes
    wanted = wanted_columns(columns, keep)
    shards = _shards(path)
    rows = 0
    for shard in shards:
        for row in _read_shard(shard, wanted, notes):
            rows += 1
            yield row
    if shards and not rows:
        raise InputError(
            f"{path} tells no URL that img2dataset was to download: give the list of URLs instead"
        )


def _shards(path: str) -> list[_Shard]:
    shards: dict[int, _Shard] = {}
    fs, root = fsspec.core.url_to_fs(path)
    base = str(fs.unstrip_protocol(root)).rstrip("/")
    for name, size in list_files(path):
        match = _OF_A_SHARD.fullmatch(name) or _UNDER_WAY.fullmatch(name)
        if match is None:
            continue
        found = match.groupdict()
        shard = shards.setdefault(int(found["number"]), _Shard(base, found["number"]))
        if "kind" not in found:
            shard.feather = f"{base}/{name}"
        elif found["member"]:
            shard.members[found["member"]] = size
        else:
            shard.kinds.add(found["kind"] or found["stats"])
    if any("tfrecord" in shard.kinds for shard in shards.values()):
        raise InputError(
            f"{path} holds TFRecords, which can't be read: of img2dataset's formats, `webdataset`, `files` and "
            "`parquet` can be taken over"
        )
    if not any(
        shard.kinds - {"stats"} or shard.members or shard.feather for shard in shards.values()
    ):
        kept = (
            "counts alone (--output_format dummy)"
            if shards
            else "no NNNNN.parquet, NNNNN.tar or folder NNNNN"
        )
        raise InputError(
            f"{path} is no img2dataset output to take over: it holds {kept}; give the list of URLs instead"
        )
    return [shards[number] for number in sorted(shards)]


def _read_shard(
    shard: _Shard, wanted: Mapping[str, tuple[str, ...]], notes: Counter[str]
) -> Iterator[Row]:
    images = _images(shard)
    records = _read_table(shard, wanted, images)
    whole = records is not None
    records = records or []
    known = {record["key"] for record in records}
    beside = [key for key in images.rows if key not in known]
    records += _read_json(shard, {key: images.rows[key] for key in beside})
    known.update(record["key"] for record in records)
    notes[NAMELESS] += len(images.places.keys() - known)
    waiting = _read_feather(shard, {record["url"] for record in records})

    stats = _read_stats(shard)
    if stats is None and not whole and shard.feather is None:
        notes[UNFINISHED] += 1
    successes = sum(record["status"] == "success" for record in records)
    # what a table lacks is in question only if there is one: of images alone, failures can't be told
    holds = stats is not None and stats == (len(records) if whole else stats[0], successes)
    if stats is not None:
        notes[MISCOUNTED] += not holds
        notes[LOST] += max(0, stats[0] - len(records) - len(waiting))
    choose = _chooser(shard.path, wanted)
    for record in records:
        verdict, place = _judge(record, images.places.get(record["key"]), holds)
        notes.update(verdict)
        yield {**choose(record), "url": str(record["url"] or ""), **place}
    for record in waiting:
        yield {**choose(record), "url": str(record["url"] or "")}


def _judge(record: Row, place: Row | None, holds: bool) -> tuple[list[str], Row]:
    """Whether an image is to be taken as it lies there: what to note, and its place if so.

    Hashes are of the bytes that were served. An image that has sizes was decoded, and so encoded anew, save with
    --skip_reencode; with --disable_all_reencoding none has.
    """
    if record["status"] != "success" or not str(record["url"]).lower().startswith(
        ("http:", "https:")
    ):
        return [], {}
    if place is None:
        return [GONE], {}
    width, height, *original = (record.get(name, -1) for name in _SIZES)
    if original != [None, None] and [width, height] != original:
        return [CHANGED], {}
    for name in _HASHES:
        if record.get(name):
            decoded = [ENCODED] if original != [None, None] else []
            return [TAKEN, *decoded], {**place, "local_digest": f"{name}:{record[name]}"}
    if original != [None, None]:
        return [CHANGED], {}
    return ([TAKEN], place) if holds else ([UNPROVEN], {})


def _chooser(path: str, wanted: Mapping[str, tuple[str, ...]]) -> Callable[[Row], Row]:
    """Picks from a row what is to be carried along, under our names."""

    @cache
    def columns(names: tuple[str, ...]) -> dict[str, str]:
        # the sizes that the list is asked about are the originals', not those that it resized to
        return choose_columns(path, [name for name in names if name not in _SIZES[:2]], wanted)

    return lambda record: {ours: record[theirs] for ours, theirs in columns(tuple(record)).items()}


def _read_table(
    shard: _Shard, wanted: Mapping[str, tuple[str, ...]], images: _Images
) -> list[Row] | None:
    """Rows of a shard's table, without its images, whose places are added; None if there is no whole table."""
    if "parquet" not in shard.kinds:
        return None
    url = shard.url(".parquet")
    try:
        with fsspec.open(url, "rb") as file, pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            if not {"url", "key", "status"} <= set(names):
                raise InputError(f"{url} has no columns url, key and status: is it img2dataset's?")
            chosen = choose_columns(
                shard.path, [name for name in names if name not in _SIZES[:2]], wanted
            ).values()
            needed = {"url", "key", "status", *_SIZES, *_HASHES, *chosen}
            records: list[Row] = rows_of(parquet.read([name for name in names if name in needed]))
            cells = [
                name
                for name in _IMAGES
                if name in names and parquet.schema_arrow.field(name).type == pa.binary()
            ]
    except (pa.ArrowException, ValueError):
        return None
    except OSError as error:
        if error.errno is None:  # Arrow's own, of a damaged page
            return None
        raise InputError(f"can't read {url}: {error}") from error
    if cells and not images.places:
        for number, record in enumerate(records):
            images.places[record["key"]] = {
                "local_path": url,
                "local_column": cells[0],
                "local_row": number,
            }
    return records


def _images(shard: _Shard) -> _Images:
    images = _Images()
    if "tar" in shard.kinds:
        url = shard.url(".tar")
        with fsspec.open(url, "rb") as file:
            for member in _whole_members(file):
                images.add(
                    member.name,
                    {
                        "local_path": url,
                        "local_offset": member.offset_data,
                        "local_nbytes": member.size,
                    },
                )
    for name, size in sorted(shard.members.items()):
        if size and "/" not in name:
            images.add(name, {"local_path": shard.url(f"/{name}")})
    return images


def _whole_members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Files in a tar, up to where it is damaged."""
    nbytes = file.seek(0, 2)
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if (
                    member.isreg()
                    and not member.issparse()
                    and member.offset_data + member.size <= nbytes
                ):
                    yield member
    except _NO_TAR:
        return


def _read_json(shard: _Shard, places: Mapping[str, Row]) -> list[Row]:
    """The rows that lie beside images."""
    records = []
    for path, group in groupby(places.items(), key=lambda item: item[1]["local_path"]):
        with fsspec.open(path, "rb") as file:
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
    """What a shard that was under way had been given, less URLs whose rows are known."""
    if shard.feather is None:
        return []
    try:
        with fsspec.open(shard.feather, "rb") as file, pa.ipc.open_file(file) as reader:
            rows = rows_of(reader.read_all())
    except (pa.ArrowException, ValueError, OSError):
        return []  # the kill came while it was written
    return [row for row in rows if row.get("url") and row["url"] not in known]


def _read_stats(shard: _Shard) -> tuple[int, int] | None:
    """How many rows and how many images img2dataset counted; None if it came to no end."""
    if "stats" not in shard.kinds:
        return None
    with fsspec.open(shard.url("_stats.json"), "rb") as file:
        text = file.read()
    try:
        stats = json.loads(text)
        return int(stats["count"]), int(stats["successes"])
    except (ValueError, KeyError, TypeError):
        return None
