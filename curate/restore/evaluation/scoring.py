"""Scores of restorers on benchmarks that are degraded in the same manner for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from curate.errors import RestoreError
from curate.manifest import Manifest
from curate.restore.checkpoints.checkpoint import load_model
from curate.restore.data.degradations import (
    Degradation,
    degrade_picture,
    generator,
    is_grey,
    parse_degradation,
)
from curate.restore.data.pictures import Picture, open_pictures
from curate.restore.evaluation.expert_usage import Routes
from curate.restore.inference.restore_image import model_arguments, restore_array
from curate.restore.metrics import METRICS
from curate.runtime import isolated

__all__ = ["INPUT", "Evaluation", "Score", "evaluate", "name_of_checkpoint", "name_of_source"]

INPUT = "input"
"""`Score.model` of the degraded pictures themselves."""

Pixels = NDArray[np.uint8]
Source = str | os.PathLike[str] | Manifest
Restore = Callable[..., NDArray[Any]]
"""`restore_array` with the settings that are the same for all pictures."""


@dataclass(frozen=True)
class Score:
    """Metrics of one model's result for one picture under one degradation."""

    model: str
    """The checkpoint's name; `input` for the degraded picture as it is."""
    benchmark: str
    degradation: str
    """Name of the degradation; for pairs as their manifest has it."""
    task: str
    """Task that undoes it."""
    image: str
    category: str | None
    """Label from the manifest, as `broad`; None where there is none."""
    broad: str | None
    hf_ratio_032: float | None
    """High-frequency ratio of the clean picture, as in manifests."""
    drawn: bool
    """Whether the degradation was made here, rather than found in pairs."""
    psnr: float
    """dB; see `curate.restore.metrics` for the definitions."""
    psnr_y: float
    ssim: float
    ssim_y: float
    psnr_b: float


@dataclass(frozen=True)
class Evaluation:
    """All scores of an evaluation."""

    models: tuple[str, ...]
    scores: tuple[Score, ...]
    """Picture by picture; the input's first, then the models'."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Picture and degradation that couldn't be judged -> reason."""
    routes: Mapping[str, Routes] = field(default_factory=dict)
    """Model -> its routers' picks, if they were asked for."""
    seed: int = 0
    clip_noise: bool = False
    """Whether drawn noise was clipped and rounded to bytes."""


@dataclass(frozen=True)
class _Pair:
    """Clean and degraded picture, (height, width, 3) on 0..255; grey in three equal channels."""

    degradation: str
    task: str
    clean_HWC: Pixels
    degraded_HWC: NDArray[Any]
    border: int
    """Pixels on each side that aren't compared: the scale of super-resolution, else 0."""
    drawn: bool


