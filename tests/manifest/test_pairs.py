"""Rows that also point at a degraded image."""

import hashlib
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from curate.errors import ManifestError, RecipeError
from curate.manifest import (
    LEDGER,
    PAIRED,
    Manifest,
    arrow_schema,
    compare,
    export_manifest,
    find_faults,
    merge,
    read_manifest,
    write_manifest,
)
from curate.recipe import Recipe

NOISY = b"the first, with noise"


def pair(run, folder: str) -> Manifest:
    """The four rows; the first also points at a file of its own, the second into its own tar."""
    table, bodies = run(folder)
    with fsspec.open(f"{folder}/noisy/0.jpg", "wb", auto_mkdir=True) as file:
        file.write(NOISY)
    offset = table["offset"][3].as_py()
    columns = {
        "degraded_tar": ["noisy/0.jpg", "images/part-00000.tar", None, None],
        "degraded_offset": [0, offset, None, None],
        "degraded_nbytes": [len(NOISY), len(bodies[3]), None, None],
        "degraded_sha256": [hashlib.sha256(data).hexdigest() for data in (NOISY, bodies[3])]
        + [None, None],
        "degradation": ["real_noise", "rain", None, None],
        "task": ["denoise", "derain", None, None],
        "dataset": ["demo"] * 4,
    }
    for column in PAIRED:
        table = table.append_column(column.name, pa.array(columns[column.name], column.type))
    write_manifest(f"{folder}/manifest/pairs.parquet", table, {})
    return read_manifest(f"{folder}/manifest/pairs.parquet")


def changed(table: pa.Table, column: str, row: int, value) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    field = table.schema.field(column)
    return table.set_column(table.column_names.index(column), column, pa.array(values, field.type))


def test_paired_columns_are_not_columns_of_the_ledger() -> None:
    assert set(arrow_schema(PAIRED).names).isdisjoint(arrow_schema(LEDGER).names)
    assert all(column.meaning and column.stage == "ingest" for column in PAIRED)
    with pytest.raises(RecipeError, match="task is there already"):
        Recipe.parse({"name": "x", "candidates": {"keep": ["task"]}}, where="test")


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_degraded_image_is_read_from_disk_and_object_store(run, where: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "run") if where == "disk" else "memory://manifests-pairs/run"
    manifest = pair(run, folder)
    assert manifest.is_paired
    assert manifest.read_degraded_bytes(0) == NOISY
    assert manifest.read_degraded_bytes(1) == manifest.read_bytes(3)
    assert list(find_faults(manifest, check_bytes=True)) == []


def test_row_without_degraded_image_says_so(run, tmp_path: Path) -> None:
    manifest = pair(run, str(tmp_path / "run"))
    plain = read_manifest(tmp_path / "run/manifest/train.parquet")
    assert not plain.is_paired
    for source, row in ((manifest, 2), (plain, 0)):
        with pytest.raises(ManifestError, match=f"row {row} has no degraded image"):
            source.read_degraded_bytes(row)


def test_degraded_image_that_has_changed_is_refused(run, tmp_path: Path) -> None:
    manifest = pair(run, str(tmp_path / "run"))
    (tmp_path / "run/noisy/0.jpg").write_bytes(NOISY.replace(b"noise", b"grain"))
    with pytest.raises(
        ManifestError, match=r"row 0: .*noisy/0\.jpg isn't what was paired any more"
    ):
        manifest.read_degraded_bytes(0)
    assert [(fault.row, fault.column) for fault in find_faults(manifest, check_bytes=True)] == [
        (0, "degraded_tar")
    ]
    (tmp_path / "run/noisy/0.jpg").unlink()
    with pytest.raises(ManifestError, match=r"noisy/0\.jpg is not there"):
        manifest.read_degraded_bytes(0)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("degraded_sha256", "beef", "not 64 hex digits"),
        ("degraded_nbytes", 0, "not positive"),
        ("degraded_nbytes", None, "null, and the row is of a pair"),
        ("degradation", None, "null, and the row is of a pair"),
        ("task", None, "null, and the row is of a pair"),
        ("degraded_offset", -1, "negative"),
        ("degraded_offset", None, "a place needs both tar and offset"),
    ],
)
def test_faults_of_incomplete_pair_name_it(
    run, tmp_path: Path, column: str, value, message: str
) -> None:
    table = changed(pair(run, str(tmp_path / "run")).table, column, 1, value)
    found = [(fault.row, fault.message) for fault in find_faults(Manifest("x", table, {}))]
    assert found == [(1, message)]


