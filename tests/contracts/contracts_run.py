"""A small finished run of version 0.1, from before the code moved: later versions must resume it.

`python tests/contracts/contracts_run.py` writes `run/` again, for a change that a decision record
covers.
"""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import curate
from curate.stages.label import clip, weights
from curate.stages.label.clip import LabelResult

RUN = Path(__file__).with_name("run")
PORT = 8399
SETTINGS = {
    "name": "contracts",
    "candidates": {"shard_size": 5},
    "fetch": {"allow_networks": ["127.0.0.1/32"], "retries": 0, "robots": False},
    "measure": {"facts": ["noise_sigma", "blockiness"]},
    "filters": {"min": {"width": 48, "height": 48, "hf_ratio_032": 0.0005}},
    "label": {"others_margin": 0.05},
    "select": {"train": 5, "test": {"per_category": 1, "max_share": 0.4}, "frequency": {"bins": 3}},
}


class FakeLabeller:
    """Stands in for CLIP: categories by the mean colour of an image."""

    name, key, dim = "ViT-B-32/laion2b_s34b_b79k", "contracts", 3

    def embed(self, images: Iterable[io.BytesIO]) -> Iterator[NDArray[np.float32]]:
        """The unit vector of the mean colour, from sums of integers."""
        for image in images:
            colour = (
                np.asarray(Image.open(image).convert("RGB"), np.int64)
                .sum(axis=(0, 1))
                .astype(np.float64)
            )
            yield (colour / np.linalg.norm(colour)).astype(np.float32)

    def classify(self, embeddings_ND: NDArray[np.float32]) -> list[LabelResult]:
        """Red: animals, green: food, blue: maps."""
        names = (("Outdoor", "Animals"), ("Indoor", "Food"), ("Artificial", "Map"))
        return [
            LabelResult(*names[int(row.argmax())], round(float(row.max()), 3), 0.5, self.name)
            for row in embeddings_ND
        ]


@contextmanager
def fake_labeller() -> Iterator[None]:
    """Have the label stage use it while a block lasts."""
    with (
        mock.patch.object(clip, "load_labeller", lambda config: FakeLabeller()),
        mock.patch.object(weights, "find_weights"),
    ):
        yield


def draw_pictures(folder: Path) -> None:
    """Eleven small files: textures of three tints and, at other qualities, natural rejects."""
    rng = np.random.default_rng(11)
    for number in range(8):
        noise = rng.integers(0, 60, (56 + 8 * (number % 2), 64, 3))
        noise[..., number % 3] += 120 + 8 * number
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number}.jpg", quality=60 + 5 * number
        )
    (folder / "again.jpg").write_bytes((folder / "0.jpg").read_bytes())
    Image.new("RGB", (64, 64), "teal").save(folder / "flat.png")
    (folder / "page.jpg").write_bytes(b"<!doctype html><title>moved</title>")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def make_run(out: Path) -> None:
    """Curate the pictures from a site on loopback, in this process."""
    with tempfile.TemporaryDirectory() as scratch, fake_labeller():
        pictures = Path(scratch, "site")
        pictures.mkdir()
        draw_pictures(pictures)
        server = ThreadingHTTPServer(
            ("127.0.0.1", PORT), functools.partial(Quiet, directory=str(pictures))
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{PORT}/{path.name}" for path in sorted(pictures.iterdir())]
        list_of_urls = out.with_name("urls.txt")
        list_of_urls.write_text(
            "\n".join([*urls, f"http://127.0.0.1:{PORT}/missing.jpg", "ftp://a.example/b"]) + "\n"
        )
        curate.run(curate.Recipe(**SETTINGS), list_of_urls, out, scheduler="serial")
        server.shutdown()
        server.server_close()


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of every file of a run folder but the volatile ones."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    named = {str(path.relative_to(run)): path for path in files}
    return {
        n: hashlib.sha256(p.read_bytes()).hexdigest()
        for n, p in named.items()
        if not n.startswith("log/")
    }


if __name__ == "__main__":
    shutil.rmtree(RUN, ignore_errors=True)
    make_run(RUN)
    shutil.rmtree(RUN / "log")
    (RUN / ".lock").unlink()
    sys.stdout.write(f"{RUN}\n")
