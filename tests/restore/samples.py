"""Shared samples: a small network, pictures, a manifest, a recipe."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from curate.manifest import PAIRED, read_manifest, write_manifest
from curate.restore.recipe import TrainRecipe

TINY = {"num_blocks": [1, 1, 1, 1], "num_dec_blocks": [1, 1, 1], "refinement_blocks": 1}
"""Settings of the smallest network with every part of the real one."""

DAMOE: dict[str, Any] = {"dim": 12, "depths": [2, 2], "heads": 2, "experts": 3}
"""Settings of a DAMoE with two soft mixtures."""


def draw(seed: int, height: int = 60, width: int = 72) -> np.ndarray:
    """A smooth picture with edges: something that noise can be told from."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encode(image: np.ndarray, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format_, **options)
    return buffer.getvalue()


def make_manifest(run: Path, pictures: dict[str, bytes], splits: list[str]) -> Path:
    """A run folder with one tar, and a manifest of it."""
    tar_path = run / "images/part-00000.tar"
    tar_path.parent.mkdir(parents=True)
    with tarfile.open(tar_path, "w") as tar:
        for name, data in pictures.items():
            member = tarfile.TarInfo(f"{name}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with tarfile.open(tar_path) as tar:
        offsets = [member.offset_data for member in tar.getmembers()]
    n = len(pictures)
    columns = {
        "id": list(pictures),
        "url": [f"http://127.0.0.1/{name}" for name in pictures],
        "sha256": [f"{i:064x}" for i in range(n)],
        "tar": ["images/part-00000.tar"] * n,
        "offset": offsets,
        "nbytes": [len(data) for data in pictures.values()],
        "format": ["PNG"] * n,
        "width": [72] * n,
        "height": [60] * n,
        "pixels": [72 * 60] * n,
        "bpp": [8.0] * n,
        "split": splits,
    }
    path = run / "manifest/train.parquet"
    path.parent.mkdir()
    write_manifest(path, pa.table(columns), {"recipe": "test"})
    return path


def pair_manifest(folder: Path, degraded: list[np.ndarray | None], task: str = "deblur") -> Path:
    """A manifest of clean pictures, each with a degraded one beside it unless that is None."""
    path = make_manifest(
        folder,
        {f"{n:016x}": encode(draw(n)) for n in range(len(degraded))},
        ["train"] * len(degraded),
    )
    rows = []
    for number, image in enumerate(degraded):
        if image is None:
            rows.append(dict.fromkeys((column.name for column in PAIRED), None))
            continue
        data = encode(image)
        (folder / f"{number}.png").write_bytes(data)
        rows.append(
            {
                "degraded_tar": f"{number}.png",
                "degraded_offset": 0,
                "degraded_nbytes": len(data),
                "degraded_sha256": hashlib.sha256(data).hexdigest(),
                "degradation": "motion_blur",
                "task": task,
                "dataset": "demo",
            }
        )
    table = read_manifest(path).table
    for column in PAIRED:
        table = table.append_column(
            column.name, pa.array([row[column.name] for row in rows], column.type)
        )
    write_manifest(path, table, {})
    return path


def recipe(**changes: object) -> TrainRecipe:
    """A training of seconds, in two phases."""
    base: dict[str, object] = {
        "name": "tiny",
        "settings": TINY,
        "degradations": {"denoise_25": 1, "dejpeg_20": 1, "sr_x3": 1},
        "samples_per_epoch": 4,
        "crops_per_image": 2,
        "phases": [
            {"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3},
            {"epochs": 1, "crop": 24, "batch": 4, "lr": 1e-4},
        ],
        "workers": 0,
        "validation": {"images": 2, "crop": 32},
    }
    return TrainRecipe.parse(base | changes, where="test")