def evaluate(
    checkpoints: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    benchmarks: Source | Mapping[str, Source],
    degradations: Sequence[str] | Mapping[str, Sequence[str]] = (),
    *,
    limit: int | None = None,
    tile: int | None = None,
    seed: int = 0,
    clip_noise: bool = False,
    quantise: bool = True,
    bilateral: bool = False,
    routing: bool = False,
    ratio_of: Callable[[Pixels], float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Restore every picture from every degradation, and compare it with the clean one.

    Metrics are those of `curate.restore.metrics`. Super-resolution leaves the outermost `scale`
    pixels out of the comparison, as is usual. A grey picture is given to the models in three equal
    channels, and the mean of their output's is compared. A picture that can't be read or restored
    is named, and the others are judged. One picture is in memory at a time.

    Args:
        checkpoints: name -> a `model.safetensors` of `curate train`; or one alone.
        benchmarks: name -> a manifest, or a folder of clean pictures; or one alone. Pairs, from a
            manifest of `curate ingest`, are compared as they are.
        degradations: names, such as `denoise_25`, for pictures that aren't paired; or those of
            each benchmark.
        limit: pictures to take of each benchmark, from the first; all by default.
        tile: see `restore_image`.
        seed: seed of the noise; the same seed, picture and degradation give the same noise
            everywhere.
        clip_noise: whether noisy pictures are bytes, as files hold them. By default noise is
            neither clipped nor rounded, as in the papers and in training.
        quantise: whether outputs are rounded to bytes before they are compared; otherwise they are
            only clipped to 0..255.
        bilateral: see `restore_image`.
        routing: whether to count which experts were picked.
        ratio_of: function from the luma of a clean picture, uint8 (height, width), to its
            `hf_ratio_032`, for pictures whose manifest doesn't have it.
        progress: called with the number of pairs judged so far, and of all.

    Raises:
        RestoreError: if there are no pictures, none could be judged, a degradation isn't known or
            not for a model, or a checkpoint can't be loaded.
        ManifestError: if a manifest can't be read.
    """
    if not isinstance(checkpoints, Mapping):
        checkpoints = {name_of_checkpoint(checkpoints): checkpoints}
    if INPUT in checkpoints:
        raise RestoreError(f"no checkpoint can be called {INPUT}, which the degraded pictures are")
    if not isinstance(benchmarks, Mapping):
        benchmarks = {name_of_source(benchmarks): benchmarks}
    # benchmark, picture, degradation; None for a pair
    cases: list[tuple[str, Picture, Degradation | None]] = []
    tasks = set()
    for benchmark, source in benchmarks.items():
        pictures = open_pictures(source)[:limit]
        known = _degradations_of(benchmark, pictures, degradations)
        for picture in pictures:
            for degradation in [None] if picture.is_paired else known:
                cases.append((benchmark, picture, degradation))
                tasks.add(str(degradation.task if degradation else picture.task))
    models = {name: load_model(path) for name, path in checkpoints.items()}
    # refuse a task that a model isn't for before hours of judging
    for task, model in product(sorted(tasks), models.values()):
        model_arguments(model, task)
    routes = {name: Routes(name, model) for name, model in models.items()} if routing else {}
    restore = partial(restore_array, tile=tile, bilateral=bilateral, quantise=quantise)
    # the cases of one picture follow each other, so it is read once
    read = lru_cache(maxsize=1)(Picture.read)

    scores: list[Score] = []
    failures: dict[str, str] = {}
    for done, (benchmark, picture, degradation) in enumerate(cases, 1):
        name = degradation.name if degradation else picture.degradation
        with isolated(partial(failures.__setitem__, f"{benchmark}/{picture.id}, {name}")):
            if degradation is None:
                pair = _read_pair(picture)
            else:
                rng = generator(seed, degradation.name, picture.id)
                pair = _degrade(read(picture), degradation, rng, clip_noise)
            compared = _compare(models, pair, restore, routes)
            # one score for the input and each model, with what the manifest says of the picture
            ratio = _from_manifest(picture, "hf_ratio_032")
            if ratio is None and ratio_of is not None:
                ratio = ratio_of(np.asarray(Image.fromarray(pair.clean_HWC).convert("L")))
            category, broad = _from_manifest(picture, "category"), _from_manifest(picture, "broad")
            labels = (pair.degradation, pair.task, picture.id, category, broad, ratio, pair.drawn)
            for model_name, values in compared.items():
                scores.append(Score(model_name, benchmark, *labels, **values))
        if progress:
            progress(done, len(cases))
    if not scores:
        first, reason = next(iter(failures.items()))
        raise RestoreError(
            f"none of {len(cases)} pictures could be judged; the first, {first}: {reason}"
        )
    return Evaluation(tuple(models), tuple(scores), failures, routes, seed, clip_noise)


def _degradations_of(
    benchmark: str,
    pictures: Sequence[Picture],
    degradations: Sequence[str] | Mapping[str, Sequence[str]],
) -> list[Degradation]:
    """Return the degradations of a benchmark's clean pictures."""
    names = degradations.get(benchmark, ()) if isinstance(degradations, Mapping) else degradations
    if not names and not all(picture.is_paired for picture in pictures):
        raise RestoreError(
            f"{benchmark} holds clean pictures: name a degradation for them, such as denoise_25"
        )
    return [parse_degradation(name) for name in dict.fromkeys(names)]


def _read_pair(picture: Picture) -> _Pair:
    clean_HWC, degraded_HWC = picture.read_pair()
    name, task, border = str(picture.degradation), str(picture.task), 0
    if task == "sr" and name.startswith("sr_x"):
        border = _border(parse_degradation(name))
    return _Pair(name, task, clean_HWC, degraded_HWC, border, drawn=False)


def _degrade(
    image_HWC: Pixels, degradation: Degradation, rng: np.random.Generator, clip_noise: bool
) -> _Pair:
    clean_HWC, degraded_HWC = degrade_picture(image_HWC, degradation, rng, clip_noise=clip_noise)
    border = _border(degradation)
    return _Pair(degradation.name, degradation.task, clean_HWC, degraded_HWC, border, drawn=True)


def _border(degradation: Degradation) -> int:
    return degradation.multiple if degradation.multiple > 1 else 0


def _compare(
    models: Mapping[str, nn.Module], pair: _Pair, restore: Restore, routes: Mapping[str, Routes]
) -> dict[str, dict[str, Any]]:
    """Return the metrics of the input and of each model's output, by name."""
    grey = is_grey(pair.clean_HWC) and is_grey(pair.degraded_HWC)
    # restore with every model; routed models count their picks meanwhile
    outputs = {INPUT: pair.degraded_HWC}
    for name, model in models.items():
        counting: AbstractContextManager[None] = nullcontext()
        if name in routes:
            counting = routes[name].counting(pair.degradation, pair.task)
        with counting:
            outputs[name] = restore(model, pair.degraded_HWC, task=pair.task, grey=grey)
    # compare the pixels inside the border, or all where it would leave none; of grey, one channel
    height, width = pair.clean_HWC.shape[:2]
    cut = pair.border if min(height, width) > 2 * pair.border else 0
    inner = np.s_[cut : height - cut, cut : width - cut, : 1 if grey else 3]
    clean_HWC = pair.clean_HWC[inner]
    values = {}
    for name, output_HWC in outputs.items():
        values[name] = {m: f(output_HWC[inner], clean_HWC) for m, f in METRICS.items()}
    return values


def _from_manifest(picture: Picture, column: str) -> Any:
    """Return a picture's value; None where there is no such column, or no manifest."""
    source = picture.source
    if not isinstance(source, Manifest) or column not in source.table.column_names:
        return None
    return source.column(column)[picture.row]


def name_of_checkpoint(path: str | os.PathLike[str]) -> str:
    """Return the default name of a checkpoint: its folder and file, as restorer/best."""
    return PurePath(*PurePath(path).with_suffix("").parts[-2:]).as_posix()


def name_of_source(source: Source) -> str:
    """Return the default name of a benchmark: its folder or file."""
    path = source.path if isinstance(source, Manifest) else source
    return PurePath(path).name.removesuffix(".parquet")
