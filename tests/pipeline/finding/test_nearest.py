"""The search of cached embeddings finds what a product with all of them finds."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.engine import RunFolder, Shard, encode_table
from curate.engine.cache import ImageCache, evict_images, vector_type, vectors
from curate.pipeline.finding.nearest import search

DIM = 16
METADATA = {b"label_model": b"tiny", b"labeller": b"0"}


def embeddings(seed: int, count: int) -> dict[str, np.ndarray]:
    """Unit vectors by the SHA-256 of their numbers."""
    vectors_ND = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return {hashlib.sha256(vector.tobytes()).hexdigest(): vector for vector in vectors_ND}


def write(folder: RunFolder, shard: str, found: dict[str, np.ndarray], **other: bytes) -> str:
    metadata = METADATA | {name.encode(): value for name, value in other.items()}
    cache = ImageCache(Shard(shard, folder), f"embeddings/{shard}.parquet", "embedding", metadata)
    cache.write(found, vector_type(DIM))
    return shard


def write_lists(folder: RunFolder, shard: str, found: dict[str, np.ndarray]) -> str:
    """Write embeddings as older versions did."""
    type_ = pa.list_(pa.float32(), DIM)
    columns = [pa.array(list(found)), pa.array(list(found.values()), type_)]
    table = pa.table(columns, ["sha256", "embedding"], metadata=METADATA)
    folder.write(f"embeddings/{shard}.parquet", encode_table(table, dictionary=False))
    return shard


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.mark.parametrize("count", [1, 7, 200])
def test_search_equals_a_sort_of_all_cosines(folder: RunFolder, count: int) -> None:
    parts = {f"part-{n}": embeddings(n, 30 + n) for n in range(4)}
    shards = [write(folder, shard, found) for shard, found in parts.items()]
    (query,) = embeddings(99, 1).values()
    everything = {k: v for found in parts.values() for k, v in found.items()}
    expected = sorted(everything, key=lambda digest: -float(everything[digest] @ query))[:count]
    result = search(folder, shards, query, "tiny", "0", count)
    assert [one.sha256 for one in result.nearest] == expected
    assert result.images == len(everything)
    assert all(one.sha256 in parts[one.shard] for one in result.nearest)


def test_equal_bytes_in_two_shards_are_found_once(folder: RunFolder) -> None:
    found = embeddings(0, 5)
    shards = [write(folder, name, found) for name in ("part-0", "part-1")]
    query = next(iter(found.values()))
    result = search(folder, shards, query, "tiny", "0", 4)
    assert len({one.sha256 for one in result.nearest}) == 4
    assert {one.shard for one in result.nearest} == {"part-0"}


def test_equal_cosines_are_ordered_by_digest(folder: RunFolder) -> None:
    vector = np.eye(DIM, dtype=np.float32)[0]
    digests = [f"{n:064x}" for n in (7, 3, 9, 1)]
    write(folder, "part-0", dict.fromkeys(digests, vector))
    result = search(folder, ["part-0"], vector, "tiny", "0", 2)
    assert [int(one.sha256, 16) for one in result.nearest] == [1, 3]


def test_search_reads_caches_of_older_versions(folder: RunFolder) -> None:
    found = embeddings(0, 9)
    shards = [write_lists(folder, "part-0", found), write(folder, "part-1", found)]
    query = next(iter(found.values()))
    old, new = (search(folder, [shard], query, "tiny", "0", 5) for shard in shards)
    assert [one.sha256 for one in old.nearest] == [one.sha256 for one in new.nearest]
    assert np.allclose([one.distance for one in old.nearest], [one.distance for one in new.nearest])


def test_caches_that_cannot_be_read_are_missing(folder: RunFolder) -> None:
    whole = write(folder, "part-0", embeddings(0, 9))
    data = folder.read("embeddings/part-0.parquet")
    folder.write("embeddings/part-1.parquet", data[:-50])
    folder.write("embeddings/part-2.parquet", b"no table")
    pq.write_table(
        pa.table({"sha256": ["a"], "embedding": ["b"]}, metadata=METADATA), sink := io.BytesIO()
    )
    folder.write("embeddings/part-3.parquet", sink.getvalue())
    shards = [whole, "part-1", "part-2", "part-3", "part-4"]
    query = np.ones(DIM, np.float32)
    result = search(folder, shards, query, "tiny", "0", 3)
    assert result.missing == ["part-1", "part-2", "part-3", "part-4"]
    assert len(result.nearest) == 3


@pytest.mark.parametrize("other", [{"label_model": b"large"}, {"labeller": b"1"}])
def test_embeddings_of_another_model_are_foreign(
    folder: RunFolder, other: dict[str, bytes]
) -> None:
    shards = [write(folder, "part-0", embeddings(0, 9)), write(folder, "part-1", {}, **other)]
    query = np.ones(DIM, np.float32)
    assert search(folder, shards, query, "tiny", "0", 3).foreign == ["part-1"]


def test_query_of_another_length_finds_foreign_embeddings(folder: RunFolder) -> None:
    write(folder, "part-0", embeddings(0, 9))
    query = np.ones(DIM + 1, np.float32)
    assert search(folder, ["part-0"], query, "tiny", "0", 3).foreign == ["part-0"]


def test_evicted_image_leaves_a_cache_of_the_same_form(folder: RunFolder) -> None:
    write(folder, "part-0", found := embeddings(0, 9))
    evict_images(folder, "embeddings/part-0.parquet", list(found)[:1])
    with folder.open("embeddings/part-0.parquet") as file:
        table = pq.read_table(file)
    assert table["sha256"].to_pylist() == list(found)[1:]
    assert np.array_equal(vectors(table["embedding"]), np.stack(list(found.values())[1:]))
    query = next(iter(found.values()))
    result = search(folder, ["part-0"], query, "tiny", "0", 20)
    assert {one.sha256 for one in result.nearest} == set(list(found)[1:])
