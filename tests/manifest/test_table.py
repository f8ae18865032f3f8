import hashlib
import io
import json
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import __version__
from curate.errors import ManifestError
from curate.manifest import CATEGORIES, LEDGER, MANIFEST, arrow_schema, encode_manifest
from curate.manifest.schema import BROAD, SCHEMA_VERSION
from curate.manifest.table import read_manifest, write_manifest

STEADY = settings(deadline=None, derandomize=True, max_examples=40)
METADATA = {"recipe": "name: demo\n", "recipe_name": "demo", "seed": "7"}


# The schema


def test_schema_names_and_explains_each_column_once() -> None:
    names = [column.name for column in LEDGER]
    assert len(names) == len(set(names))
    assert names[: len(MANIFEST)] == arrow_schema(MANIFEST).names
    assert all(column.meaning for column in LEDGER)


def test_schema_has_sixteen_categories_three_of_them_others() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 16
    others = [f"{broad} others" for broad in BROAD]
    assert [name for name in CATEGORIES if name.endswith("others")] == others


# Written and read


def test_manifest_reads_as_it_was_written(table: pa.Table, tmp_path: Path) -> None:
    write_manifest(tmp_path / "train.parquet", table, METADATA)
    manifest = read_manifest(tmp_path / "train.parquet")
    assert len(manifest) == len(table)
    assert manifest.table.to_pylist() == table.to_pylist()
    assert manifest.table.schema.remove_metadata() == arrow_schema()
    assert {key: manifest.metadata[key] for key in METADATA} == METADATA
    assert (manifest.metadata["schema"], manifest.metadata["code"]) == (SCHEMA_VERSION, __version__)


def test_manifest_on_another_file_system_reads_as_written(table: pa.Table) -> None:
    write_manifest("memory://manifests-test/manifest/train.parquet", table, METADATA)
    assert (
        read_manifest("memory://manifests-test/manifest/train.parquet").table.to_pylist()
        == table.to_pylist()
    )


@STEADY
@given(st.data())
def test_encoding_of_the_same_rows_is_the_same_bytes(table: pa.Table, data: st.DataObject) -> None:
    columns = data.draw(st.permutations(table.column_names))
    cut = data.draw(st.integers(1, len(table)))
    chunked = pa.concat_tables([table.slice(i, cut) for i in range(0, len(table), cut)])
    metadata = dict(data.draw(st.permutations(list(METADATA.items()))))
    assert encode_manifest(chunked.select(columns), metadata) == encode_manifest(table, METADATA)


def test_encoding_of_other_rows_or_recipe_is_other_bytes(table: pa.Table) -> None:
    original = encode_manifest(table, METADATA)
    assert encode_manifest(table.slice(1), METADATA) != original
    assert encode_manifest(table, METADATA | {"seed": "8"}) != original


def test_encoding_puts_unknown_columns_last(table: pa.Table, tmp_path: Path) -> None:
    wider = table.add_column(0, "similarity", pa.array([0.3] * len(table)))
    write_manifest(tmp_path / "train.parquet", wider, METADATA)
    manifest = read_manifest(tmp_path / "train.parquet")
    assert manifest.table.column_names == [*(column.name for column in MANIFEST), "similarity"]


def test_encoding_without_optional_columns_is_allowed(table: pa.Table, tmp_path: Path) -> None:
    required = [column.name for column in MANIFEST if column.required]
    write_manifest(tmp_path / "train.parquet", table.select(required), METADATA)
    assert read_manifest(tmp_path / "train.parquet").table.column_names == required


def test_encoding_casts_columns_to_the_schema(table: pa.Table) -> None:
    wide = table.set_column(
        table.column_names.index("width"), "width", table["width"].cast(pa.int64())
    )
    assert encode_manifest(wide, METADATA) == encode_manifest(table, METADATA)


def test_encoding_describes_every_column_to_hugging_face(table: pa.Table) -> None:
    wider = table.append_column("similarity", pa.array([0.3] * len(table)))
    schema = pq.read_schema(io.BytesIO(encode_manifest(wider, METADATA)))
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert {feature["_type"] for feature in features.values()} == {"Value"}
    known = {"string", "bool", "int8", "int16", "int32", "int64", "uint64", "float32", "float64"}
    assert {feature["dtype"] for feature in features.values()} <= known
    assert (features["width"]["dtype"], features["phash"]["dtype"], features["bpp"]["dtype"]) == (
        "int32",
        "uint64",
        "float64",
    )


