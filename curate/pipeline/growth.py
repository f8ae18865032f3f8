"""Add candidates to a finished run."""

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
    """New candidates of a run, and its outcome with them."""

    added: int
    """New candidates."""
    shards: int
    """New shards, which hold them."""
    outcome: RunOutcome
    """Outcome of the run; its `passed_over` counts lines of the new input."""


def grow(
    out: str | PathLike[str],
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    settings: Sequence[str] = (),
    scheduler: str = "local",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Growth:
    """Add the new candidates of another input to a run, and bring the run up to date.

    New candidates go into new shards after the old ones, which stay as they are: only new shards
    are fetched, measured and labelled. Selection sees every shard, and keeps images that it picked
    before. After a kill the same call resumes; `run` does too, once the new input has been read.

    Args:
        out: the run folder.
        inputs: lists of URLs, folders of images or img2dataset outputs, read by the run's recipe.
        settings: `a.b=c` overrides that change selection alone, such as `select.train=60000`.
        scheduler: see `curate.run`.
        workers: see `curate.run`.
        progress: callbacks for what happens.

    Raises:
        CurateError: for every error that the caller can mend.
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
    assert after is not None, "execute.run writes the index"
    return Growth(after.rows - before.rows, len(after.shards) - len(before.shards), outcome)
