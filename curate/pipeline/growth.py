"""Adds candidates to a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from curate import engine
from curate.engine import Progress
from curate.errors import RunError
from curate.pipeline import execute, recipe_changes
from curate.pipeline.execute import RunOutcome
from curate.pipeline.removal import open_curated

__all__ = ["Growth", "grow"]


@dataclass(frozen=True)
class Growth:
    """What a run has grown by."""

    added: int
    """Candidates that are new."""
    shards: int
    """Shards that they make up."""
    outcome: RunOutcome
    """What the run has come to; its `passed_over` tells of the new input."""


def grow(
    out: str | PathLike[str],
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    settings: Sequence[str] = (),
    scheduler: str = "local",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Growth:
    """Add to a run the candidates of another input that it doesn't have yet, and bring it up to date.

    They become shards of their own after those that are there, which stay as they are, so that only what is new is
    fetched, measured and labelled. Selection starts from all that there is, and keeps what was picked before. Killed
    anywhere, the same call goes on; `run` does, too, once the new input has been read.

    Args:
        out: the run folder.
        inputs: one or more lists of URLs, folders of images or img2dataset outputs, read by the run's recipe.
        settings: `a.b=c` overrides of what matters to selection alone, such as `select.train=60000`.
        scheduler: see `curate.run`.
        workers: see `curate.run`.
        progress: told what happens.

    Raises:
        CurateError: for everything that the caller can mend.
    """
    folder, _ = open_curated(out)
    before = engine.read_index(folder)
    if before is None:
        raise RunError(
            f"{folder} has no candidates yet: run  curate run RECIPE --input URLS --out {folder}"
        )
    recipe, redo_from = recipe_changes.revise_recipe(out, "select", settings)
    outcome = execute.run(
        recipe,
        inputs,
        out,
        scheduler=scheduler,
        workers=workers,
        redo_from=redo_from,
        grow=True,
        progress=progress,
    )
    after = engine.read_index(folder)
    assert after is not None, "it has grown"
    return Growth(after.rows - before.rows, len(after.shards) - len(before.shards), outcome)
