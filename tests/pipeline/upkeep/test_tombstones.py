"""Rows that tombstones mark, and lists of removals."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate.engine import RunFolder
from curate.errors import InputError, RunError
from curate.manifest import read_manifest, write_manifest
from curate.pipeline.tombstones import IDENTITY, Tombstones, find_marked
from curate.recipe import Dedup
from curate.stages.candidates.urls import candidate_id, normalise_url
from curate.stages.select.duplicates import match_hashes

HASH = 0x0F1E_2D3C_4B5A_6978


def facts(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(
        [{"id": f"{n:016x}", **row} for n, row in enumerate(rows)], IDENTITY
    )


def stones(*marks: tuple[str, str]) -> Tombstones:
    return Tombstones(frozenset(marks))


def test_tombstone_of_host_covers_subdomains_and_redirects() -> None:
    rows = facts(
        {"url": "http://a.org/1", "host": "a.org"},
        {"url": "http://img.a.org/1", "host": "img.a.org"},
        {"url": "http://ba.org/1", "host": "ba.org"},
        {"url": "http://a.org.uk/1", "host": "a.org.uk"},
        {"url": "http://b.net/1", "host": "b.net", "final_url": "https://cdn.A.org/1"},
        {"url": "http://b.net/2", "host": "b.net", "final_url": "http://b.net/2"},
        {"host": None},
    )
    assert find_marked(rows, stones(("host", "a.org")), Dedup()) == {
        f"{n:016x}": "host" for n in (0, 1, 4)
    }


def test_tombstone_of_url_covers_redirects_to_it() -> None:
    end = candidate_id(normalise_url("https://a.org/picture.jpg"))
    rows = facts(
        {"url": "http://b.net/1", "final_url": "HTTPS://a.org:443/picture.jpg#here"},
        {"url": "http://b.net/2", "final_url": "no URL"},
        {"id": end, "url": "https://a.org/picture.jpg"},
    )
    assert find_marked(rows, stones(("id", end)), Dedup()) == {f"{0:016x}": "id", end: "id"}


def test_tombstones_take_copies_by_recipe() -> None:
    rows = facts(
        {"pixel_sha256": "p"},
        {"phash": HASH ^ 0b1111},
        {"phash": HASH ^ 0b11111},
        {"phash": HASH, "reason": "removed"},
    )
    all_of_it = stones(("pixel_sha256", "p"), ("phash", f"{HASH:016x}"))
    assert find_marked(rows, all_of_it, Dedup()) == {
        f"{0:016x}": "pixel_sha256",
        f"{1:016x}": "phash",
    }
    assert list(find_marked(rows, all_of_it, Dedup(perceptual=5)))[1:] == [f"{1:016x}", f"{2:016x}"]
    assert find_marked(rows, all_of_it, Dedup(perceptual=None, exact=False)) == {}


@pytest.mark.parametrize("radius", [0, 4, 10])
def test_tombstones_compare_perceptual_hashes_by_bits(radius: int) -> None:
    rng = np.random.default_rng(radius)
    others = rng.integers(2**64, size=5, dtype=np.uint64)
    flips = [
        sum(1 << int(bit) for bit in rng.choice(64, count, replace=False)) for count in range(13)
    ]
    hashes = [int(others[n % 5]) ^ flip for n, flip in enumerate(flips)] + [None, 1, 0]
    expected = [
        h is not None
        and h.bit_count() >= 16
        and any((h ^ int(o)).bit_count() <= radius for o in others)
        for h in hashes
    ]
    found = match_hashes(
        pa.chunked_array([pa.array(hashes, pa.uint64())]), others, radius, mirrored=False
    )
    assert found.tolist() == expected
    assert sum(expected) == radius + 1


def test_tombstones_file_round_trips_and_damage_is_an_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not Tombstones.read(folder)
    kept = stones(("id", "a" * 16), ("host", "a.org"), ("phash", f"{HASH:016x}"))
    kept.write(folder)
    assert Tombstones.read(folder) == kept
    (tmp_path / "tombstones.parquet").write_bytes(b"rotten")
    with pytest.raises(RunError, match="says what must not come back"):
        Tombstones.read(folder)


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [
        ("ids", "xyz", "no id: 16 hex digits"),
        ("ids", "a" * 64, "no id: 16 hex digits"),
        ("urls", "example.org/picture.jpg", "no URL: no scheme"),
        ("hosts", "http://example.org/", "no host name such as example.org"),
        ("hosts", "two words", "no host name"),
        ("hashes", "a" * 40, "no SHA-256: 64 hex digits"),
    ],
)
def test_removal_list_with_wrong_line_names_it(
    tmp_path: Path, kind: str, line: str, message: str
) -> None:
    (tmp_path / "list.txt").write_text(f"\n{line}\n")
    with pytest.raises(InputError, match=rf"list\.txt line 2: .* is {message}"):
        curate.remove(tmp_path, **{kind: [tmp_path / "list.txt"]})


def test_removal_without_entries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"can't read .*none\.txt: No such file"):
        curate.remove(tmp_path, ids=[tmp_path / "none.txt"])
    (tmp_path / "blank.txt").write_text("\n  \n")
    with pytest.raises(InputError, match="name nothing to remove"):
        curate.remove(tmp_path, ids=[tmp_path / "blank.txt"])
    (tmp_path / "ids.txt").write_text("a" * 16)
    with pytest.raises(RunError, match="is no run folder"):
        curate.remove(tmp_path, ids=[tmp_path / "ids.txt"])


def test_removal_from_manifest_takes_rows_and_copies(tmp_path: Path) -> None:
    common = {
        "format": "PNG",
        "width": 64,
        "height": 64,
        "pixels": 4096,
        "bpp": 8.0,
        "nbytes": 4096,
        "split": "train",
    }
    rows = [
        {"id": candidate_id(f"http://h{n}.org/1"), "url": f"http://h{n}.org/1", **common}
        | {"sha256": hashlib.sha256(b"%d" % n).hexdigest(), "pixel_sha256": f"{n // 2:064x}"}
        for n in range(6)
    ]
    path = tmp_path / "m.parquet"
    write_manifest(path, pa.Table.from_pylist(rows), {"recipe_name": "r"}, root=".")
    (tmp_path / "urls.txt").write_text("http://h2.org:80/1\nhttp://nowhere.org/\n")
    before = path.read_bytes()
    would = curate.remove(path, urls=[tmp_path / "urls.txt"], dry_run=True)
    assert (would.copies, would.unknown, would.picked) == (1, 1, {"train": 2})
    assert path.read_bytes() == before
    curate.remove(path, urls=[tmp_path / "urls.txt"])
    left = read_manifest(path)
    assert left.column("url") == [rows[n]["url"] for n in (0, 1, 4, 5)]
    assert left.metadata["recipe_name"] == "r"
