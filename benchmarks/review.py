"""Latency of `curate review` at 100,000 images: python -m benchmarks.review [--images 100000]

Rows are synthetic, and point at eight JPEGs of 12 megapixels in a tar. Prints median and 95th
percentile of each request, by Starlette's test client in this process.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from starlette.testclient import TestClient

from curate.manifest import write_manifest
from curate.manifest.schema import CATEGORIES
from curate.review.collection import open_collection
from curate.review.review_session import Review
from curate.review.server import create_app
from curate.storage.tar import TarWriter

_PICTURES = 8
_TRIES = 40


def main() -> None:
    """Build the rows, ask for pages and pictures, and print a line a request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        manifest = _write(Path(folder), images)
        start = time.perf_counter()
        with Review(open_collection(str(manifest)), "bench") as review:
            print(f"opened {images:,} images in {time.perf_counter() - start:.1f} s")
            _measure(TestClient(create_app(review, "t"), base_url="http://localhost"), images)


def _measure(client: TestClient, images: int) -> None:
    rng = np.random.default_rng(0)
    ids = [f"{number:016x}" for number in rng.permutation(images)[:_TRIES]]
    offsets = rng.integers(0, images, _TRIES).tolist()
    page = "/t/api/images?limit=60&offset="
    filtered = "/t/api/images?limit=60&min.bpp=2&max.bpp=4&category=Food&sort=-hf_ratio_032&offset="
    searched = "/t/api/images?limit=60&text=-77&offset="

    def get(url: str) -> None:
        assert client.get(url).status_code == 200, url

    def judge(id_: str) -> None:
        body = {"id": id_, "verdict": "drop"}
        answer = client.post("/t/api/verdicts", json=body, headers={"origin": "http://localhost"})
        assert answer.status_code == 200

    _report("page", lambda n: get(f"{page}{offsets[n]}"))
    _report("page, filtered and ordered", lambda n: get(f"{filtered}{n}"))
    _report("page, by text", lambda n: get(f"{searched}{n}"))
    _report("facts of an image", lambda n: get(f"/t/api/images/{ids[n]}"))
    _report("thumbnail, 12 megapixels", lambda n: get(f"/t/api/images/{ids[n]}/thumbnail"))
    _report("thumbnail, cached", lambda n: get(f"/t/api/images/{ids[n]}/thumbnail"))
    _report("own pixels, 12 megapixels", lambda n: get(f"/t/api/images/{ids[n]}/picture"), 5)
    _report("spectrum, 12 megapixels", lambda n: get(f"/t/api/images/{ids[n]}/spectrum"), 5)
    _report("verdict, on disk", lambda n: judge(ids[n]))


def _report(what: str, request: Callable[[int], None], tries: int = _TRIES) -> None:
    seconds = []
    for number in range(tries):
        start = time.perf_counter()
        request(number)
        seconds.append(time.perf_counter() - start)
    median, slow = np.percentile(seconds, (50, 95)) * 1000
    print(f"{what:<28}{median:>8.1f} ms median{slow:>9.1f} ms 95th percentile")


def _write(folder: Path, images: int) -> Path:
    """Write a tar of pictures, and a manifest of so many rows that point into it."""
    rng = np.random.default_rng(1)
    places = []
    with (folder / "a.tar").open("wb") as file:
        tar = TarWriter(file)
        for number in range(_PICTURES):
            coarse = rng.integers(0, 255, (300, 400, 3), np.uint8)
            picture = Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC)
            sink = io.BytesIO()
            picture.save(sink, "JPEG", quality=92)
            data = sink.getvalue()
            places.append((tar.add_bytes(f"{number}.jpg", data), len(data)))
        tar.close()
    which_N = rng.integers(0, _PICTURES, images)
    offsets, sizes = np.array(places).T
    ids = [f"{number:016x}" for number in range(images)]
    table = pa.table(
        {
            "id": ids,
            "url": [f"https://a.example/{id_}-{n % 1000}.jpg" for n, id_ in enumerate(ids)],
            "sha256": ["0" * 64] * images,
            "tar": ["a.tar"] * images,
            "offset": offsets[which_N],
            "nbytes": sizes[which_N],
            "format": ["JPEG"] * images,
            "width": pa.array([4000] * images, pa.int32()),
            "height": pa.array([3000] * images, pa.int32()),
            "pixels": [12_000_000] * images,
            "bpp": rng.uniform(0.5, 8, images),
            "hf_ratio_032": rng.uniform(0, 0.1, images),
            "category": [CATEGORIES[n % len(CATEGORIES)] for n in range(images)],
            "split": ["train"] * images,
        }
    )
    path = folder / "train.parquet"
    write_manifest(path, table, {}, root=".")
    return path


if __name__ == "__main__":
    main()
