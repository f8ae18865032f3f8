"""Images that are on disk already: a plain folder, or what img2dataset left behind."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.candidates.lists import Row, choose_columns, wanted_columns
from curate.errors import InputError

__all__ = ["list_files", "read_folder", "read_img2dataset"]


def list_files(path: str) -> list[tuple[str, int]]:
    """Sorted (path below the folder, bytes) of every file that isn't hidden, at any depth.

    Raises:
        InputError: if there is no such folder.
    """
    fs, root = fsspec.core.url_to_fs(path)
    if not fs.isdir(root):
        raise InputError(f"no folder at {path}")
    files = fs.find(root, detail=True)
    below = ((str(PurePosixPath(name).relative_to(root)), int(info["size"])) for name, info in files.items())
    return sorted((name, size) for name, size in below if not any(p.startswith(".") for p in PurePosixPath(name).parts))


def read_folder(path: str, source: str) -> Iterator[Row]:
    """Every file of a folder, as `file:<source>/<path below it>`: the same URL wherever the folder lies."""
    fs, root = fsspec.core.url_to_fs(path)
    for name, _ in list_files(path):
        yield {"url": f"file:{source}/{name}", "local_path": fs.unstrip_protocol(f"{root}/{name}")}


def read_img2dataset(path: str, columns: Mapping[str, str], keep: Iterable[str]) -> Iterator[Row]:
    """What an img2dataset run downloaded, in its `webdataset` or `files` format.

    A URL whose download failed there comes without bytes, so that it is fetched.

    Args:
        path: the folder.
        columns: see `read_list`.
        keep: see `read_list`.

    Raises:
        InputError: if the folder holds no such run, or one whose shards hold images in Parquet.
    """
    fs, root = fsspec.core.url_to_fs(path)
    shards = [name.removesuffix(".parquet") for name, _ in list_files(path) if _is_shard(name)]
    if not shards:
        raise InputError(f"{path} is no img2dataset output: it has no NNNNN.parquet beside its images")
    for shard in shards:
        with fs.open(f"{root}/{shard}.parquet", "rb") as file:
            try:
                table = pq.read_table(file)
            except pa.ArrowInvalid as error:
                raise InputError(
                    f"{path}/{shard}.parquet is damaged ({error}): remove it to go on without it"
                ) from error
        if not {"url", "key", "status"} <= set(table.column_names):
            raise InputError(f"{path}/{shard}.parquet has no columns url, key and status: is it img2dataset's?")
        # the sizes it was asked about are the originals', not those that it resized to
        present = [name for name in table.column_names if name not in ("width", "height")]
        chosen = choose_columns(path, present, wanted_columns(columns, keep))
        places = _places(fs, root, shard)
        for record in table.to_pylist():
            place = places.get(record["key"], {}) if record["status"] == "success" else {}
            carried = {ours: record[theirs] for ours, theirs in chosen.items()}
            yield {**carried, "url": record["url"] or "", **place}


def _is_shard(name: str) -> bool:
    stem, dot, suffix = name.partition(".")
    return stem.isdigit() and dot == "." and suffix == "parquet"


def _places(fs: fsspec.AbstractFileSystem, root: str, shard: str) -> dict[str, Row]:
    """Where the bytes of each key of a shard lie."""
    if fs.exists(f"{root}/{shard}.tar"):
        url = fs.unstrip_protocol(f"{root}/{shard}.tar")
        with fs.open(f"{root}/{shard}.tar", "rb") as file:
            try:
                with tarfile.open(fileobj=file) as tar:
                    return {
                        m.name.partition(".")[0]: {
                            "local_path": url,
                            "local_offset": m.offset_data,
                            "local_nbytes": m.size,
                        }
                        for m in tar
                        if not m.name.endswith((".txt", ".json"))
                    }
            except tarfile.TarError:
                return {}  # what a kill left of a shard: fetch it again
    if fs.isdir(f"{root}/{shard}"):
        names = sorted(str(name) for name in fs.ls(f"{root}/{shard}", detail=False))
        images = [name for name in names if not name.endswith((".txt", ".json"))]
        return {PurePosixPath(name).stem: {"local_path": fs.unstrip_protocol(name)} for name in images}
    raise InputError(
        f"{root} has neither {shard}.tar nor a folder {shard}: of img2dataset's formats, `webdataset` and `files` can "
        "be taken over"
    )