def test_faults_of_missing_paired_column_name_its_pairs(run, tmp_path: Path) -> None:
    table = pair(run, str(tmp_path / "run")).table.drop_columns(["task"])
    assert [(f.row, f.column) for f in find_faults(Manifest("x", table, {}))] == [
        (0, "task"),
        (1, "task"),
    ]


def test_fingerprint_depends_on_degraded_images(run, tmp_path: Path) -> None:
    manifest = pair(run, str(tmp_path / "run"))
    other = Manifest("x", changed(manifest.table, "degraded_sha256", 1, "0" * 64), {})
    assert other.fingerprint != manifest.fingerprint
    clean = manifest.table.drop_columns([column.name for column in PAIRED])
    assert (
        Manifest("x", clean, {}).fingerprint
        == read_manifest(tmp_path / "run/manifest/train.parquet").fingerprint
    )


def test_export_of_pairs_has_no_places(run, tmp_path: Path) -> None:
    manifest = pair(run, str(tmp_path / "run"))
    export_manifest(manifest, tmp_path / "published.parquet")
    published = read_manifest(tmp_path / "published.parquet")
    assert published.is_paired
    assert published.fingerprint == manifest.fingerprint
    assert (
        published.table["degraded_tar"].null_count
        == published.table["degraded_offset"].null_count
        == 4
    )
    assert compare(manifest, published).same == 4
    with pytest.raises(ManifestError, match="is a published manifest, without images"):
        published.read_degraded_bytes(0)
    export_manifest(
        read_manifest(tmp_path / "run/manifest/train.parquet"), tmp_path / "plain.parquet"
    )
    assert "degraded_tar" not in read_manifest(tmp_path / "plain.parquet").table.column_names


def test_merged_pairs_still_point_at_their_bytes(run, tmp_path: Path) -> None:
    manifest = pair(run, str(tmp_path / "far/run"))
    # another noisy image of the first, which is in no other way another one
    again = changed(
        changed(manifest.table.slice(0, 2), "id", 0, "f" * 16), "degraded_sha256", 0, "0" * 64
    )
    merged = merge(
        [manifest, Manifest(manifest.path, again, manifest.metadata)], tmp_path / "near/all.parquet"
    )
    assert (merged.images, merged.repeated) == (5, 1)
    opened = read_manifest(tmp_path / "near/all.parquet")
    assert opened.read_degraded_bytes(0) == NOISY
    assert opened.column("sha256")[4] == opened.column("sha256")[0]
    with pytest.raises(ManifestError, match="isn't what was paired"):
        opened.read_degraded_bytes(4)


def test_merge_makes_a_clean_image_test_with_all_its_partners(run, tmp_path: Path) -> None:
    manifest = pair(run, str(tmp_path / "run"))
    again = changed(
        changed(manifest.table.slice(0, 1), "id", 0, "f" * 16), "degraded_sha256", 0, "0" * 64
    )
    test = Manifest(manifest.path, changed(again, "split", 0, "test"), manifest.metadata)
    assert merge([manifest, test], tmp_path / "run/manifest/all.parquet").to_test == 1
    assert read_manifest(tmp_path / "run/manifest/all.parquet").column("split") == [
        "test", "train", "train", "train", "test",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["webdataset", "folder", "crops"])
def test_export_of_pairs_without_partners_is_refused(run, tmp_path: Path, kind: str) -> None:
    pair(run, str(tmp_path / "run"))
    with pytest.raises(
        ManifestError, match="is of pairs, and such an export would hold the clean images alone"
    ):
        export_manifest(tmp_path / "run/manifest/pairs.parquet", tmp_path / "out", kind)
    assert not (tmp_path / "out").exists()
