"""The `curate` command: parses, calls the package, prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate._version import __version__
from curate.cli.ablation import ablate
from curate.cli.datasets import evaluate_labels, stats
from curate.cli.decontaminate import decontaminate_app
from curate.cli.ingest import ingest
from curate.cli.manifest import export, manifest_app
from curate.cli.models import models_app
from curate.cli.options import (
    LogJson,
    Scheduler,
    Settings,
    Workers,
    listening,
    new_console,
    parts_of,
)
from curate.cli.restorers import evaluate, restore, train
from curate.cli.run_summary import (
    print_advice,
    print_outcome,
    print_passed_over,
    print_places,
    print_reasons,
)
from curate.cli.upkeep import grow, rebuild, remove, verify
from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.pipeline.execute import RunOutcome

app = typer.Typer(
    name="curate",
    help="Restoration-grade image datasets from crawled URLs, and the restorers trained on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

STAGE_BY_STAGE = "Stage by stage"
_RESUMING = (
    *(
        "run",
        "candidates",
        "fetch",
        "measure",
        "label",
        "match",
        "select",
        "report",
        "grow",
        "remove",
        "rebuild",
    ),
    *("train", "demo"),
)
"""Commands that go on where they were stopped."""
_STORAGE_CLIENTS = ("botocore", "aiobotocore", "gcsfs", "google")

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Run folder: a path or any fsspec URL.")
]
Inputs = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        help="List of URLs (txt, csv, tsv, jsonl, parquet), folder of images, or img2dataset output.",
    ),
]
Out = Annotated[str, typer.Option("--out", "-o", help="Run folder: a path or any fsspec URL.")]


@app.command()
def run(
    recipe: Annotated[
        str, typer.Argument(help="Recipe: a YAML file, or a shipped one's name such as hq50k.")
    ],
    input: Inputs = [],  # noqa: B006 - typer reads it, nobody changes it
    out: Out = "run",
    scheduler: Scheduler = "local",
    workers: Workers = None,
    set_: Settings = [],  # noqa: B006
    redo_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Make this stage and later ones anew; what is downloaded stays.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read every file that is there, to find what is damaged, and mend it."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe and what would be done.")
    ] = False,
    log_json: LogJson = None,
) -> None:
    """URLs in, manifest out. The same command again goes on where the last one stopped."""
    from curate.pipeline.plan import plan_run
    from curate.recipe import Recipe

    resolved = Recipe.load(recipe, set_)
    if dry_run:
        print(resolved.to_yaml(), end="")
        print(f"# {out}:")
        plan = plan_run(
            resolved, input, out, scheduler=scheduler, redo_from=redo_from, needs_input=False
        )
        for stage, state in plan.states().items():
            print(f"#   {stage:<10} {state}")
        return
    outcome = _run(
        resolved,
        input,
        out,
        log_json,
        scheduler=scheduler,
        workers=workers,
        redo_from=redo_from,
        verify=verify,
    )
    print_outcome(outcome)


@app.command()
def probe(
    recipe: Annotated[
        str, typer.Argument(help="Recipe: a YAML file, or a shipped one's name such as hq50k.")
    ],
    input: Inputs = [],  # noqa: B006
    sample: Annotated[
        str,
        typer.Option(
            help="A share such as 1%, held between 2,000 and 20,000 candidates, a number of them, or all."
        ),
    ] = "1%",
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Run folder that is planned: its disk is looked at, it is not made."
        ),
    ] = "run",
    scheduler: Annotated[
        str, typer.Option(help="local (workers on this machine) or serial.")
    ] = "local",
    workers: Workers = None,
    set_: Settings = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Before a long run: try a sample of the list, say what the run would bring and cost, and what is wrong.

    Nothing of the sample is kept. Exits with 1 when no image could be reached at all.
    """
    from curate.cli.live_view import run_progress
    from curate.cli.tables import probe_summary
    from curate.engine import Progress
    from curate.pipeline.probe import probe
    from curate.recipe import Recipe

    resolved = Recipe.load(recipe, set_)
    with nullcontext(Progress()) if json else run_progress(new_console()) as progress:
        outcome = probe(
            resolved,
            input,
            out,
            sample=sample,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
    if json:
        print(outcome.to_json())
    else:
        new_console().print(probe_summary(outcome))
    if not outcome.images:
        raise typer.Exit(1)


@app.command(rich_help_panel=STAGE_BY_STAGE)
def candidates(
    recipe: Annotated[
        str, typer.Argument(help="Recipe: a YAML file, or a shipped one's name such as hq50k.")
    ],
    input: Inputs = [],  # noqa: B006
    out: Out = "run",
    set_: Settings = [],  # noqa: B006
    log_json: LogJson = None,
) -> None:
    """Read the input into a new run folder."""
    from curate.recipe import Recipe

    outcome = _run(
        Recipe.load(recipe, set_), input, out, log_json, scheduler="serial", stages=("candidates",)
    )
    print_passed_over(outcome)
    print_advice(outcome)


@app.command(rich_help_panel=STAGE_BY_STAGE)
def fetch(
    run: RunArgument,
    scheduler: Scheduler = "local",
    workers: Workers = None,
    set_: Settings = [],  # noqa: B006
    retry: Annotated[
        str,
        typer.Option(
            metavar="REASONS",
            help="Ask again for candidates of these reasons: transient, or dns,tls.",
        ),
    ] = "",
    log_json: LogJson = None,
) -> None:
    """Download the candidates' bytes."""
    print_advice(_stage(run, "fetch", scheduler, workers, set_, log_json, retry=parts_of(retry)))


@app.command(rich_help_panel=STAGE_BY_STAGE)
def measure(
    run: RunArgument,
    scheduler: Scheduler = "local",
    workers: Workers = None,
    set_: Settings = [],  # noqa: B006
    log_json: LogJson = None,
) -> None:
    """Turn bytes into numbers."""
    print_advice(_stage(run, "measure", scheduler, workers, set_, log_json))


@app.command(rich_help_panel=STAGE_BY_STAGE)
def label(
    run: RunArgument,
    scheduler: Scheduler = "local",
    workers: Workers = None,
    set_: Settings = [],  # noqa: B006
    log_json: LogJson = None,
) -> None:
    """Apply the recipe's filters, and label what passes with CLIP."""
    print_advice(_stage(run, "label", scheduler, workers, set_, log_json))


@app.command(rich_help_panel=STAGE_BY_STAGE)
def match(
    run: RunArgument,
    scheduler: Scheduler = "local",
    workers: Workers = None,
    set_: Settings = [],  # noqa: B006
    log_json: LogJson = None,
) -> None:
    """Hold what passed the filters against the lists of benchmark images."""
    print_advice(_stage(run, "match", scheduler, workers, set_, log_json))


@app.command(rich_help_panel=STAGE_BY_STAGE)
def select(
    run: RunArgument,
    scheduler: Scheduler = "serial",
    workers: Workers = None,
    set_: Settings = [],  # noqa: B006
    log_json: LogJson = None,
) -> None:
    """Choose a balanced dataset; write ledger and manifests. Workers pay for more than some hundred shards."""
    outcome = _stage(run, "select", scheduler, workers, set_, log_json)
    print_outcome(outcome)


@app.command(rich_help_panel=STAGE_BY_STAGE)
def report(run: RunArgument, log_json: LogJson = None) -> None:
    """Write the report."""
    _stage(run, "report", "serial", None, [], log_json)
    print(f"{run.rstrip('/')}/report/index.html")


app.command("evaluate-labels")(evaluate_labels)
app.command()(stats)
app.command()(ingest)
app.command()(export)
app.command()(grow)
app.command()(remove)
app.command()(verify)
app.command()(rebuild)
app.command()(ablate)
app.command()(train)
app.command()(evaluate)
app.command()(restore)
app.add_typer(models_app, name="models")
app.add_typer(manifest_app, name="manifest")
app.add_typer(decontaminate_app, name="decontaminate")


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for everything the demo makes.")
    ] = Path("demo-run"),
    port: Annotated[int, typer.Option(help="Loopback port of the sample crawl site.")] = 8391,
) -> None:
    """The whole way on sample pictures: crawl, curate, train, restore. Some five minutes, no network."""
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
    places = {
        **curated.places,
        "restorer": restored.checkpoint,
        "before/after": restored.comparison,
    }
    print_places(places)
    print(f"PSNR         {restored.psnr_before:.2f} dB degraded, {restored.psnr:.2f} dB restored")
    print_reasons(curated)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command; what a user can mend is told in a line, with exit code 1."""
    try:
        app()
    except CurateError as error:
        print(f"curate: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # an object store's client has errors of its own, and may raise them wherever it is asked for something
        if type(error).__module__.partition(".")[0] not in _STORAGE_CLIENTS:
            raise
        print(
            f"curate: can't use the storage: {error}; check its credentials and address",
            file=sys.stderr,
        )
        sys.exit(1)
    except SystemExit as end:
        if end.code == 130:  # what typer makes of Ctrl-C
            goes_on = "; the same command goes on from here" if sys.argv[1] in _RESUMING else ""
            print(f"stopped{goes_on}", file=sys.stderr)
        raise


def _stage(
    run: str,
    stage: str,
    scheduler: str,
    workers: int | None,
    settings: list[str],
    log_json: str | None,
    retry: Sequence[str] = (),
) -> RunOutcome:
    """One stage of an existing run; settings of that stage or later ones may change."""
    from curate.pipeline.recipe_changes import revise_recipe

    recipe, redo_from = revise_recipe(run, stage, settings) if settings else (None, None)
    options = {"stages": (stage,), "redo_from": redo_from, "retry": retry}
    return _run(recipe, [], run, log_json, scheduler=scheduler, workers=workers, **options)


def _run(
    recipe: Any, inputs: list[str], out: str, log_json: str | None, **options: Any
) -> RunOutcome:
    from curate.pipeline.execute import run

    with listening(log_json) as progress:
        return run(recipe, inputs, out, progress=progress, **options)
