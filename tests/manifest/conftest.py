"""A manifest of four rows, and a run folder whose tar holds them."""

import hashlib
import io
import tarfile

import fsspec
import pyarrow as pa
import pytest

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
    """Makes a run folder of the four images; returns the table and their bytes."""

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
        made = pa.Table.from_pylist(placed, arrow_schema())
        write_manifest(f"{folder}/manifest/train.parquet", made, {"recipe_name": "demo"})
        return made, BODIES

    return make
