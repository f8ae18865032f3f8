"""`curate train`, `evaluate` and `restore`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from curate.cli.options import Settings, format_of_file, new_console
from curate.errors import CurateError
from curate.humanize import counted

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
            help="Manifest, or folder of pictures, as NAME=... where the recipe's data names it; "
            "may be repeated.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="Folder for weights, logs and the state to resume from."),
    ] = "restorer",
    set_: Settings = [],
    restart: Annotated[
        bool, typer.Option("--restart", help="Start from scratch, whatever is there.")
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(help="Checkpoint to begin with, as of `curate models convert`; to fine-tune."),
    ] = None,
) -> None:
    """Train a restorer from manifests.

    The same command again goes on where the last one stopped. More epochs, other learning rates,
    clipping, precision and validation may be set then, and there may be fewer pictures.
    """
    from curate import restore
    from curate.cli.step_bar import StepProgress

    with StepProgress(new_console(), "train") as steps:
        settings = restore.TrainRecipe.load(recipe, set_)
        result = restore.train(
            settings,
            manifest,
            out,
            resume=not restart,
            weights=weights,
            progress=steps,
            notice=steps.say,
        )
    if not result.leads:
        return
    if not result.trained:
        print(f"finished before, after {counted(result.steps, 'step')}")
    if result.pace:
        print(f"patches      {result.pace}")
    print(f"weights      {result.checkpoint}")
    print(f"best weights {result.best}")
    if "psnr" in result.metrics:
        before, after = result.metrics["psnr_before"], result.metrics["psnr"]
        print(f"validation   PSNR {before:.2f} -> {after:.2f} dB")


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
            help="Noisy pictures as bytes; floats by default, as in papers and training.",
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
    """Judge restorers by PSNR, SSIM and PSNR-B, with intervals, beside the HQ-50K paper's figures.

    A picture that can't be judged is named, the others are, and the exit code is 1.
    """
    from curate import restore as restorers
    from curate.cli.step_bar import StepProgress
    from curate.cli.tables import print_tables, write_text
    from curate.restore.evaluation.expert_usage import save_routes
    from curate.restore.evaluation.formats import SCORE_TEXTS, score_table, scores_csv
    from curate.restore.evaluation.scoring import name_of_checkpoint, name_of_source
    from curate.stages.measure import PUBLISHED_CUTOFF, high_frequency_ratios
    from curate.storage import atomic

    form = format_of_file(form, out, SCORE_TEXTS)
    benchmarks = _named(benchmark, name_of_source)
    if paper and degradation:
        raise CurateError(
            "a table says which degradations it is of: leave out either --table or --degradation"
        )
    edges = _edges(bands)
    with StepProgress(new_console(stderr=True), "evaluate") as steps:
        evaluation = restorers.evaluate(
            _named(checkpoints, name_of_checkpoint),
            benchmarks,
            restorers.degradations_for(paper, benchmarks) if paper else degradation,
            limit=limit,
            tile=tile,
            seed=seed,
            clip_noise=bool(clip_noise),
            quantise=quantise,
            bilateral=bilateral,
            routing=routing is not None,
            ratio_of=lambda luma: high_frequency_ratios(luma, (PUBLISHED_CUTOFF,))[0],
            progress=steps,
        )
    tables = []
    for number in paper:
        tables += restorers.paper_tables(evaluation, number, level=level)
    if not paper:
        summary = restorers.summary_table(
            evaluation, by=by, metrics=metric or None, bands=edges, level=level
        )
        tables.append(summary)
    if form == "table":
        print_tables(*(score_table(table, stacked=True) for table in tables))
    else:
        write_text(SCORE_TEXTS[form](evaluation, tables), out)
    if scores:
        atomic.write(scores, scores_csv(evaluation).encode())
        print(scores)
    for path in save_routes(evaluation.routes, routing) if routing else ():
        print(path)
    if evaluation.failures:
        failures = evaluation.failures.items()
        raise CurateError("\n".join(f"{picture}: {reason}" for picture, reason in failures))


def _named(places: list[str], name_of: Callable[[str], str]) -> dict[str, str]:
    """Parse places, each alone or as NAME=PLACE, into name -> place."""
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
    """Parse ascending ratios, joined by commas."""
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
            help="What DAMoE is to do: sr, derain, denoise or dejpeg; "
            "found for each picture if not given."
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
        bool, typer.Option("--overwrite", help="Restore all again, and replace what is there.")
    ] = False,
) -> None:
    """Restore pictures.

    A broken file is reported, and the others are restored; then the exit code is 1. The same
    command again goes on where the last one stopped.
    """
    from curate import restore as restorers
    from curate.cli.step_bar import StepProgress
    from curate.restore.inference.tiles import watching_pieces
    from curate.stages.measure.restoration_task import find_task

    progress = StepProgress(new_console(stderr=True), "restore")
    with progress as steps, watching_pieces(steps.piece):
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
    kept = sum(result.kept for result in results)
    earlier = f", {kept} of them earlier" if kept else ""
    print(f"{len(results) - len(failed)} of {len(results)} restored{earlier}, in {out}")
    if failed:
        raise CurateError("\n".join(f"{result.source}: {result.error}" for result in failed))
