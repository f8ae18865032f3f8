"""`curate.find`: images of a run that are like a text or another image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate import engine
from curate.engine import CommitRecord, RunFolder
from curate.errors import ImageError, InputError, LabelError, RunError
from curate.humanize import counted
from curate.pipeline.finding.nearest import Nearest, Result, open_caches, search
from curate.pipeline.recipe_changes import open_run
from curate.recipe import Label
from curate.stages.candidates.urls import candidate_id, normalise_url
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.names import StageName
from curate.storage.parquet import read_run_table

__all__ = ["MOST", "Found", "Match", "find"]

MOST = 500
"""Images that one search finds at most: a page of them stays near ten megabytes."""

_COLUMNS = (
    "id", "url", "host", "source", "sha256", "tar", "offset", "nbytes", "width", "height", "bpp",
    "hf_ratio_032", "category", "reason",
)  # fmt: skip
_SHOWN = ("id", "url", "width", "height", "category", "split", "reason")


@dataclass(frozen=True)
class Match:
    """An image that was found."""

    similarity: float
    """Cosine of its embedding with the query."""
    id: str
    url: str
    width: int
    height: int
    category: str | None
    split: str | None
    """train or test; None for images that were not selected."""
    reason: str | None
    """Why the image was rejected after labelling."""


@dataclass(frozen=True)
class Found:
    """Images nearest to a query, the nearest first."""

    query: str
    matches: tuple[Match, ...]
    images: int
    """Embeddings that were searched; bytes that two shards share count twice."""
    missing: int
    """Shards with labelled images whose embeddings aren't there."""


def find(
    run: str | PathLike[str],
    text: str | None = None,
    *,
    like: str | PathLike[str] | None = None,
    count: int = 24,
    page: str | PathLike[str] | None = None,
) -> Found:
    """Find the images of a run that are nearest to a text, or to another image.

    Args:
        run: run folder: a path or any fsspec URL.
        text: description of the images, in the model's language.
        like: id or URL of an image of the run, which isn't found itself; or a file.
        count: number of images, 500 at most.
        page: HTML file to write, with the images as thumbnails.

    Raises:
        InputError: unless there is either a text or an image, and a fitting count.
        RunError: if the run keeps no embeddings, or those of another model.
        LabelError: if the model of the run's recipe can't be loaded, or doesn't know the text.
    """
    if not 1 <= count <= MOST:
        raise InputError(f"count is from 1 to {MOST}, not {count}")
    if (text is None) == (like is None):
        raise InputError("give either a text, or an image to find others like it")
    folder, recipe = open_run(run)
    index = engine.read_index(folder)
    shards = index.shards if index is not None else []
    query = _query(folder, shards, recipe.label, text, like)
    more = 0 if query.sha256 is None else 1
    args = (query.vector_D, query.label_model, query.labeller, count + more)
    result = search(folder, shards, *args)
    missing = _check(folder, result)
    nearest = [one for one in result.nearest if one.sha256 != query.sha256][:count]
    rows = _rows(folder, nearest)
    found = Found(query.name, tuple(_match(row) for row in rows), result.images, missing)
    if page is not None:
        from curate.pipeline.finding.contact_sheet import write_contact_sheet

        write_contact_sheet(folder, recipe.name, found, rows, page)
    return found


@dataclass(frozen=True)
class _Query:
    """Vector to search for."""

    name: str
    vector_D: NDArray[np.float32]
    label_model: str
    labeller: str = ""
    sha256: str | None = None
    """Bytes of the image of the run that it is, if it is one."""


def _query(
    folder: RunFolder,
    shards: Sequence[str],
    config: Label,
    text: str | None,
    like: str | PathLike[str] | None,
) -> _Query:
    if like is not None and not Path(like).is_file():
        return _query_of_image(folder, shards, str(like))
    if not folder.names(str(StageName.LABEL.cache), ".parquet"):
        raise _no_embeddings(folder)  # before a model is loaded
    if text is not None:
        _check_words(config, text)
    from curate.stages.label import clip  # torch: only where something is embedded

    labeller = clip.load_labeller(config)
    if text is not None:
        vector_D = labeller.embed_text([text]).astype(np.float32)
        return _Query(text, vector_D, labeller.name, labeller.key)
    assert like is not None
    with Path(like).open("rb") as file:
        (embedded,) = labeller.embed([file])
    if isinstance(embedded, ImageError):
        raise InputError(f"can't read {like} as an image: {embedded.args[1]}")
    return _Query(str(like), embedded, labeller.name, labeller.key)


