from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import ManifestError
from curate.manifest import Difference, Manifest, compare, find_faults, read_manifest


def manifest(table: pa.Table, **metadata: str) -> Manifest:
    return Manifest("here/manifest/train.parquet", table, {"root": "..", **metadata})


def planted(table: pa.Table, row: int, column: str, value: object) -> pa.Table:
    """The table with one value changed."""
    values = table[column].to_pylist()
    values[row] = value
    place = table.column_names.index(column)
    return table.set_column(place, column, pa.array(values, table.schema.field(column).type))


def test_faults_of_sound_manifest_are_none(table: pa.Table) -> None:
    assert list(find_faults(manifest(table))) == []
    assert list(find_faults(manifest(table.slice(0, 0)))) == []


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (1, "id", "12345", "not 16 hex digits"),
        (2, "id", "ABCDEF0123456789", "not 16 hex digits"),
        (0, "id", None, "null"),
        (3, "url", None, "null"),
        (0, "sha256", "f" * 63, "not 64 hex digits"),
        (1, "split", "validation", "neither train nor test"),
        (2, "nbytes", 0, "not positive"),
        (2, "offset", -1, "negative"),
        (3, "hf_ratio", 1.5, "outside 0 to 1"),
        (3, "hf_ratio_032", -0.1, "outside 0 to 1"),
        (0, "label_score", 2.0, "outside 0 to 1"),
        (1, "pixels", 7, "not width x height"),
        (2, "bpp", 24.0, r"not 8 x coded_nbytes / pixels"),
        (1, "bpp", float("nan"), r"not 8 x coded_nbytes / pixels"),
        (1, "hf_ratio", float("nan"), "outside 0 to 1"),
        (3, "clipped_high", 1.01, "outside 0 to 1"),
        (0, "noise_sigma", float("nan"), "not a number"),
        (2, "colourfulness", float("inf"), "not a number"),
        (1, "orientation", 9, "outside 1 to 8"),
        (3, "jpeg_quality", 0, "outside 1 to 100"),
        (3, "tar", "images/part-00000.tar", "a place needs both tar and offset"),
        (0, "tile_of", "tile", "not 16 hex digits"),
        (1, "tile_x", -8, "negative"),
    ],
)
def test_faults_of_wrong_value_name_row_and_column(
    table: pa.Table, row: int, column: str, value: object, message: str
) -> None:
    faults = [
        fault
        for fault in find_faults(manifest(planted(table, row, column, value)))
        if fault.column == column
    ]
    assert [(fault.row, fault.message) for fault in faults] == [(row, message)]
    assert str(faults[0]) == f"row {row}, column {column}: {message}"


def test_faults_of_older_minor_version_are_none(run, tmp_path: Path) -> None:
    """1.0 had no further facts: those columns are just not there."""
    import pyarrow.parquet as pq

    run(str(tmp_path / "run"))
    path = tmp_path / "run/manifest/train.parquet"
    later = [
        "chroma_subsampling", "blockiness", "noise_sigma", "spectral_cutoff", "border_share",
        "clipped_low", "clipped_high", "colourfulness", "channel_spread",
    ]  # fmt: skip
    old = pq.read_table(path).drop_columns(later)
    pq.write_table(
        old.replace_schema_metadata({**old.schema.metadata, b"curate.schema": b"1.0"}), path
    )
    opened = read_manifest(path)
    assert opened.metadata["schema"] == "1.0"
    assert list(find_faults(opened, check_bytes=True)) == []


def test_faults_of_repeated_id_name_both_rows(table: pa.Table) -> None:
    twice = pa.concat_tables([table, table.slice(1, 1)])
    assert [str(fault) for fault in find_faults(manifest(twice))] == [
        "row 4, column id: the same as in row 1"
    ]


def test_faults_of_missing_required_column_are_one(table: pa.Table) -> None:
    (fault,) = find_faults(manifest(table.drop_columns(["split"])))
    assert str(fault) == "column split: missing"
    assert list(find_faults(manifest(table.drop_columns(["caption", "phash"])))) == []


def test_faults_of_wrong_column_type_are_one(table: pa.Table) -> None:
    place = table.column_names.index("width")
    (fault,) = find_faults(
        manifest(table.set_column(place, "width", table["width"].cast(pa.string())))
    )
    assert str(fault) == "column width: type string, should be int32"