def test_encoding_of_no_rows_is_a_manifest(table: pa.Table, tmp_path: Path) -> None:
    write_manifest(tmp_path / "test.parquet", table.slice(0, 0), METADATA)
    manifest = read_manifest(tmp_path / "test.parquet")
    assert len(manifest) == 0
    assert manifest.fingerprint == hashlib.sha256().hexdigest()


def test_encoding_without_required_column_is_refused(table: pa.Table) -> None:
    with pytest.raises(ManifestError, match="needs the columns sha256, split"):
        encode_manifest(table.drop_columns(["sha256", "split"]), METADATA)


def test_encoding_with_wrong_type_is_refused(table: pa.Table) -> None:
    for wrong in (
        pa.array(["wide"] * len(table)),
        pa.array([[1]] * len(table)),
        pa.array([2.5] * len(table)),
    ):
        broken = table.set_column(table.column_names.index("width"), "width", wrong)
        with pytest.raises(ManifestError, match="a column has the wrong type"):
            encode_manifest(broken, METADATA)


# The fingerprint


def test_fingerprint_does_not_depend_on_places(table: pa.Table, tmp_path: Path) -> None:
    fingerprints = set()
    for place, rows, metadata in [
        ("here", table, METADATA),
        ("there", table, METADATA | {"seed": "9"}),
        (
            "published",
            table.drop_columns(["tar", "offset", "bpp"]).append_column("bpp", table["bpp"]),
            METADATA,
        ),
    ]:
        write_manifest(tmp_path / place / "train.parquet", rows, metadata)
        fingerprints.add(read_manifest(tmp_path / place / "train.parquet").fingerprint)
    pairs = zip(table["id"].to_pylist(), table["sha256"].to_pylist(), strict=True)
    assert fingerprints == {
        hashlib.sha256("".join(f"{i} {s}\n" for i, s in pairs).encode()).hexdigest()
    }


def test_fingerprint_of_other_images_is_another(table: pa.Table, tmp_path: Path) -> None:
    found = set()
    for number, rows in enumerate(
        [table, table.slice(1), table.take([1, 0, *range(2, len(table))])]
    ):
        write_manifest(tmp_path / f"{number}.parquet", rows, METADATA)
        found.add(read_manifest(tmp_path / f"{number}.parquet").fingerprint)
    assert len(found) == 3


# The bytes behind a row


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_image_bytes_are_those_in_the_tar(run, where: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "run") if where == "disk" else "memory://manifests-test-run/deep"
    table, bodies = run(folder)
    manifest = read_manifest(f"{folder}/manifest/train.parquet")
    assert [manifest.read_bytes(row) for row in range(len(table))] == bodies


