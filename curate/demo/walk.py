"""The demo: the whole way, on the sample site."""

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
    """A restorer trained from the demo's manifest, and a picture that it never saw."""

    checkpoint: str
    comparison: str
    """PNG of the picture clean, degraded and restored."""
    psnr_before: float
    psnr: float


def curate_site(site: DemoSite, out: Path, progress: Progress | None = None) -> RunOutcome:
    """Crawl the sample site, which is up, and curate with `pipelines/demo.yaml`; `<out>/run` is the run folder."""
    site.write_list(out / "urls.jsonl")
    return run("demo", [out / "urls.jsonl"], out / "run", progress=progress)


def train_and_restore(
    out: Path, progress: Callable[[int, int, Mapping[str, float]], None] | None = None
) -> Restoration:
    """Train `pipelines/train/demo.yaml` from the manifest of `curate_site`; degrade and restore a test picture."""
    from curate.restore import TrainRecipe, train

    manifest = out / "run/manifest"
    result = train(
        TrainRecipe.load("train/demo"),
        [manifest / "train.parquet"],
        out / "restorer",
        progress=progress,
    )
    told = out / "restored.json"
    if result.trained or not told.exists():
        restoration = _restore_largest(
            manifest / "test.parquet", result.checkpoint, out / "before-after.png"
        )
        atomic.write(told, json.dumps(asdict(restoration), indent=1).encode())
    return Restoration(**json.loads(told.read_text()))


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
