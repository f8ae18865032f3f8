"""Judge restorers: how near to the clean pictures they come, on benchmarks degraded the same way for everyone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from curate.errors import CurateError, RestoreError
from curate.manifest import Manifest
from curate.restore.checkpoints.checkpoint import load_model
from curate.restore.data.degradations import Degradation, generator, parse_degradation
from curate.restore.data.pictures import Picture, open_pictures
from curate.restore.evaluation.expert_usage import Routes
from curate.restore.inference.restore_image import restore_array, tell
from curate.restore.metrics import METRICS

__all__ = ["INPUT", "Evaluation", "Score", "evaluate", "name_of_checkpoint", "name_of_source"]

INPUT = "input"
"""`Score.model` of the degraded pictures themselves."""

Source = str | os.PathLike[str] | Manifest
RatioOf = Callable[[NDArray[np.uint8]], float]


@dataclass(frozen=True)
class Score:
    """What one model made of one picture under one degradation."""

    model: str
    """The checkpoint's name; `input` for the degraded picture as it is."""
    benchmark: str
    degradation: str
    """Its name; for pairs what their manifest says."""
    task: str
    """What undoing it is."""
    image: str
    category: str | None
    """Of the manifest, as `broad`; None where there is none."""
    broad: str | None
    hf_ratio_032: float | None
    """How much texture the clean picture has, as manifests measure it."""
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
    """Picture by picture; of each the input's first, then the models'."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """What couldn't be judged, and why."""
    routes: Mapping[str, Routes] = field(default_factory=dict)
    """Model -> which of its experts were picked, where it has some and they were asked for."""
    seed: int = 0


@dataclass(frozen=True)
class _Protocol:
    """How pictures are degraded, restored and compared; see `evaluate`."""

    seed: int
    clip_noise: bool
    quantise: bool
    bilateral: bool
    tile: int | None


@dataclass(frozen=True)
class _Pair:
    """A clean and a degraded picture: (height, width, 3) on 0..255, or grey in three equal channels."""

    degradation: str
    task: str
    clean_HWC: NDArray[np.uint8]
    degraded_HWC: NDArray[Any]
    border: int
    """Pixels on each side that don't count: super-resolution's scale."""
    drawn: bool = True


