"""A manifest of four rows, a run folder whose tar holds them, and a run of real pictures."""

import hashlib
import io
import tarfile

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.manifest import CATEGORIES, arrow_schema, write_manifest

BODIES = [f"the bytes of image {number}".encode() * (number + 1) for number in range(4)]


def rows():
    return [
        {
            "id": hashlib.sha256(f"http://a/{number}".encode()).hexdigest()[:16],
            "url": f"http://a/{number}",
            "host": "a",
            "source": "list.txt",
            "caption": None if number else 'a cat, "quoted"\nand more',
            "sha256": hashlib.sha256(body).hexdigest(),
            "nbytes": len(body),
            "format": "JPEG",
            "mode": "RGB",
            "bit_depth": 8,
            "icc": False,
            "orientation": 1,
            "animated": False,
            "width": 40 + number,
            "height": 30,
            "pixels": (40 + number) * 30,
            "bpp": 8 * len(body) / ((40 + number) * 30),
            "jpeg_quality": 90,
            "hf_ratio": 0.01,
            "hf_ratio_032": 0.02,
            "phash": 2**64 - 1 - number,
            "broad": "Outdoor",
            "category": CATEGORIES[number],
            "label_score": 0.75,
            "label_margin": 0.5,
            "frequency_bin": 3,
            "split": "train",
        }
        for number, body in enumerate(BODIES)
    ]


@pytest.fixture(scope="session")
def table():
    """Four rows, published: without the places of their bytes."""
    return pa.Table.from_pylist(rows(), arrow_schema())


@pytest.fixture(scope="session")
def run():
    """Function that makes a run folder of the four images; returns the table and their bytes."""

    def make(folder):
        tar = io.BytesIO()
        placed = rows()
        with tarfile.open(fileobj=tar, mode="w") as writer:
            for row, body in zip(placed, BODIES, strict=True):
                info = tarfile.TarInfo(f"{row['id']}.jpg")
                info.size = len(body)
                row |= {"tar": "images/part-00000.tar", "offset": writer.offset + tarfile.BLOCKSIZE}
                writer.addfile(info, io.BytesIO(body))
        with fsspec.open(f"{folder}/images/part-00000.tar", "wb", auto_mkdir=True) as file:
            file.write(tar.getvalue())
        table = pa.Table.from_pylist(placed, arrow_schema())
        write_manifest(f"{folder}/manifest/train.parquet", table, {"recipe_name": "demo"})
        return table, BODIES

    return make


def _picture(number, width, height, form, **options):
    """Bytes of a picture, and its mode and orientation."""
    pixels = np.random.default_rng(number).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8
    )
    image = Image.fromarray(pixels).resize((width, height))
    if number == 2:
        image = image.convert("RGBA")
        image.putalpha(128)
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Run folder of six small pictures, the last two of them test.

    They are JPEG (one of them turned), PNG with and without alpha, and WebP.
    """
    turned = Image.Exif()
    turned[0x0112] = 6
    images = [
        ("JPEG", "RGB", 1, _picture(0, 70, 50, "JPEG")),
        ("PNG", "RGB", 1, _picture(1, 40, 90, "PNG")),
        ("PNG", "RGBA", 1, _picture(2, 33, 47, "PNG")),
        ("WEBP", "RGB", 1, _picture(3, 64, 64, "WEBP", lossless=True)),
        ("JPEG", "RGB", 6, _picture(4, 60, 30, "JPEG", exif=turned)),
        ("PNG", "RGB", 1, _picture(5, 48, 32, "PNG")),
    ]
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "images").mkdir()
    placed = []
    with tarfile.open(folder / "images/part-00000.tar", "w") as tar:
        for number, (form, mode, orientation, data) in enumerate(images):
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size if orientation == 1 else image.size[::-1]
            url = f"http://site/{number}"
            info = tarfile.TarInfo(url.rpartition("/")[2])
            info.size = len(data)
            row = dict(
                rows()[0], url=url, id=hashlib.sha256(url.encode()).hexdigest()[:16], host="site"
            )
            row |= {
                "sha256": hashlib.sha256(data).hexdigest(),
                "nbytes": len(data),
                "format": form,
                "mode": mode,
            }
            row |= {
                "orientation": orientation,
                "width": width,
                "height": height,
                "pixels": width * height,
            }
            row |= {
                "bpp": 8 * len(data) / (width * height),
                "category": CATEGORIES[number],
                "caption": "a, \u00fc",
            }
            row |= {"tar": "images/part-00000.tar", "offset": tar.offset + tarfile.BLOCKSIZE}
            placed.append(row | {"split": "train" if number < 4 else "test"})
            tar.addfile(info, io.BytesIO(data))
    for split in ("train", "test"):
        table = pa.Table.from_pylist(
            [row for row in placed if row["split"] == split], arrow_schema()
        )
        write_manifest(
            folder / f"manifest/{split}.parquet", table, {"recipe_name": "demo", "seed": "1"}
        )
    return folder
