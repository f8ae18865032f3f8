"""`curate run`, `probe` and `demo`, and the commands of single stages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.options import (
    Inputs,
    Json,
    LogJson,
    Out,
    RecipeName,
    Retry,
    RunArgument,
    Scheduler,
    Settings,
    Workers,
    new_console,
    open_listeners,
    split_words,
)
from curate.cli.run_summary import finish, print_outcome, print_places
from curate.errors import CurateError
from curate.stages.names import StageName

if TYPE_CHECKING:
    from curate.pipeline.execute import RunOutcome

__all__ = ["demo", "probe", "report", "run", "stage_commands"]


def run(
    recipe: RecipeName,
    input: Inputs = [],
    out: Out = "run",
    scheduler: Scheduler = "local",
    workers: Workers = None,
    set_: Settings = [],
    redo_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Run this stage and all later ones again; downloads are kept.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every file of the run, and repair damaged ones."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the resolved recipe and the planned steps, and stop."
        ),
    ] = False,
    log_json: LogJson = None,
) -> None:
    """Turn a list of URLs into a manifest of selected images.

    Run the same command again to continue after a stop. The exit code is 3 if every candidate was
    rejected.
    """
    from curate.pipeline.plan import plan_run
    from curate.recipe import Recipe

    resolved = Recipe.load(recipe, set_)
    options = {"scheduler": scheduler, "workers": workers, "redo_from": redo_from, "verify": verify}
    if not dry_run:
        finish(_run(resolved, input, out, log_json, None, **options))
        return
    print(resolved.to_yaml(), end="")
    print(f"# {out}:")
    plan = plan_run(resolved, input, out, needs_input=False, **options)  # type: ignore[arg-type]
    for stage, state in plan.states().items():
        print(f"#   {stage:<10} {state}")


def probe(
    recipe: RecipeName,
    input: Inputs = [],
    sample: Annotated[
        str,
        typer.Option(
            help="How many candidates to try: a share such as 1% (at least 2,000 and at most "
            "20,000 candidates), a number, or all."
        ),
    ] = "1%",
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Planned run folder, to check its disk; it is not created."
        ),
    ] = "run",
    scheduler: Annotated[
        str,
        typer.Option(
            help="Where to compute: local (workers on this machine) or serial (this process)."
        ),
    ] = "local",
    workers: Workers = None,
    set_: Settings = [],
    json: Json = False,
) -> None:
    """Try a sample of a list before a long run, and estimate its yield, cost and problems.

    The sample is deleted afterwards. The exit code is 1 if no image could be downloaded.
    """
    from curate.cli.live_view import run_progress
    from curate.cli.tables import probe_summary
    from curate.engine import Progress
    from curate.pipeline.probe import probe
    from curate.recipe import Recipe

    resolved = Recipe.load(recipe, set_)
    with nullcontext(Progress()) if json else run_progress(new_console()) as progress:
        options = {"scheduler": scheduler, "workers": workers, "progress": progress}
        outcome = probe(resolved, input, out, sample=sample, **options)  # type: ignore[arg-type]
    if json:
        print(outcome.to_json())
    else:
        new_console().print(probe_summary(outcome))
    if not outcome.images:
        raise typer.Exit(1)


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for all files of the demo.")
    ] = Path("demo-run"),
    port: Annotated[int, typer.Option(help="Port of the sample site on this machine.")] = 8391,
) -> None:
    """Crawl, curate, train and restore sample pictures, in five minutes and without a network."""
    from curate.cli.live_view import run_progress
    from curate.cli.step_bar import StepProgress
    from curate.demo import walk
    from curate.demo.site import DemoSite

    console = new_console()
    with DemoSite(port, out / "site") as site:
        with StepProgress(console, "draw") as drawn:
            site.prepare(drawn)
        with run_progress(console) as progress:
            curated = walk.curate_site(site, out, progress)
    with StepProgress(console, "train") as steps:
        restored = walk.train_and_restore(out, steps)
    others = {"restorer": restored.checkpoint, "before/after": restored.comparison}
    print_places({**curated.places, **others})
    print(f"PSNR         {restored.psnr_before:.2f} dB degraded, {restored.psnr:.2f} dB restored")
    print_outcome(curated)


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "recipe": (RecipeName, inspect.Parameter.empty),
    "run": (RunArgument, inspect.Parameter.empty),
    "input": (Inputs, []),
    "out": (Out, "run"),
    "scheduler": (Scheduler, "local"),
    "workers": (Workers, None),
    "set_": (Settings, []),
    "retry": (Retry, ""),
    "log_json": (LogJson, None),
}
"""Options of the stage commands: type and default."""

_COMMON = ("run", "scheduler", "workers", "set_", "log_json")


def stage_commands() -> list[tuple[str, Callable[..., None]]]:
    """Return the commands of single stages with their names, in the order of the chain."""
    stages = StageName
    listed = [
        _stage_command(
            stages.CANDIDATES,
            "Read the input into a new run folder.",
            options=("recipe", "input", "out", "set_", "log_json"),
            scheduler="serial",
        ),
        _stage_command(
            stages.FETCH, "Download the files of all candidates.", options=(*_COMMON, "retry")
        ),
        _stage_command(
            stages.MEASURE,
            "Measure every downloaded image: size, bits per pixel, frequencies, hashes.",
        ),
        _stage_command(
            stages.LABEL, "Apply the recipe's filters, and label the images that pass with CLIP."
        ),
        _stage_command(stages.MATCH, "Find images that show a part of a benchmark image."),
        _stage_command(
            stages.SELECT,
            "Choose a balanced dataset, and write its ledger and manifests. Workers help only if "
            "there are hundreds of shards.",
            scheduler="serial",
        ),
        report,
    ]
    return list(zip(stages, listed, strict=True))


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders: paths or any fsspec URLs."),
    ],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Page of several runs side by side: a file to write."),
    ] = None,
    log_json: LogJson = None,
) -> None:
    """Write a run's report, or with --out a page that shows several runs side by side."""
    if len(runs) > 1 or out is not None:
        from curate.pipeline.selection_step import write_comparison

        if out is None or len(runs) == 1:
            raise CurateError(
                "--out and several runs go together, as in  curate report A B --out compared.html"
            )
        write_comparison(runs, out)
        print(out)
        return
    outcome = _run_stage(StageName.REPORT, run=runs[0], scheduler="serial", log_json=log_json)
    print(outcome.places["report"])