def evaluate(
    checkpoints: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    benchmarks: Source | Mapping[str, Source],
    degradations: Sequence[str] | Mapping[str, Sequence[str]] = (),
    *,
    limit: int | None = None,
    tile: int | None = None,
    seed: int = 0,
    clip_noise: bool = True,
    quantise: bool = True,
    bilateral: bool = False,
    routing: bool = False,
    ratio_of: RatioOf | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Restore every picture from every degradation and compare with the clean one; see `curate.restore.metrics`.

    Super-resolution leaves the outermost `scale` pixels out of the comparison, as is usual. A grey picture is given to
    the models in three equal channels, and the mean of their output's is compared. A picture that can't be read or
    restored is named, and the others are judged. One picture is in memory at a time.

    Args:
        checkpoints: name -> a `model.safetensors` of `curate train`; or one alone.
        benchmarks: name -> a manifest, or a folder of clean pictures; or one alone. Pairs, of a manifest that
            `curate ingest` made, are compared as they are.
        degradations: names, such as `denoise_25`, for whatever isn't paired; or those of each benchmark.
        limit: pictures to take of each benchmark, from the first; all by default.
        tile: see `restore_image`.
        seed: of the noise; the same seed, picture and degradation give the same noise everywhere.
        clip_noise: whether noisy pictures are bytes, as files hold them; otherwise noise is neither clipped nor
            rounded, as SwinIR's and Restormer's authors judge denoising.
        quantise: whether outputs are rounded to bytes before they are compared; otherwise only clipped to 0..255.
        bilateral: see `restore_image`.
        routing: whether to count which experts were picked.
        ratio_of: gives the high-frequency ratio, as `hf_ratio_032` of manifests, from the luma (uint8, height x width)
            of clean pictures whose manifest doesn't tell it.
        progress: called with the pairs that were judged and those in all.

    Raises:
        RestoreError: if there are no pictures, none could be judged, a degradation isn't known or not for a model, or a
            checkpoint can't be loaded.
        ManifestError: if a manifest can't be read.
    """
    if not isinstance(checkpoints, Mapping):
        checkpoints = {name_of_checkpoint(checkpoints): checkpoints}
    if INPUT in checkpoints:
        raise RestoreError(f"no checkpoint can be called {INPUT}, which the degraded pictures are")
    named = (
        benchmarks if isinstance(benchmarks, Mapping) else {name_of_source(benchmarks): benchmarks}
    )
    pictures = {name: open_pictures(source)[:limit] for name, source in named.items()}
    spoil = {name: _degradations_of(name, found, degradations) for name, found in pictures.items()}
    models = {name: load_model(path) for name, path in checkpoints.items()}
    _check_tasks(models, pictures, spoil)
    protocol = _Protocol(seed, clip_noise, quantise, bilateral, tile)
    routes = {name: Routes(name, model) for name, model in models.items()} if routing else {}

    cases = [
        (benchmark, picture, case)
        for benchmark, found in pictures.items()
        for picture in found
        for case in _cases(picture, spoil[benchmark], protocol)
    ]
    scores: list[Score] = []
    failures: dict[str, str] = {}
    for done, (benchmark, picture, (what, make)) in enumerate(cases, 1):
        try:
            pair = make()
            compared = _compare(models, pair, protocol, routes)
        except (CurateError, OSError) as error:
            failures[f"{benchmark}/{picture.id}, {what}"] = str(error)
        else:
            ratio = _of_manifest(picture, "hf_ratio_032")
            if ratio is None and ratio_of is not None:
                ratio = ratio_of(np.asarray(Image.fromarray(pair.clean_HWC).convert("L")))
            of_pair: dict[str, Any] = {
                "benchmark": benchmark,
                "degradation": pair.degradation,
                "task": pair.task,
                "image": picture.id,
                "category": _of_manifest(picture, "category"),
                "broad": _of_manifest(picture, "broad"),
                "hf_ratio_032": ratio,
                "drawn": pair.drawn,
            }
            scores += [
                Score(**{"model": model, **of_pair, **values}) for model, values in compared.items()
            ]
        if progress:
            progress(done, len(cases))
    if not scores:
        what, why = next(iter(failures.items()))
        raise RestoreError(
            f"none of {len(cases)} pictures could be judged; the first, {what}: {why}"
        )
    return Evaluation(tuple(models), tuple(scores), failures, routes, seed)


def _cases(
    picture: Picture, degradations: Sequence[Degradation], protocol: _Protocol
) -> list[tuple[str, Callable[[], _Pair]]]:
    """What a picture is judged under, and what makes the pair; a pair is judged as it is."""
    if picture.is_paired:
        return [(str(picture.degradation), partial(_read_pair, picture))]
    read = lru_cache(maxsize=1)(picture.read)
    return [
        (found.name, partial(_degrade, read, picture.id, found, protocol)) for found in degradations
    ]


def _read_pair(picture: Picture) -> _Pair:
    clean_HWC, degraded_HWC = picture.read_pair()
    name = str(picture.degradation)
    border = (
        _border(parse_degradation(name)) if picture.task == "sr" and name.startswith("sr_x") else 0
    )
    return _Pair(name, str(picture.task), clean_HWC, degraded_HWC, border, drawn=False)


def _degrade(
    read: Callable[[], NDArray[np.uint8]], id_: str, degradation: Degradation, protocol: _Protocol
) -> _Pair:
    image_HWC = read()
    rng = generator(protocol.seed, degradation.name, id_)
    floats = degradation.task == "denoise" and not protocol.clip_noise
    clean_HWC, degraded_HWC = degradation.pair(
        image_HWC.astype(np.float32) if floats else image_HWC, rng
    )
    if _is_grey(clean_HWC):  # one noise for all channels, as a grey camera's
        degraded_HWC = np.repeat(degraded_HWC[..., :1], 3, axis=2)
    return _Pair(
        degradation.name,
        degradation.task,
        clean_HWC.astype(np.uint8),
        degraded_HWC,
        _border(degradation),
    )


def _border(degradation: Degradation) -> int:
    return degradation.multiple if degradation.multiple > 1 else 0


def _compare(
    models: Mapping[str, nn.Module], pair: _Pair, protocol: _Protocol, routes: Mapping[str, Routes]
) -> dict[str, dict[str, float]]:
    """Metrics of the input, and of what each model makes of it."""
    grey = _is_grey(pair.clean_HWC) and _is_grey(pair.degraded_HWC)
    outputs: dict[str, NDArray[Any]] = {INPUT: pair.degraded_HWC}
    for name, model in models.items():
        with (
            routes[name].counting(pair.degradation, pair.task) if name in routes else nullcontext()
        ):
            outputs[name] = restore_array(
                model,
                pair.degraded_HWC,
                task=pair.task,
                tile=protocol.tile,
                bilateral=protocol.bilateral,
                grey=grey,
                quantise=protocol.quantise,
            )
    inner = _inner(pair)
    channels = 1 if grey else 3
    clean_HWC = pair.clean_HWC[inner][..., :channels]
    return {
        name: {
            metric: measure(output[inner][..., :channels], clean_HWC)
            for metric, measure in METRICS.items()
        }
        for name, output in outputs.items()
    }


def _inner(pair: _Pair) -> tuple[slice, slice]:
    """What counts of the rows and columns: all within the border, or all where that would leave nothing."""
    height, width = pair.clean_HWC.shape[:2]
    cut = pair.border if min(height, width) > 2 * pair.border else 0
    return slice(cut, height - cut), slice(cut, width - cut)


def _is_grey(image_HWC: NDArray[Any]) -> bool:
    return bool((image_HWC == image_HWC[..., :1]).all())


def _of_manifest(picture: Picture, column: str) -> Any:
    """A picture's value there; None where there is no such column, or no manifest."""
    source = picture.source
    known = isinstance(source, Manifest) and column in source.table.column_names
    return source.column(column)[picture.row] if known else None  # type: ignore[union-attr]


def _degradations_of(
    benchmark: str,
    pictures: Sequence[Picture],
    degradations: Sequence[str] | Mapping[str, Sequence[str]],
) -> list[Degradation]:
    """What a benchmark's clean pictures are spoilt with."""
    names = degradations.get(benchmark, ()) if isinstance(degradations, Mapping) else degradations
    if not names and not all(picture.is_paired for picture in pictures):
        raise RestoreError(
            f"{benchmark} holds clean pictures: name a degradation for them, such as denoise_25"
        )
    return [parse_degradation(name) for name in dict.fromkeys(names)]


def _check_tasks(
    models: Mapping[str, nn.Module],
    pictures: Mapping[str, Sequence[Picture]],
    spoil: Mapping[str, Sequence[Degradation]],
) -> None:
    """Refuse what a model isn't for before hours of judging."""
    tasks = {picture.task for found in pictures.values() for picture in found if picture.is_paired}
    for task in sorted(
        {str(task) for task in tasks} | {d.task for found in spoil.values() for d in found}
    ):
        for model in models.values():
            tell(model, task)


def name_of_checkpoint(path: str | os.PathLike[str]) -> str:
    """What a checkpoint is called whose name isn't given: its folder and file, as restorer/best."""
    return PurePath(*PurePath(path).with_suffix("").parts[-2:]).as_posix()


def name_of_source(source: Source) -> str:
    """What a benchmark is called whose name isn't given: its folder or file."""
    return PurePath(source.path if isinstance(source, Manifest) else source).name.removesuffix(
        ".parquet"
    )