def test_image_bytes_after_moving_the_run_folder_are_found(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bodies = run(str(tmp_path / "run"))
    (tmp_path / "run").rename(tmp_path / "moved")
    assert read_manifest(tmp_path / "moved/manifest/train.parquet").read_bytes(1) == bodies[1]
    monkeypatch.chdir(tmp_path / "moved/manifest")
    assert read_manifest("train.parquet").read_bytes(1) == bodies[1]
    monkeypatch.chdir(tmp_path / "moved")
    assert read_manifest("manifest/train.parquet").read_bytes(1) == bodies[1]
    assert (
        read_manifest(f"file://{tmp_path}/moved/manifest/train.parquet").read_bytes(1) == bodies[1]
    )


def test_image_bytes_are_read_by_tarfile(run, tmp_path: Path) -> None:
    _, bodies = run(str(tmp_path / "run"))
    with tarfile.open(tmp_path / "run/images/part-00000.tar") as tar:
        assert [tar.extractfile(member).read() for member in tar] == bodies


def test_image_bytes_of_missing_tar_name_it(run, tmp_path: Path) -> None:
    run(str(tmp_path / "run"))
    (tmp_path / "run/images/part-00000.tar").unlink()
    manifest = read_manifest(tmp_path / "run/manifest/train.parquet")
    with pytest.raises(
        ManifestError,
        match=r"train.parquet row 2: .*part-00000.tar is not there; keep the manifest",
    ):
        manifest.read_bytes(2)


def test_image_bytes_of_truncated_tar_are_refused(run, tmp_path: Path) -> None:
    run(str(tmp_path / "run"))
    tar = tmp_path / "run/images/part-00000.tar"
    tar.write_bytes(tar.read_bytes()[:600])
    manifest = read_manifest(tmp_path / "run/manifest/train.parquet")
    with pytest.raises(ManifestError, match=r"row 3: .*part-00000.tar ends before byte \d+"):
        manifest.read_bytes(3)


def test_image_bytes_of_folder_for_a_tar_are_refused(run, tmp_path: Path) -> None:
    run(str(tmp_path / "run"))
    (tmp_path / "run/images/part-00000.tar").unlink()
    (tmp_path / "run/images/part-00000.tar").mkdir()
    manifest = read_manifest(tmp_path / "run/manifest/train.parquet")
    with pytest.raises(ManifestError, match="row 0: can't read"):
        manifest.read_bytes(0)


def test_image_bytes_of_published_manifest_are_refused(table: pa.Table, tmp_path: Path) -> None:
    write_manifest(tmp_path / "train.parquet", table, METADATA)
    with pytest.raises(
        ManifestError, match=r"is a published manifest, without images: fetch them with  curate run"
    ):
        read_manifest(tmp_path / "train.parquet").read_bytes(0)


def test_image_bytes_without_column_name_it(table: pa.Table, tmp_path: Path) -> None:
    write_manifest(tmp_path / "train.parquet", table.drop_columns(["tar"]), METADATA)
    with pytest.raises(ManifestError, match="has no column 'tar'; see  curate manifest validate"):
        read_manifest(tmp_path / "train.parquet").read_bytes(0)


# Files that are no manifest


def test_reading_no_file_or_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no manifest at .*none\.parquet"):
        read_manifest(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("id,url\n")
    with pytest.raises(ManifestError, match=r"text.parquet is no readable Parquet file"):
        read_manifest(tmp_path / "text.parquet")
    with pytest.raises(ManifestError):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="Protocol not known"):
        read_manifest("foo://train.parquet")


def test_reading_parquet_that_is_no_manifest_is_refused(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "other.parquet")
    with pytest.raises(
        ManifestError, match=r"is a Parquet file, but no manifest: it has no 'curate.schema'"
    ):
        read_manifest(tmp_path / "other.parquet")


@pytest.mark.parametrize(
    ("version", "known"), [("1.0", True), ("1.9", True), ("2.0", False), ("10.0", False)]
)
def test_reading_a_later_major_version_is_refused(
    table: pa.Table, tmp_path: Path, version: str, known: bool
) -> None:
    pq.write_table(
        table.replace_schema_metadata({"curate.schema": version}), tmp_path / "train.parquet"
    )
    if known:
        assert read_manifest(tmp_path / "train.parquet").metadata["schema"] == version
    else:
        with pytest.raises(
            ManifestError,
            match=f"has schema {version}, this curate reads {SCHEMA_VERSION}: update curate",
        ):
            read_manifest(tmp_path / "train.parquet")


def test_reading_metadata_of_any_bytes_is_allowed(table: pa.Table, tmp_path: Path) -> None:
    metadata = {b"curate.schema": b"1.0", b"curate.note": b"\xff", b"\xfe": b"\xff"}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "train.parquet")
    assert read_manifest(tmp_path / "train.parquet").metadata == {"schema": "1.0", "note": "\ufffd"}


def test_reading_a_truncated_manifest_is_refused(table: pa.Table, tmp_path: Path) -> None:
    whole = encode_manifest(table, METADATA)
    for length in range(0, len(whole), len(whole) // 40):
        with fsspec.open(f"memory://manifests-test/cut-{length}.parquet", "wb") as file:
            file.write(whole[:length])
        with pytest.raises(
            ManifestError, match=f"cut-{length}.parquet is no readable Parquet file"
        ):
            read_manifest(f"memory://manifests-test/cut-{length}.parquet")
