"""Small pictures, a site that serves them, and a recipe that they suit."""

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate

FAST = {
    "candidates": {"shard_size": 6},
    "filters": {"min": {"width": 48, "height": 48, "hf_ratio_032": 0.0005}},
    "select": {"train": 9, "test": {"per_category": 1, "max_share": 0.3}, "frequency": {"bins": 3}},
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a folder's files on loopback, for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def site(pictures: Path) -> Iterator[str]:
    """The pictures' address on loopback."""
    with serving(pictures) as address:
        yield address


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 26 small files: textures of many spectra, and natural rejects."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    for number in range(20):
        height, width = rng.integers(56, 90, 2)
        noise = rng.normal(0, 1, (height, width, 3))
        spectrum = np.fft.rfft2(noise, axes=(0, 1))
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 0.02
        texture = np.fft.irfft2(
            spectrum / radius[..., None] ** rng.uniform(0.2, 1.5), (height, width), axes=(0, 1)
        )
        texture = 128 + 50 * texture / texture.std()
        suffix = ("png", "jpg", "webp")[number % 3]
        Image.fromarray(texture.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number:02d}.{suffix}", quality=95
        )
    Image.new("RGB", (64, 64), "teal").save(folder / "flat.png")
    Image.fromarray(rng.integers(0, 256, (32, 80, 3), dtype=np.uint8)).save(folder / "small.png")
    (folder / "again.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "cut.jpg").write_bytes((folder / "01.jpg").read_bytes()[:-900])
    (folder / "page.jpg").write_bytes(b"<!doctype html><title>moved</title>")
    (folder / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def labeller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CLIP in open_clip's folder layout: labels that mean nothing, quickly."""
    import open_clip
    import torch
    from safetensors.torch import save

    folder = tmp_path_factory.mktemp("labeller")
    tower = {"layers": 1, "width": 32}
    vision, text = (
        {**tower, "image_size": 32, "patch_size": 16, "head_width": 16},
        {**tower, "heads": 2},
    )
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    weights = open_clip.CLIP(16, vision, text).state_dict()
    (folder / "open_clip_model.safetensors").write_bytes(
        save({k: v.contiguous() for k, v in weights.items()})
    )
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory, labeller: Path) -> Path:
    """A recipe file that the pictures suit."""
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    settings = {
        "name": "small",
        **FAST,
        "label": {"model": f"local-dir:{labeller}", "pretrained": None},
    }
    path.write_text(json.dumps(settings))  # JSON is YAML
    return path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recipe: Path, pictures: Path) -> Path:
    """Read-only run over the pictures, in one process and never interrupted."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    curate.run(recipe, [pictures], out, scheduler="serial")
    return out


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Address of a Dask cluster of two workers, which import heavy libraries once for all tests."""
    from distributed import LocalCluster

    here = "127.0.0.1:0"
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=here,
        worker_dashboard_address=here,
    ) as started:
        yield started.scheduler_address
