"""Tile manifests: checks of them, and every export of the pixels inside their boxes."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.errors import ManifestError
from curate.manifest import ExportOptions, Manifest, export_manifest, find_faults, read_manifest
from curate.manifest.export.images import CROP_FORMS
from tests.images.pictures import decode
from tests.tiles import write_tiles

CORNERS = {0: [(0, 0), (24, 16), (54, 34)], 1: [(8, 40)], 2: [(0, 31), (17, 0)]}
"""Boxes of 16 pixels: three of a JPEG, one of a PNG, two of one with transparency."""


@pytest.fixture
def tiles(pictures: Path, tmp_path: Path) -> Manifest:
    run = Path(shutil.copytree(pictures, tmp_path / "run"))
    return write_tiles(run / "manifest/train.parquet", CORNERS, 16)


def expected(tiles: Manifest) -> dict[str, np.ndarray]:
    """Id -> pixels, cut from the whole image."""
    found = {}
    for number, row in enumerate(tiles.table.to_pylist()):
        x, y = row["tile_x"], row["tile_y"]
        found[row["id"]] = decode(tiles.read_bytes(number))[y : y + 16, x : x + 16]
    return found


def written(kind: str, out: Path) -> dict[str, bytes]:
    """Id -> file, of an export."""
    match kind:
        case "folder":
            return {path.stem: path.read_bytes() for path in out.glob("train/*.png")}
        case "webdataset":
            with tarfile.open(out / "train-00000.tar") as tar:
                names = [name for name in tar.getnames() if name.endswith(".png")]
                return {name.removesuffix(".png"): tar.extractfile(name).read() for name in names}
        case "hf":
            rows = pq.read_table(out / "data/train-00000-of-00001.parquet").to_pylist()
            return {row["id"]: row["image"]["bytes"] for row in rows}
        case "fiftyone":
            return {path.stem: path.read_bytes() for path in out.glob("data/*.png")}
    import lmdb

    opened = lmdb.open(str(out / "train.lmdb"), readonly=True, lock=False)
    with opened, opened.begin() as transaction:
        return {key.decode(): value for key, value in transaction.cursor()}


@pytest.mark.parametrize("kind", ["folder", "webdataset", "hf", "fiftyone", "lmdb"])
def test_export_of_tiles_holds_their_pixels_as_images_of_their_own(
    tiles: Manifest, tmp_path: Path, kind: str
) -> None:
    if kind == "lmdb":
        pytest.importorskip("lmdb")
    assert export_manifest(tiles, tmp_path / "out", kind).images == 6
    files, known = written(kind, tmp_path / "out"), expected(tiles)
    assert files.keys() == known.keys()
    for id_, data in files.items():
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            assert np.array_equal(np.asarray(image), known[id_])
    # the rows are of whole images now, with the measures of their pixels
    published = read_manifest(tmp_path / "out/manifest.parquet")
    assert list(find_faults(published)) == []
    assert not published.is_tiled
    for name in ("id", "url", "width", "hf_ratio", "category"):
        assert published.column(name) == tiles.column(name)
    for old, new in (("tile_of", "crop_of"), ("tile_x", "crop_x"), ("tile_y", "crop_y")):
        assert published.column(new) == tiles.column(old)
    assert published.column("nbytes") == [len(files[id_]) for id_ in published.column("id")]
    if kind == "folder":
        lines = (tmp_path / "out/train/metadata.jsonl").read_text().splitlines()
        assert [json.loads(line)["sha256"] for line in lines] == published.column("sha256")


@pytest.mark.parametrize("form", CROP_FORMS)
def test_crops_of_tiles_are_the_boxes_with_their_measures(
    tiles: Manifest, tmp_path: Path, form: str
) -> None:
    if form == "lmdb":
        pytest.importorskip("lmdb")
    options = ExportOptions(crop=8, overlap=0, crops_as=form)
    assert export_manifest(tiles, tmp_path / "out", "crops", options=options).images == 6
    crops = read_manifest(tmp_path / "out/manifest/train.parquet")
    assert list(find_faults(crops, check_bytes=form != "lmdb")) == []
    for name in ("id", "url", "width", "hf_ratio"):
        assert crops.column(name) == tiles.column(name)
    assert crops.column("crop_of") == tiles.column("tile_of")
    known = expected(tiles)
    files = written("lmdb", tmp_path / "out") if form == "lmdb" else {}
    for row, id_ in enumerate(crops.column("id")):
        data = files[id_] if files else crops.read_bytes(row)
        assert np.array_equal(decode(data), known[id_])


def test_tiles_of_one_image_are_decoded_together(
    tiles: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = Manifest.read_bytes
    monkeypatch.setattr(
        Manifest, "read_bytes", lambda self, row: (read.append(row), original(self, row))[1]
    )
    export_manifest(tiles, tmp_path / "out", "folder")
    assert list(find_faults(tiles, check_bytes=True)) == []
    assert read == [0, 3, 4] * 2


def test_lists_of_tiles_keep_rows_and_ask_for_each_file_once(
    tiles: Manifest, tmp_path: Path
) -> None:
    export_manifest(tiles, tmp_path / "list.parquet")
    published = read_manifest(tmp_path / "list.parquet")
    assert published.column("url") == tiles.column("url")
    assert published.column("tile_x") == tiles.column("tile_x")
    assert published.fingerprint == tiles.fingerprint
    assert export_manifest(tiles, tmp_path / "urls.txt").images == 3
    urls = (tmp_path / "urls.txt").read_text().splitlines()
    assert urls == ["http://site/0", "http://site/1", "http://site/2"]
    export_manifest(tiles, tmp_path / "urls.parquet", "urls")
    table = pq.read_table(tmp_path / "urls.parquet")
    assert table["id"].to_pylist() == list(dict.fromkeys(tiles.column("tile_of")))
    assert table["width"].null_count == 3, "the image's size isn't the tile's"


def test_validate_names_a_box_that_leaves_its_image(pictures: Path, tmp_path: Path) -> None:
    """The turned image is 30 wide and 60 high, upright."""
    run = Path(shutil.copytree(pictures, tmp_path / "run"))
    tiles = write_tiles(run / "manifest/test.parquet", {0: [(14, 44), (15, 0), (0, 45)]}, 16)
    assert list(find_faults(tiles)) == []
    faults = [str(fault) for fault in find_faults(tiles, check_bytes=True)]
    assert faults == [
        "row 1, column tile_of: its box xywh=15,0,16,16 leaves its image of 30 x 60 pixels; cut "
        "the tiles again",
        "row 2, column tile_of: its box xywh=0,45,16,16 leaves its image of 30 x 60 pixels; cut "
        "the tiles again",
    ]
    with pytest.raises(ManifestError, match=r"row 1: its box xywh=15,0,16,16 leaves its image of"):
        export_manifest(tiles, tmp_path / "out", "folder")
    options = ExportOptions(skip_damaged=True)
    exported = export_manifest(tiles, tmp_path / "out", "folder", options=options)
    assert (exported.images, len(exported.left_out)) == (1, 2)


def test_tiles_of_a_missing_image_are_one_fault_each(tiles: Manifest, tmp_path: Path) -> None:
    (tmp_path / "run/images/part-00000.tar").unlink()
    faults = list(find_faults(tiles, check_bytes=True))
    assert [(fault.row, fault.column) for fault in faults] == [(row, "tar") for row in range(6)]
    with pytest.raises(ManifestError, match=r"part-00000.tar is not there"):
        export_manifest(tiles, tmp_path / "out", "folder")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("tile_y", None, "row 0 is a tile without a corner"),
        ("degraded_sha256", "0" * 64, "row 0 is a tile of a pair"),
        ("tile_y", "8", "column tile_y is of type string, and tiles need int32"),
    ],
)
def test_tiles_that_cannot_be_cut_are_refused(
    tiles: Manifest, tmp_path: Path, column: str, value: object, message: str
) -> None:
    from curate.restore.data.pictures import open_pictures

    table = tiles.table
    field = pa.field(column, pa.int32() if value is None else pa.string())
    if column in table.column_names:
        table = table.drop_columns([column])
    table = table.append_column(field, [pa.array([value] * len(table), field.type)])
    broken = Manifest(tiles.path, table, tiles.metadata)
    for use in (open_pictures, lambda m: export_manifest(m, tmp_path / "out", "crops")):
        with pytest.raises(ManifestError, match=message):
            use(broken)
    assert any(fault.column in ("tile_of", "tile_y") for fault in find_faults(broken))


def test_query_and_copies_of_tiles_stay_tile_manifests(tiles: Manifest, tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    from curate.manifest.query import query, save

    out = tmp_path / "run/manifest/some.parquet"
    save(query("SELECT * FROM images WHERE tile_x > 0", [tiles], out=out), out, [tiles])
    some = read_manifest(out)
    assert (len(some), some.is_tiled) == (4, True)
    assert list(find_faults(some, check_bytes=True)) == []
