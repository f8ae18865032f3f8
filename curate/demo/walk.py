"""The demo: crawl, curate, train and restore on the sample site."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from curate.demo.site import DemoSite
from curate.engine import Progress
from curate.manifest import read_manifest
from curate.pipeline.execute import RunOutcome, run
from curate.storage import atomic

__all__ = ["Restoration", "curate_site", "train_and_restore"]

DEGRADATION = "denoise_25"


@dataclass(frozen=True)
class Restoration:
    """Result of the demo's restorer on a picture that it wasn't trained on."""

    checkpoint: str
    comparison: str
    """PNG of the picture clean, degraded and restored."""
    psnr_before: float
    psnr: float


def curate_site(site: DemoSite, out: Path, progress: Progress | None = None) -> RunOutcome:
    """Crawl the running sample site and curate it with `pipelines/demo.yaml`.

    The run folder is `<out>/run`.
    """
    site.write_list(out / "urls.jsonl")
    return run("demo", [out / "urls.jsonl"], out / "run", progress=progress)


def train_and_restore(
    out: Path, progress: Callable[[int, int, Mapping[str, float]], None] | None = None
) -> Restoration:
    """Train `pipelines/train/demo.yaml` on the manifest of `curate_site`, and restore a picture.

    The picture is the largest of the test split, degraded first.
    """
    from curate.restore import TrainRecipe, train

    manifest = out / "run/manifest"
    result = train(
        TrainRecipe.load("train/demo"),
        [manifest / "train.parquet"],
        out / "restorer",
        progress=progress,
    )
    record = out / "restored.json"
    if result.trained or not record.exists():
        restoration = _restore_largest(
            manifest / "test.parquet", result.checkpoint, out / "before-after.png"
        )
        atomic.write(record, json.dumps(asdict(restoration), indent=1).encode())
    return Restoration(**json.loads(record.read_text()))


def _restore_largest(manifest: Path, checkpoint: Path, picture: Path) -> Restoration:
    """Degrade and restore the largest picture of a manifest."""
    import io

    from curate.images.decode import open_image, to_rgb
    from curate.restore import comparison, parse_degradation, restore_image
    from curate.restore.metrics import psnr

    test = read_manifest(manifest)
    pixels = test.table["pixels"].to_pylist()
    with open_image(io.BytesIO(test.read_bytes(int(np.argmax(pixels))))) as image:
        rgb_HWC = np.asarray(to_rgb(image))
    clean, degraded = parse_degradation(DEGRADATION).pair(rgb_HWC, np.random.default_rng(0))
    restored = np.asarray(restore_image(checkpoint, degraded))
    comparison(clean, degraded, restored, picture)
    return Restoration(str(checkpoint), str(picture), psnr(degraded, clean), psnr(restored, clean))
