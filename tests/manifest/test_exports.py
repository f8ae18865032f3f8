"""Every export of images, opened with the library that its users open it with."""

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from curate.errors import ManifestError, RunError
from curate.images.decode import open_image, to_rgb
from curate.manifest import (
    ExportOptions,
    Manifest,
    export_manifest,
    find_faults,
    open_manifests,
    read_manifest,
)
from curate.manifest.export.crops import positions

FOLDERS = ("webdataset", "hf", "folder", "fiftyone", "lmdb", "crops")


def rows_of(pictures: Path) -> dict[str, tuple[dict, bytes]]:
    """Id -> row and bytes."""
    found = {}
    for split in ("train", "test"):
        manifest = read_manifest(pictures / f"manifest/{split}.parquet")
        found |= {
            row["id"]: (row, manifest.read_bytes(n))
            for n, row in enumerate(manifest.table.to_pylist())
        }
    return found


def pixels(data: bytes) -> np.ndarray:
    with open_image(io.BytesIO(data)) as image:
        return np.asarray(to_rgb(image))


def tree(folder: Path) -> dict[str, str]:
    """Path -> hash of every file, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def copied(pictures: Path, folder: Path) -> Path:
    """A run whose tar may be damaged: its second training image is."""
    shutil.copytree(pictures, folder)
    tar = folder / "images/part-00000.tar"
    data = bytearray(tar.read_bytes())
    data[read_manifest(folder / "manifest/train.parquet").column("offset")[1] + 50] ^= 1
    tar.write_bytes(data)
    return folder


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # its files
def test_webdataset_export_is_read_by_webdataset(pictures: Path, tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    assert (
        export_manifest(
            str(pictures), tmp_path / "out", "webdataset", options=ExportOptions(per_file=3)
        ).images
        == 6
    )
    assert sorted(tree(tmp_path / "out")) == [
        "manifest.parquet", "test-00000.tar", "train-00000.tar", "train-00001.tar"
    ]  # fmt: skip
    known = rows_of(pictures)
    seen = []
    for tar in sorted((tmp_path / "out").glob("*.tar")):
        raw = wds.WebDataset(str(tar), shardshuffle=False)
        shown = wds.WebDataset(str(tar), shardshuffle=False).decode("rgb8")
        for sample, decoded in zip(raw, shown, strict=True):
            row, data = known[sample["__key__"]]
            (extension,) = sample.keys() & {"jpg", "png", "webp"}
            assert sample[extension] == data
            assert decoded["json"] == {
                k: v for k, v in row.items() if k not in ("tar", "offset") and v is not None
            }
            assert decoded["json"]["caption"] == "a, ü"
            assert decoded[extension].ndim == 3
            seen.append(sample["__key__"])
    assert sorted(seen) == sorted(known)


def test_hf_export_is_loaded_by_datasets(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    export_manifest(str(pictures), tmp_path / "out", "hf", options=ExportOptions(per_file=3))
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 4, "test": 2}
    known = rows_of(pictures)
    for sample in (*loaded["train"], *loaded["test"]):
        row, _ = known[sample["id"]]
        assert sample["image"].size == (row["width"], row["height"])
        assert sample["bpp"] == row["bpp"]
        assert "tar" not in sample
    plain = loaded["train"].cast_column("image", datasets.Image(decode=False))
    expected = [known[id_][1] for id_ in plain["id"]]
    assert [sample["image"]["bytes"] for sample in plain] == expected


def test_published_list_keeps_its_types_in_datasets(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the metadata that it carries: without, a hash of 64 bits would be guessed."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    export_manifest(str(pictures), tmp_path / "list.parquet")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "list.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    published = read_manifest(tmp_path / "list.parquet").table
    assert loaded.to_list() == published.to_pylist()
    types = {name: feature.dtype for name, feature in loaded.features.items()}
    assert list(types) == published.column_names
    assert (types["phash"], types["frequency_bin"], types["label_score"]) == (
        "uint64",
        "int16",
        "float32",
    )


def test_hf_export_includes_the_card_of_the_run(pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pictures, run)
    (run / "manifest/figures").mkdir()
    (run / "manifest/figures/size.svg").write_text("<svg/>")
    fingerprints = " ".join(manifest.fingerprint for manifest in open_manifests(str(run)))
    card = f"# Mine\n\n---\n\n{fingerprints} ![](figures/size.svg)"
    (run / "manifest/README.md").write_text(f"---\nconfigs: []\n---\n\n{card}\n")
    export_manifest(str(run), tmp_path / "out", "hf")
    header, _, body = (tmp_path / "out/README.md").read_text().partition("\n---\n")
    assert "path: data/train-*.parquet" in header
    assert "configs: []" not in header
    assert body.strip() == card
    assert (tmp_path / "out/figures/size.svg").read_text() == "<svg/>"
    # of other images it says nothing true
    (run / "manifest/README.md").write_text("# Another project")
    export_manifest(str(run), tmp_path / "plain", "hf")
    assert "# demo\n" in (tmp_path / "plain/README.md").read_text()
    assert not (tmp_path / "plain/figures").exists()


def test_folder_export_is_read_by_torchvision(pictures: Path, tmp_path: Path) -> None:
    vision = pytest.importorskip("torchvision.datasets")
    export_manifest(str(pictures), tmp_path / "out", "folder")
    known = rows_of(pictures)
    names = {
        path.stem: path
        for path in (tmp_path / "out").rglob("*.*")
        if path.name not in ("manifest.parquet", "metadata.jsonl")
    }
    assert names.keys() == known.keys()
    for id_, path in names.items():
        row, data = known[id_]
        assert path.read_bytes() == data
        place = "train" if row["split"] == "train" else f"val/{row['category']}"
        assert path.parent == tmp_path / "out" / place
    opened = vision.ImageFolder(str(tmp_path / "out/val"))
    assert opened.classes == sorted(
        row["category"] for row, _ in known.values() if row["split"] == "test"
    )


def test_folder_export_is_an_image_folder_with_its_rows(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    export_manifest(str(pictures), tmp_path / "out", "folder")
    cache = str(tmp_path / "cache")
    found = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), cache_dir=cache)
    known = rows_of(pictures)
    assert sum(map(len, found.values())) == len(known)
    for sample in (*found["train"], *found["validation"]):
        row = known[sample["id"]][0]
        assert (sample["url"], sample["sha256"]) == (row["url"], row["sha256"])
        assert (sample["width"], sample["height"]) == (row["width"], row["height"])
        assert sample["phash"] == str(row["phash"])


def test_fiftyone_export_types_every_field_of_its_samples(pictures: Path, tmp_path: Path) -> None:
    export_manifest(str(pictures), tmp_path / "out", "fiftyone")
    known = rows_of(pictures)
    dataset = json.loads((tmp_path / "out/metadata.json").read_text())
    samples = json.loads((tmp_path / "out/samples.json").read_text())["samples"]
    assert {sample["image_id"] for sample in samples} == known.keys()
    assert len({sample["_id"]["$oid"] for sample in samples}) == len(known)
    types = {
        field["db_field"]: field["ftype"].rpartition(".")[2] for field in dataset["sample_fields"]
    }
    python = {"BooleanField": bool, "FloatField": float, "IntField": int, "StringField": str}
    for sample in samples:
        row, data = known[sample["image_id"]]
        assert (tmp_path / "out" / sample["filepath"]).read_bytes() == data
        assert sample["tags"] == [row["split"]]
        assert sample["label"]["label"] == row["category"]
        assert sample["metadata"]["width"] == sample["width"] == row["width"]
        assert sample["phash"] == str(row["phash"])
        assert sample.keys() - {"label"} <= types.keys()
        for name, value in sample.items():
            if value is not None and types[name] in python:
                assert type(value) is python[types[name]], name


def test_row_of_a_turned_image_has_the_size_that_it_is_seen_in(
    pictures: Path, tmp_path: Path
) -> None:
    """The table in docs/how-to/export-images.md: bytes as served are turned by their reader."""
    export_manifest(str(pictures), tmp_path / "out", "webdataset")
    with tarfile.open(tmp_path / "out/test-00000.tar") as tar:
        contents = {name: tar.extractfile(name).read() for name in tar.getnames()}
    rows = {name[:16]: json.loads(data) for name, data in contents.items() if "json" in name}
    turned = {id_: row for id_, row in rows.items() if row["orientation"] != 1}
    assert len(turned) == 1
    for id_, row in turned.items():
        with Image.open(io.BytesIO(contents[f"{id_}.jpg"])) as image:
            assert image.size == (row["height"], row["width"])
            assert ImageOps.exif_transpose(image).size == (row["width"], row["height"])


def test_folder_export_with_unsafe_category_names_stays_inside(
    pictures: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(pictures / "manifest/test.parquet")
    table = manifest.table.set_column(
        manifest.table.column_names.index("category"), "category", [["../../out: of here", None]]
    )
    export_manifest(Manifest(manifest.path, table, manifest.metadata), tmp_path / "out", "folder")
    assert sorted(path.name for path in (tmp_path / "out/val").iterdir() if path.is_dir()) == [
        "__.._out_ of here",
        "unlabelled",
    ]


def test_lmdb_export_is_read_as_basicsr_does(pictures: Path, tmp_path: Path) -> None:
    lmdb, cv2 = pytest.importorskip("lmdb"), pytest.importorskip("cv2")
    export_manifest(str(pictures), tmp_path / "out", "lmdb")
    known = rows_of(pictures)
    seen = set()
    for split in ("train", "test"):
        path = tmp_path / f"out/{split}.lmdb"
        lines = (path / "meta_info.txt").read_text().splitlines()
        # as BasicSR's FileClient and paired_paths_from_lmdb do it
        keys = [line.split(".")[0] for line in lines]
        with lmdb.open(str(path), readonly=True, lock=False, readahead=False) as client:
            for key, line in zip(keys, lines, strict=True):
                with client.begin(write=False) as transaction:
                    value = transaction.get(key.encode("ascii"))
                image = cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)
                assert np.array_equal(image[..., ::-1], pixels(known[key][1]))
                assert line == f"{key}.png ({','.join(map(str, image.shape))}) 3"
        seen |= set(keys)
    assert seen == known.keys()


def test_lmdb_export_grows_beyond_its_first_size(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lmdb = pytest.importorskip("lmdb")
    monkeypatch.setattr("curate.manifest.export.lmdb._FIRST_SIZE", 2**14)
    export_manifest(str(pictures), tmp_path / "out", "lmdb")
    with lmdb.open(str(tmp_path / "out/train.lmdb"), readonly=True, lock=False) as opened:
        assert opened.stat()["entries"] == 4
        assert opened.info()["map_size"] > 2**14


def test_crops_export_has_the_pixels_and_a_manifest(pictures: Path, tmp_path: Path) -> None:
    options = ExportOptions(per_file=3, crop=40, overlap=10)
    assert export_manifest(str(pictures), tmp_path / "out", "crops", options=options).images == 6
    known = rows_of(pictures)
    covered = {
        id_: np.zeros((row["height"], row["width"]), bool) for id_, (row, _) in known.items()
    }
    for split in ("train", "test"):
        manifest = read_manifest(tmp_path / f"out/manifest/{split}.parquet")
        assert list(find_faults(manifest, check_bytes=True)) == []
        assert manifest.metadata["recipe_name"] == "demo"
        for number, row in enumerate(manifest.table.to_pylist()):
            parent, data = known[row["crop_of"]]
            y, x = (
                slice(row["crop_y"], row["crop_y"] + row["height"]),
                slice(row["crop_x"], row["crop_x"] + row["width"]),
            )
            with Image.open(io.BytesIO(manifest.read_bytes(number))) as crop:
                assert (crop.format, crop.mode) == ("PNG", "RGB")
                assert np.array_equal(np.asarray(crop), pixels(data)[y, x])
            assert (row["split"], row["category"], row["hf_ratio"]) == (
                split,
                parent["category"],
                None,
            )
            assert row["id"] == hashlib.sha256(row["url"].encode()).hexdigest()[:16]
            covered[row["crop_of"]][y, x] = True
    assert all(seen.all() for seen in covered.values())
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == [
        "part-00000.tar", "part-00001.tar", "part-00002.tar"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "expected"), [(768, [0]), (1344, [0, 576]), (1345, [0, 576, 577]), (500, [0])]
)
def test_crop_positions_equal_those_of_basicsr(side: int, expected: list[int]) -> None:
    assert positions(side, 768, 192) == expected
    if side >= 768:  # its extract_subimages.py, with thresh_size 0
        space = np.arange(0, side - 768 + 1, 576)
        if side - (space[-1] + 768) > 0:
            space = np.append(space, side - 768)
        assert space.tolist() == expected


def test_crops_export_is_read_by_the_trainer(pictures: Path, tmp_path: Path) -> None:
    from curate.restore.data.pictures import open_pictures

    export_manifest(
        str(pictures), tmp_path / "out", "crops", options=ExportOptions(crop=32, overlap=0)
    )
    opened = open_pictures(tmp_path / "out/manifest/train.parquet")
    assert {picture.read().shape for picture in opened} >= {(32, 32, 3)}


def test_crops_export_can_be_exported_again(pictures: Path, tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    train = pictures / "manifest/train.parquet"
    export_manifest(train, tmp_path / "crops", "crops", options=ExportOptions(crop=32, overlap=0))
    export_manifest(tmp_path / "crops", tmp_path / "lmdb", "lmdb")
    crops = read_manifest(tmp_path / "crops/manifest/train.parquet")
    with (
        lmdb.open(str(tmp_path / "lmdb/train.lmdb"), readonly=True, lock=False) as opened,
        opened.begin() as transaction,
    ):
        stored = [transaction.get(id_.encode()) for id_ in crops.column("id")]
    assert stored == [crops.read_bytes(row) for row in range(len(crops))]


@pytest.mark.parametrize("kind", FOLDERS)
def test_export_gives_the_same_bytes_every_time(pictures: Path, tmp_path: Path, kind: str) -> None:
    if kind == "lmdb":
        pytest.importorskip("lmdb")
    shown = []
    for out in ("first", "second"):
        options = ExportOptions(per_file=2, crop=40, overlap=8)
        export_manifest(
            str(pictures),
            tmp_path / out,
            kind,
            options=options,
            progress=lambda done, total: shown.append((done, total)),
        )
    assert tree(tmp_path / "first") == tree(tmp_path / "second")
    assert sorted(set(shown)) == [(done, 6) for done in range(1, 7)]
    assert str(pictures).encode() not in b"".join(
        p.read_bytes() for p in (tmp_path / "first").rglob("*") if p.is_file()
    )


@pytest.mark.parametrize("kind", FOLDERS)
def test_export_of_damaged_image_names_it_and_leaves_nothing(
    pictures: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "lmdb":
        pytest.importorskip("lmdb")
    run = copied(pictures, tmp_path / "run")
    with pytest.raises(
        ManifestError, match=r"train.parquet row 1: its bytes hash to \w+, not to .* --skip-damaged"
    ):
        export_manifest(str(run), tmp_path / "out", kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    exported = export_manifest(
        str(run), tmp_path / "out", kind, options=ExportOptions(skip_damaged=True)
    )
    assert exported.images == 5
    (fault,) = exported.left_out
    assert "row 1: its bytes hash to" in fault
    ids = set(rows_of(run)) - {read_manifest(run / "manifest/train.parquet").column("id")[1]}
    if kind == "crops":
        parts = [
            pq.read_table(tmp_path / f"out/manifest/{split}.parquet") for split in ("train", "test")
        ]
        assert {id_ for part in parts for id_ in part["crop_of"].to_pylist()} == ids
    else:
        assert set(read_manifest(tmp_path / "out/manifest.parquet").column("id")) == ids


def test_export_without_readable_image_is_refused(pictures: Path, tmp_path: Path) -> None:
    export_manifest(str(pictures), tmp_path / "published.parquet")
    with pytest.raises(ManifestError, match="without images"):
        export_manifest(tmp_path / "published.parquet", tmp_path / "out", "folder")
    with pytest.raises(
        ManifestError, match=r"none of 6 images could be read; the first: .*without images"
    ):
        options = ExportOptions(skip_damaged=True)
        export_manifest(tmp_path / "published.parquet", tmp_path / "out", "folder", options=options)
    assert not (tmp_path / "out").exists()


def test_export_without_rows_is_refused(pictures: Path, tmp_path: Path) -> None:
    manifest = read_manifest(pictures / "manifest/test.parquet")
    empty = Manifest(manifest.path, manifest.table.slice(0, 0), manifest.metadata)
    for kind in FOLDERS:
        if kind == "lmdb":
            pytest.importorskip("lmdb")
        with pytest.raises(ManifestError, match="has no rows to export"):
            export_manifest(empty, tmp_path / "out", kind)
        assert not (tmp_path / "out").exists()


def test_export_into_non_empty_folder_is_refused(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_manifest(str(pictures), tmp_path / "out", "folder")
    before = tree(tmp_path / "out")
    with pytest.raises(RunError, match="out is there already: remove it, or choose another --out"):
        export_manifest(str(pictures), tmp_path / "out", "webdataset")
    assert tree(tmp_path / "out") == before


def test_export_clears_leftovers_of_a_killed_one(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / ".tmp-out/train").mkdir(parents=True)
    (tmp_path / ".tmp-out/train/half.jpg").write_bytes(b"half")
    export_manifest(str(pictures), tmp_path / "out", "folder")
    assert not list((tmp_path / "out").rglob("half.jpg"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_export_into_folder_of_a_running_one_is_refused(pictures: Path, tmp_path: Path) -> None:
    def again(done: int, total: int) -> None:
        with pytest.raises(RunError, match="another export is writing"):
            export_manifest(str(pictures), tmp_path / "out", "folder")

    export_manifest(str(pictures), tmp_path / "out", "folder", progress=again)
    assert read_manifest(tmp_path / "out/manifest.parquet").table.num_rows == 6


def test_export_to_object_store_is_whole(pictures: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    export_manifest(str(pictures), "memory://exports/wds", "webdataset")
    files = fsspec.filesystem("memory").find("/exports/wds")
    names = ["manifest.parquet", "test-00000.tar", "train-00000.tar"]
    assert sorted(path.rpartition("/")[2] for path in files) == names
    with pytest.raises(RunError, match="no local folder"):
        pytest.importorskip("lmdb")
        export_manifest(str(pictures), "memory://exports/lmdb", "lmdb")
    with pytest.raises(RunError, match="there already"):
        export_manifest(str(pictures), "memory://exports/wds", "hf")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"crop": 64, "overlap": 64}, "can't overlap by 64"), ({"per_file": 0}, "can't hold 0")],
)
def test_export_options_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        ExportOptions(**settings)
