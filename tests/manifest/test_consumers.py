"""The table of docs/how-to/export-images.md: pixels that each reader of each export sees."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageCms, ImageOps

from curate.manifest import (
    ExportOptions,
    Manifest,
    arrow_schema,
    export_manifest,
    find_faults,
    read_manifest,
    write_manifest,
)
from curate.manifest.export.images import CROP_FORMS
from tests.images.pictures import encode, rgb8
from tests.manifest.conftest import rows

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CMYK = SRGB[:16] + b"CMYK" + SRGB[20:]
"""A profile whose header says that it is for CMYK."""


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(rgb8(), "PNG", exif=exif)


def _transparent() -> bytes:
    image = rgb8().convert("RGBA")
    alpha = np.zeros((90, 136), np.uint8)
    alpha[:, 68:] = 255
    image.putalpha(Image.fromarray(alpha))
    return encode(image, "PNG")


def _keyed() -> bytes:
    """RGB with one transparent colour, which Pillow's mode doesn't show."""
    image = Image.new("RGB", (136, 90), (10, 20, 30))
    image.paste((200, 100, 50), (68, 0, 136, 90))
    return encode(image, "PNG", transparency=(10, 20, 30))


def _deep_grey() -> bytes:
    ramp = np.linspace(0, 65535, 136 * 90).astype(np.uint16).reshape(90, 136)
    return encode(Image.fromarray(ramp), "PNG")


PICTURES: dict[str, tuple[Callable[[], bytes], str, str, int]] = {
    "plain": (lambda: encode(rgb8(), "PNG"), "PNG", "RGB", 1),
    "turned": (_turned, "PNG", "RGB", 6),
    "transparent": (_transparent, "PNG", "RGBA", 1),
    "keyed": (_keyed, "PNG", "RGB", 1),
    "deep": (_deep_grey, "PNG", "I;16", 1),
    "grey": (lambda: encode(rgb8().convert("L"), "PNG"), "PNG", "L", 1),
    "cmyk": (lambda: encode(rgb8().convert("CMYK"), "TIFF", icc_profile=CMYK), "TIFF", "CMYK", 1),
    "srgb": (lambda: encode(rgb8(), "PNG", icc_profile=SRGB), "PNG", "RGB", 1),
}
"""Name -> file, format, mode and orientation."""


def as_pil(data: bytes) -> Image.Image:
    """Return a file as a reader of bytes shows it that converts to RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def true_pixels(name: str) -> np.ndarray:
    """Return the pixels that `curate` measures and trains on, by Pillow and NumPy alone."""
    with Image.open(io.BytesIO(PICTURES[name][0]())) as image:
        image.load()
        if name == "turned":
            return np.asarray(ImageOps.exif_transpose(image))
        if name == "deep":
            grey = (np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if name in ("transparent", "keyed"):
            colours = np.array(image.convert("RGB"))
            colours[np.asarray(image.convert("RGBA"))[..., 3] == 0] = 255
            return colours
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose images are of every kind in the table, each a file."""
    folder = tmp_path_factory.mktemp("consumers")
    (folder / "images").mkdir()
    placed = []
    for name, (make, format_, mode, orientation) in PICTURES.items():
        data = make()
        (folder / "images" / name).write_bytes(data)
        height, width = true_pixels(name).shape[:2]
        digits = name.encode().hex()[:16].ljust(16, "0")
        row: dict[str, Any] = {**rows()[0], "id": digits, "url": f"http://a/{name}", "offset": 0}
        row |= {"sha256": hashlib.sha256(data).hexdigest(), "nbytes": len(data)}
        row |= {"format": format_, "mode": mode, "orientation": orientation, "jpeg_quality": None}
        row |= {"width": width, "height": height, "pixels": width * height, "caption": name}
        row |= {"bpp": 8 * len(data) / (width * height), "tar": f"images/{name}"}
        placed.append(row)
    table = pa.Table.from_pylist(placed, arrow_schema())
    write_manifest(folder / "manifest/train.parquet", table, {})
    return folder / "manifest/train.parquet"


def _from_folder(out: Path) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    for line in (out / "train/metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield row["caption"], (out / "train" / row["file_name"]).read_bytes(), row


def _from_webdataset(out: Path) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    wds = pytest.importorskip("webdataset")
    for sample in wds.WebDataset(str(out / "train-00000.tar"), shardshuffle=False):
        row = json.loads(sample["json"])
        (ending,) = sample.keys() & {"png", "tif", "tiff"}
        yield row["caption"], sample[ending], row


def _from_hf(out: Path) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(out), cache_dir=str(out / "cache"), split="train")
    for row in loaded.cast_column("image", datasets.Image(decode=False)):
        yield row["caption"], row["image"]["bytes"], row


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize(
    ("kind", "read"),
    [("folder", _from_folder), ("webdataset", _from_webdataset), ("hf", _from_hf)],
)
def test_readers_of_bytes_see_what_the_table_says(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    read: Callable[[Path], Iterator[tuple[str, bytes, dict[str, Any]]]],
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export_manifest(run, tmp_path / "out", kind)
    found = {name: (data, row) for name, data, row in read(tmp_path / "out")}
    assert found.keys() == PICTURES.keys()
    for name, (data, row) in found.items():
        make, _, mode, orientation = PICTURES[name]
        assert data == make()
        seen, true = np.asarray(as_pil(data)), true_pixels(name)
        # rows have the size after the turn, and say the turn and mode themselves
        assert (row["height"], row["width"]) == true.shape[:2]
        assert (row["orientation"], row["mode"]) == (orientation, mode)
        if name == "turned":
            assert seen.shape[:2] == true.shape[1::-1], "as stored"
            with Image.open(io.BytesIO(data)) as image:
                assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), true)
        elif name in ("transparent", "keyed"):
            assert (seen[:, 0] != 255).any(), "the colours under it"
            assert np.array_equal(seen[:, 68:], true[:, 68:])
        elif name == "deep":
            assert (seen[1:] == 255).all(), "clipped to white"
        else:
            assert np.array_equal(seen, true)


def _of_lmdb(out: Path, manifest: Manifest) -> Iterator[bytes]:
    import lmdb

    opened = lmdb.open(str(out / "train.lmdb"), readonly=True, lock=False)
    with opened, opened.begin() as transaction:
        for id_ in manifest.column("id"):
            yield bytes(transaction.get(id_.encode()))


@pytest.mark.parametrize("form", ["whole", *CROP_FORMS])
def test_lmdb_and_crops_hold_true_pixels_for_every_reader(
    run: Path, tmp_path: Path, form: str
) -> None:
    """OpenCV and imagecodecs decode what Pillow does, and no profile of other pixels is left."""
    imagecodecs = pytest.importorskip("imagecodecs")
    if form in ("whole", "lmdb"):
        pytest.importorskip("lmdb")
    out = tmp_path / "out"
    if form == "whole":
        export_manifest(run, out, "lmdb")
        manifest = read_manifest(out / "manifest.parquet")
        files = list(_of_lmdb(out, manifest))
    else:
        export_manifest(run, out, "crops", options=ExportOptions(200, 200, 0, crops_as=form))
        manifest = read_manifest(out / "manifest/train.parquet")
        assert list(find_faults(manifest, check_bytes=form != "lmdb")) == []
        stored = _of_lmdb(out, manifest) if form == "lmdb" else map(manifest.read_bytes, range(8))
        files = list(stored)
    for name, data, row in zip(PICTURES, files, manifest.table.to_pylist(), strict=True):
        true = true_pixels(name)
        assert np.array_equal(imagecodecs.png_decode(data), true), name
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            assert np.array_equal(np.asarray(image), true), name
            profile = image.info.get("icc_profile")
            assert profile == (SRGB if name == "srgb" else None), name
        if form != "whole":
            assert row["icc"] == (name == "srgb")
            assert (row["caption"], row["height"], row["width"]) == (name, *true.shape[:2])
    lines = [""] * 8
    if form in ("whole", "lmdb"):
        lines = (out / "train.lmdb/meta_info.txt").read_text().splitlines()
        for id_, name, line in zip(manifest.column("id"), PICTURES, lines, strict=True):
            height, width = true_pixels(name).shape[:2]
            assert line == f"{id_}.png ({height},{width},3) 3"
    if form == "files":
        names = {path.stem for path in (out / "train").glob("*.png")}
        assert names == set(manifest.column("id")), "a folder that BasicSR reads as it is"


def test_crops_in_an_unknown_form_are_refused() -> None:
    from curate.errors import ManifestError

    with pytest.raises(ManifestError, match="no crops as 'zip': choose one of tar, files, lmdb"):
        ExportOptions(crops_as="zip")


def test_list_with_a_comma_is_read_by_img2dataset_from_all_forms_but_txt(
    run: Path, tmp_path: Path
) -> None:
    """Read as its reader does: pyarrow's csv with one column for .txt, tabs for .tsv."""
    from pyarrow import csv, parquet

    source = read_manifest(run)
    urls = [f"http://a/{number},{name}.png?w=1,2" for number, name in enumerate(PICTURES)]
    place = source.table.column_names.index("url")
    table = source.table.set_column(place, "url", pa.array(urls))
    manifest = Manifest(source.path, table, source.metadata)
    for name in ("urls.txt", "urls.tsv", "urls.parquet"):
        export_manifest(manifest, tmp_path / name, "urls")
    with pytest.raises(pa.ArrowInvalid, match="Expected 1 columns, got 3"):
        csv.read_csv(tmp_path / "urls.txt", read_options=csv.ReadOptions(column_names=["url"]))
    tabs = csv.ParseOptions(delimiter="\t")
    assert csv.read_csv(tmp_path / "urls.tsv", parse_options=tabs)["url"].to_pylist() == urls
    assert parquet.read_table(tmp_path / "urls.parquet")["url"].to_pylist() == urls
    # other downloaders take the lines as they are
    assert (tmp_path / "urls.txt").read_text().splitlines() == urls
