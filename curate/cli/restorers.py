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
            help="Manifest or folder of pictures; NAME=PATH if the recipe's data has names; may be "
            "repeated.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="Folder for weights, logs and the state of the training."),
    ] = "restorer",
    set_: Settings = [],
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Discard what is in the folder, and start from scratch."),
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(help="Checkpoint to start from, to fine-tune it."),
    ] = None,
) -> None:
    """Train a restorer on manifests or folders of pictures.

    Run the same command again to continue after a stop. You may then change the number of epochs,
    learning rates, clipping, precision and validation, and leave out pictures.
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
            help="Folder of clean pictures, or manifest (also of pairs), or NAME=PATH; may be "
            "repeated.",
        ),
    ],
    degradation: Annotated[
        list[str],
        typer.Option(
            "--degradation",
            "-d",
            help="Degradation of clean pictures, such as denoise_25; may be repeated.",
        ),
    ] = [],
    paper: Annotated[
        list[str],
        typer.Option(
            "--table",
            "-t",
            metavar="N",
            help="Evaluate what this table of the HQ-50K paper shows; may be repeated.",
        ),
    ] = [],
    by: Annotated[
        list[str],
        typer.Option(
            help="Groups to average over: level, task, category, broad or texture; may be repeated."
        ),
    ] = ["level"],
    metric: Annotated[
        list[str],
        typer.Option(help="psnr, psnr_y, ssim, ssim_y or psnr_b; may be repeated; all by default."),
    ] = [],
    bands: Annotated[
        str, typer.Option(help="High-frequency ratios that separate the groups of texture.")
    ] = "0.005,0.02",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use only the first pictures of each benchmark.")
    ] = None,
    tile: Annotated[
        int | None, typer.Option(min=16, help="Restore in tiles with sides of this many pixels.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of noise and intervals.")] = 0,
    clip_noise: Annotated[
        bool | None,
        typer.Option(
            "--clip-noise/--no-clip-noise",
            help="Round noisy pictures to bytes; floats by default, as in papers and training.",
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
        bool,
        typer.Option(
            "--bilateral", help="Apply the bilateral filter of MOE-IR_30G's document to outputs."
        ),
    ] = False,
    level: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Confidence level of the intervals.")
    ] = 0.95,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="table, csv, md, tex or json; by default from the ending of --out.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File to write instead of printing.")
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="CSV file for the scores of each picture.")
    ] = None,
    routing: Annotated[
        str | None,
        typer.Option(
            metavar="PNG", help="Picture of which experts were chosen; a CSV is written, too."
        ),
    ] = None,
) -> None:
    """Evaluate restorers by PSNR, SSIM and PSNR-B, and compare them with the HQ-50K paper.

    Pictures that can't be evaluated are listed at the end, and the exit code is then 1.
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
        list[str], typer.Argument(metavar="IN...", help="Pictures, and folders of pictures.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Folder for the results, or a file if there is one input."
        ),
    ],
    checkpoint: Annotated[
        str,
        typer.Option("--checkpoint", "-c", help="Weights: model.safetensors of `curate train`."),
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", help="png, jpg, webp, tif, ...; by default the format of each input."
        ),
    ] = None,
    degrade: Annotated[
        str | None,
        typer.Option(help="Degrade the pictures first, such as by denoise_25, for a trial."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Task of DAMoE: sr, derain, denoise or dejpeg; by default found for each picture."
        ),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(min=16, help="Restore in tiles with sides of this many pixels.")
    ] = None,
    bilateral: Annotated[
        bool,
        typer.Option("--bilateral", help="Apply the bilateral filter of MOE-IR_30G's document."),
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Also write input and result side by side, as NAME.compare.png."
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Restore all pictures again, and replace existing results."
        ),
    ] = False,
) -> None:
    """Restore pictures with a trained model.

    Broken files are listed at the end, and the exit code is then 1. Run the same command again to
    continue after a stop.
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