def _check_words(config: Label, text: str) -> None:
    """Refuse what the model can't understand."""
    if not text.strip():
        raise InputError("the text to find images for is empty")
    if config.model != "bundled":
        return
    known: set[str] = set()
    for category in load_taxonomy().categories:
        known.update(_words(" ".join(category.prompts)))
    if unknown := [word for word in _words(text) if word not in known]:
        raise LabelError(
            f"the bundled demo labeller knows only the words of the default taxonomy, and not "
            f"{', '.join(unknown)}: find images by --like, or label the run with a CLIP model "
            "(label.model)"
        )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _query_of_image(folder: RunFolder, shards: Sequence[str], like: str) -> _Query:
    """Return the cached embedding of an image of the run, by its id or URL."""
    name = like
    if not re.fullmatch("[0-9a-f]{16}", like):
        try:
            name = candidate_id(normalise_url(like))
        except ImageError as error:
            raise InputError(f"{like!r} is neither a file nor an id or URL of {folder}") from error
    for shard in shards:
        rows = _shard_rows(folder, shard)
        place = pc.index(rows["id"], name).as_py()
        if place < 0:
            continue
        digest, reason = rows["sha256"][place].as_py(), rows["reason"][place].as_py()
        for _, cache in open_caches(folder, [shard]):
            row = -1 if cache is None else pc.index(cache.digests(), digest).as_py()
            if cache is not None and row >= 0:
                vector_D = cache.read()[row]
                return _Query(like, vector_D, cache.label_model, cache.labeller, digest)
        why = f"it was rejected before it was labelled ({reason})" if reason else _REMEDY
        raise RunError(f"{folder} has no embedding of {like}: {why}")
    raise InputError(f"{like!r} is neither a file nor an id or URL of {folder}")


_REMEDY = "label it with embeddings that stay, with  --from label --set label.keep_embeddings=true"


def _no_embeddings(folder: RunFolder) -> RunError:
    return RunError(f"{folder} keeps no embeddings to search: {_REMEDY}")


def _check(folder: RunFolder, result: Result) -> int:
    """Return the number of shards that lack embeddings of labelled images.

    Raises:
        RunError: if there are none at all, or those of another model.
    """
    if result.foreign:
        shards = counted(len(result.foreign), "shard")
        raise RunError(
            f"{folder} has embeddings of another model than its recipe's, in {shards}: bring them "
            f"up to date with  curate label {folder}"
        )
    lacking = 0
    for shard in result.missing:
        record = CommitRecord.read(folder, StageName.LABEL.folder, shard)
        lacking += record is None or record.rows_out.get("ok", 0) > 0
    if not result.images:
        raise _no_embeddings(folder)
    return lacking


def _rows(folder: RunFolder, nearest: Sequence[Nearest]) -> list[dict[str, Any]]:
    """Return the rows of images in their order, without images that have left the run."""
    shards = dict.fromkeys(one.shard for one in nearest)
    tables = {shard: _shard_rows(folder, shard) for shard in shards}
    return [row for one in nearest for row in _row(tables[one.shard], one)]


def _row(rows: pa.Table, one: Nearest) -> Iterator[dict[str, Any]]:
    of_image = rows.filter(pc.equal(rows["sha256"], one.sha256)).to_pylist()
    # of several rows with the same bytes, one that was kept
    for row in sorted(of_image, key=lambda row: (row["reason"] is not None, row["id"]))[:1]:
        yield row | {"similarity": round(-one.distance, 4)}


def _shard_rows(folder: RunFolder, shard: str) -> pa.Table:
    """Return a shard's rows, with their splits where there has been a selection."""
    ledger = f"ledger/{shard}.parquet"
    if folder.exists(ledger):
        return read_run_table(folder, ledger, (*_COLUMNS, "split"))
    rows = engine.rows_of(folder, StageName.MATCH.input_folders, shard, _COLUMNS)
    return rows.append_column("split", pa.nulls(len(rows), pa.string()))


def _match(row: dict[str, Any]) -> Match:
    return Match(row["similarity"], **{name: row[name] for name in _SHOWN})