def test_faults_of_several_columns_are_all_found(table: pa.Table) -> None:
    broken = planted(
        planted(planted(table, 0, "id", "x"), 1, "split", "x"), 2, "sha256", "x"
    ).drop_columns(["format"])
    assert {(fault.row, fault.column) for fault in find_faults(manifest(broken))} == {
        (None, "format"),
        (0, "id"),
        (1, "split"),
        (2, "sha256"),
    }


def test_faults_with_check_bytes_include_changed_images(run, tmp_path: Path) -> None:
    run(str(tmp_path / "run"))
    opened = read_manifest(tmp_path / "run/manifest/train.parquet")
    assert list(find_faults(opened, check_bytes=True)) == []
    tar = tmp_path / "run/images/part-00000.tar"
    whole = bytearray(tar.read_bytes())
    whole[opened.table["offset"][2].as_py()] ^= 1
    tar.write_bytes(whole[: opened.table["offset"][3].as_py() + 1])
    assert list(find_faults(opened)) == []
    changed, cut = find_faults(opened, check_bytes=True)
    assert (changed.row, changed.column) == (2, "sha256")
    assert "the bytes hash to" in changed.message
    assert (cut.row, cut.column) == (3, "tar")
    assert "ends before byte" in cut.message


@pytest.mark.parametrize("column", ["tar", "offset", "nbytes", "sha256"])
def test_faults_with_check_bytes_and_broken_columns_raise_nothing(
    run, tmp_path: Path, column: str
) -> None:
    table, _ = run(str(tmp_path / "run"))
    path = str(tmp_path / "run/manifest/train.parquet")
    dropped = Manifest(path, table.drop_columns([column]), {"root": ".."})
    list(find_faults(dropped, check_bytes=True))
    place = table.column_names.index(column)
    wrong = Manifest(
        path, table.set_column(place, column, pa.array([[1]] * len(table))), {"root": ".."}
    )
    assert any(
        fault.column == column and "type" in fault.message
        for fault in find_faults(wrong, check_bytes=True)
    )


def test_compare_of_equal_manifests_finds_nothing(table: pa.Table) -> None:
    same = Difference(added=(), removed=(), changed={}, same=4, metadata={})
    assert compare(manifest(table), manifest(table)) == same
    assert compare(manifest(table), manifest(table.take([3, 1, 0, 2]))) == same


def test_compare_lists_differences_by_id(table: pa.Table) -> None:
    ids = table["id"].to_pylist()
    second = planted(planted(table, 1, "category", "Food"), 1, "caption", "new").slice(1)
    second = second.append_column("similarity", pa.array([None, 0.5, None], pa.float64()))
    found = compare(
        manifest(table, seed="1", recipe_name="demo"), manifest(second, seed="2", code="0.2")
    )
    assert found.removed == (ids[0],)
    assert found.added == ()
    assert found.changed == {ids[1]: ("caption", "category"), ids[2]: ("similarity",)}
    assert found.same == 1
    assert found.metadata == {
        "seed": ("1", "2"),
        "recipe_name": ("demo", None),
        "code": (None, "0.2"),
    }
    assert compare(manifest(second), manifest(table)).added == (ids[0],)


def test_compare_without_ids_is_refused(table: pa.Table) -> None:
    with pytest.raises(ManifestError, match="has no column 'id'"):
        compare(manifest(table), manifest(table.drop_columns(["id"])))


def test_compare_with_published_copy_ignores_places(table: pa.Table) -> None:
    copy = table
    for name in ("tar", "offset"):
        copy = copy.set_column(
            copy.column_names.index(name), name, pa.nulls(len(copy), copy.schema.field(name).type)
        )
    assert compare(manifest(table), manifest(copy)).changed == {}


def test_faults_of_tile_are_half_boxes_but_not_bpp_of_its_image(table: pa.Table) -> None:
    tile = planted(planted(table, 1, "tile_of", "0123456789abcdef"), 1, "bpp", 2.5)
    faults = list(find_faults(manifest(tile)))
    assert [(fault.row, fault.column) for fault in faults] == [(1, "tile_x"), (1, "tile_y")]
    assert "of a tile" in faults[0].message
    whole = planted(planted(tile, 1, "tile_x", 8), 1, "tile_y", 0)
    assert list(find_faults(manifest(whole))) == []