def _stage_command(
    stage: StageName,
    description: str,
    options: tuple[str, ...] = _COMMON,
    scheduler: str = "local",
) -> Callable[..., None]:
    """Return a typer command that brings one stage up to date.

    Args:
        stage: the stage.
        description: text of its `--help`.
        options: names of its options, of _OPTIONS.
        scheduler: default of `--scheduler`.
    """

    def command(**values: Any) -> None:
        finish(_run_stage(stage, **{"scheduler": scheduler, **values}))

    kinds = {name: _OPTIONS[name] for name in options}
    if "scheduler" in kinds:
        kinds["scheduler"] = (Scheduler, scheduler)
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in kinds.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {name: kind for name, (kind, _) in kinds.items()}
    command.__doc__ = description
    return command


def _run_stage(
    stage: StageName,
    *,
    recipe: str | None = None,
    run: str = "",
    input: list[str] = [],
    out: str = "",
    set_: list[str] = [],
    retry: str = "",
    log_json: str | None,
    **options: Any,
) -> RunOutcome:
    """Bring a stage of a run up to date; settings of it and of later stages may change."""
    from curate.pipeline.recipe_changes import revise_recipe
    from curate.recipe import Recipe

    options["stages"] = (stage,)
    if recipe is not None:
        return _run(Recipe.load(recipe, set_), input, out, log_json, **options)
    revised, redo_from = revise_recipe(run, stage, set_) if set_ else (None, None)
    options |= {"redo_from": redo_from, "retry": split_words(retry)}
    before = next(earlier for earlier in StageName if earlier.following is stage)
    return _run(revised, [], run, log_json, after=(before, run), **options)


def _run(
    recipe: Any,
    inputs: list[str],
    out: str,
    log_json: str | None,
    after: tuple[StageName, str] | None = None,
    **options: Any,
) -> RunOutcome:
    from curate.pipeline.execute import run

    with open_listeners(log_json, recipe=recipe, after=after) as progress:
        return run(recipe, inputs, out, progress=progress, **options)
