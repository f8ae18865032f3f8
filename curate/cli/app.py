"""The `curate` command: parses, calls the package, prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated

import typer

from curate._version import __version__
from curate.cli.ablation import ablate
from curate.cli.curation import demo, probe, run, stage_commands
from curate.cli.datasets import evaluate_labels, stats
from curate.cli.decontaminate import decontaminate_app
from curate.cli.examples import add_examples
from curate.cli.find import find
from curate.cli.ingest import ingest
from curate.cli.manifest import export, manifest_app
from curate.cli.models import models_app
from curate.cli.restorers import evaluate, restore, train
from curate.cli.review import review
from curate.cli.upkeep import grow, rebuild, remove, verify
from curate.errors import CurateError
from curate.stages.names import StageName

app = typer.Typer(
    name="curate",
    help="Make image datasets for restoration from crawled URLs, and train restorers on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

STDERR = 2
"""File descriptor of standard error."""

_BY_SHARD = ("run", *StageName, "grow", "remove", "rebuild", "demo")
_RESUMES = dict.fromkeys(_BY_SHARD, "after the shards that are done") | {
    "train": "from the last saved state",
    "restore": "after the pictures that are done",
}
"""Where a command that was stopped goes on."""
_STORAGE_CLIENTS = ("botocore", "aiobotocore", "gcsfs", "google")
"""Packages whose errors mean that an object store can't be used."""

_COMMANDS: list[Callable[..., None]] = [
    *(run, probe, review, find, stats, ingest, export, grow, remove, verify, rebuild, ablate),
    *(train, evaluate, restore, demo),
]
for command in _COMMANDS:
    app.command()(command)
app.command("evaluate-labels")(evaluate_labels)
for name, command in stage_commands():
    app.command(name, rich_help_panel="Stage by stage")(command)
app.add_typer(models_app, name="models")
app.add_typer(manifest_app, name="manifest")
app.add_typer(decontaminate_app, name="decontaminate")
add_examples(app)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Answer Ctrl-C at once, since workers take a moment to stop; a second one is not announced."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.write(STDERR, b"\nstopping...\n")  # print() isn't safe in a signal handler
    raise KeyboardInterrupt


def main() -> None:
    """Run the command; print an error that a user can mend in a line, with exit code 1."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except CurateError as error:
        print(f"curate: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # an object store's client raises errors of its own, from any call that reaches the store
        if type(error).__module__.partition(".")[0] not in _STORAGE_CLIENTS:
            raise
        message = f"can't use the storage: {error}; check its credentials and address"
        print(f"curate: {message}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as end:
        if end.code == 130:  # typer's exit code for Ctrl-C
            resumes = _RESUMES.get(sys.argv[1])
            advice = f"; the same command goes on {resumes}" if resumes else ""
            print(f"stopped{advice}", file=sys.stderr)
        raise
