"""`curate train`, `evaluate` and `restore`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.options import Settings, new_console
from curate.errors import CurateError

__all__ = ["evaluate", "restore", "train"]


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Recipe: a YAML file, or a shipped one's name such as train/moe_ir_30g."
        ),
    ],
    manifest: Annotated[
        list[str],
        typer.Option(
            "--manifest",
            "-m",
            help="Manifest, or folder of pictures, as NAME=... where the recipe's data names it; may be repeated.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="Folder for weights, logs and the state to resume from."),
    ] = "restorer",
    set_: Settings = [],
    restart: Annotated[
        bool, typer.Option("--restart", help="Start anew, whatever is there.")
    ] = False,
) -> None:
    """Train a restorer from manifests. The same command again goes on where the last one stopped."""
    from curate import restore
    from curate.cli.step_bar import StepProgress

    with StepProgress(new_console(), "train") as steps:
        settings = restore.TrainRecipe.load(recipe, set_)
        result = restore.train(
            settings, manifest, out, resume=not restart, progress=steps, notice=steps.say
        )
    if not result.leads:
        return
    if not result.trained:
        print(f"finished before, after {result.steps} steps")
    if result.pace:
        print(f"patches      {result.pace}")
    print(f"weights      {result.checkpoint}")
    print(f"best weights {result.best}")
    if "psnr" in result.metrics:
        print(
            f"validation   PSNR {result.metrics['psnr_before']:.2f} -> {result.metrics['psnr']:.2f} dB"
        )


def evaluate(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Weights: model.safetensors of `curate train`, or NAME=FILE.",
        ),
    ],
    benchmark: Annotated[
        list[str],
        typer.Option(
            "--benchmark",
            "-b",
            help="Folder of clean pictures, or manifest, of pairs too; or NAME=PLACE; repeated.",
        ),
    ],
    degradation: Annotated[
        list[str],
        typer.Option(
            "--degradation", "-d", help="Such as denoise_25; may be repeated. Pairs need none."
        ),
    ] = [],
    paper: Annotated[
        list[str],
        typer.Option(
            "--table",
            "-t",
            metavar="N",
            help="Table of the HQ-50K paper, which says what to judge; repeated.",
        ),
    ] = [],
    by: Annotated[
        list[str],
        typer.Option(
            help="What means are of: level, task, category, broad, texture; may be repeated."
        ),
    ] = ["level"],
    metric: Annotated[
        list[str],
        typer.Option(help="psnr, psnr_y, ssim, ssim_y or psnr_b; all by default; may be repeated."),
    ] = [],
    bands: Annotated[
        str, typer.Option(help="High-frequency ratios at which bands of texture part.")
    ] = "0.005,0.02",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures to take of each, from the first.")
    ] = None,
    tile: Annotated[
        int | None, typer.Option(min=16, help="Side of the pieces to restore at a time, in pixels.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of noise and intervals.")] = 0,
    clip_noise: Annotated[
        bool | None,
        typer.Option(
            "--clip-noise/--no-clip-noise",
            help="Noisy pictures as bytes, or as floats; tables: floats.",
            show_default=False,
        ),
    ] = None,
    quantise: Annotated[
        bool,
        typer.Option(
            "--quantise/--no-quantise", help="Round outputs to bytes before they are compared."
        ),
    ] = True,
    bilateral: Annotated[
        bool, typer.Option("--bilateral", help="Filter outputs as MOE-IR_30G's document does.")
    ] = False,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", help="table, csv, md, tex or json; as --out ends, if not given."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File to write instead of printing.")
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="CSV file to write with the scores of each picture.")
    ] = None,
    routing: Annotated[
        str | None,
        typer.Option(
            metavar="PNG", help="Picture to write of which experts were picked, and a CSV."
        ),
    ] = None,
) -> None:
    """Judge restorers: PSNR, SSIM and PSNR-B before and after, with intervals, beside what the HQ-50K paper reports.

    A picture that can't be judged is named, the others are, and the exit code is 1.
    """
    from curate import restore as restorers
    from curate.cli.step_bar import StepProgress
    from curate.cli.tables import score_table
    from curate.stages.measure import PUBLISHED_CUTOFF, high_frequency_ratios
    from curate.storage import atomic

    form = form or (Path(out).suffix[1:] if out else "table")
    if form not in restorers.SCORE_TEXTS and (form != "table" or out):
        raise CurateError(
            f"--format takes {', '.join(restorers.SCORE_TEXTS)}, or table without --out, not {form!r}"
        )
    benchmarks = _named(benchmark, restorers.name_of_source)
    if paper and degradation:
        raise CurateError(
            "a table says which degradations it is of: leave out either --table or --degradation"
        )
    edges = _edges(bands)
    with StepProgress(new_console(stderr=True), "evaluate") as steps:
        evaluation = restorers.evaluate(
            _named(checkpoints, restorers.name_of_checkpoint),
            benchmarks,
            restorers.degradations_for(paper, benchmarks) if paper else degradation,
            limit=limit,
            tile=tile,
            seed=seed,
            clip_noise=not paper if clip_noise is None else clip_noise,
            quantise=quantise,
            bilateral=bilateral,
            routing=routing is not None,
            ratio_of=lambda luma: high_frequency_ratios(luma, (PUBLISHED_CUTOFF,))[0],
            progress=steps,
        )
    tables = [
        table
        for number in paper
        for table in restorers.paper_tables(evaluation, number, level=level)
    ] or [
        restorers.summary_table(evaluation, by=by, metrics=metric or None, bands=edges, level=level)
    ]
    if form == "table":
        new_console().print(*map(score_table, tables), sep="\n")
    elif out is None:
        print(restorers.SCORE_TEXTS[form](evaluation, tables), end="")
    else:
        atomic.write(out, restorers.SCORE_TEXTS[form](evaluation, tables).encode())
        print(out)
    if scores:
        atomic.write(scores, restorers.scores_csv(evaluation).encode())
        print(scores)
    for path in restorers.save_routes(evaluation.routes, routing) if routing else ():
        print(path)
    if evaluation.failures:
        raise CurateError("\n".join(f"{what}: {why}" for what, why in evaluation.failures.items()))


def _named(places: list[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """NAME=PLACE, or a place by itself -> place by name."""
    named: dict[str, str] = {}
    for place in places:
        name, equals, rest = place.partition("=")
        if not equals or "/" in name:
            name, rest = name_of(place), place
        if name in named:
            raise CurateError(f"two are called {name}: say NAME={place}")
        named[name] = rest
    return named


def _edges(text: str) -> list[float]:
    """Ascending ratios, joined by commas."""
    try:
        edges = [float(edge) for edge in text.split(",")]
    except ValueError:
        edges = []
    if not edges or edges != sorted(set(edges)):
        raise CurateError(f"--bands takes ascending ratios such as 0.005,0.02, not {text!r}")
    return edges


def restore(
    inputs: Annotated[
        list[str], typer.Argument(metavar="IN...", help="Picture files and folders of them.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder, or a file for one input.")],
    checkpoint: Annotated[
        str,
        typer.Option("--checkpoint", "-c", help="Weights: model.safetensors of `curate train`."),
    ],
    form: Annotated[
        str | None,
        typer.Option("--format", "-f", help="png, jpg, webp, tif, ...; the input's by default."),
    ] = None,
    degrade: Annotated[
        str | None, typer.Option(help="Spoil the pictures first, such as denoise_25: for trials.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="What DAMoE is to do: sr, derain, denoise or dejpeg; found for each picture if not given."
        ),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(min=16, help="Side of the pieces to restore at a time, in pixels.")
    ] = None,
    bilateral: Annotated[
        bool, typer.Option("--bilateral", help="Filter as MOE-IR_30G's document does.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Also write before and after side by side, as NAME.compare.png."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that are there already.")
    ] = False,
) -> None:
    """Restore pictures. A broken file is reported, and the others are restored; then the exit code is 1."""
    from curate import restore as restorers
    from curate.cli.step_bar import StepProgress
    from curate.stages.measure.restoration_task import find_task

    with StepProgress(new_console(stderr=True), "restore") as steps:
        results = restorers.restore_files(
            checkpoint,
            inputs,
            out,
            format=form,
            degrade=degrade,
            task=task or find_task,
            tile=tile,
            bilateral=bilateral,
            compare=compare,
            overwrite=overwrite,
            progress=lambda done, total, _: steps(done, total),
        )
    for result in results:
        if result.task and not task:
            print(f"{result.source}: {result.task}")
    failed = [result for result in results if result.output is None]
    print(f"{len(results) - len(failed)} of {len(results)} restored, in {out}")
    if failed:
        raise CurateError("\n".join(f"{result.source}: {result.error}" for result in failed))
