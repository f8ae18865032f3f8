"""Check that a dataset's URLs still serve its images: fetch a sample again and compare."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import PurePath

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import Progress
from curate.errors import InputError, RunError
from curate.humanize import size
from curate.manifest.query import SAVED, save
from curate.pipeline.link_rot import LinkRot, State, judge, tally
from curate.pipeline.published_list import fetching_recipe, read_published
from curate.pipeline.sampling import Sample, draw_sample
from curate.pipeline.trial import open_trial
from curate.recipe import Recipe
from curate.stages.chain import build_stage
from curate.stages.names import StageName

__all__ = ["Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """State of a published dataset, estimated from a sample."""

    source: str
    rot: LinkRot
    verdicts: pa.Table
    """A row of curate.pipeline.link_rot.VERDICTS for each sampled image, in the dataset's order."""

    @property
    def reached(self) -> int:
        """Images of the sample that were downloaded, changed ones included."""
        away = (State.GONE, State.UNCHECKED, State.UNREACHABLE)
        missing = sum(share.images for share in self.rot.states if share.state in away)
        return self.rot.asked - missing

    def to_json(self) -> str:
        """Return the counts as one JSON object, without the rows."""
        return json.dumps({"source": self.source, **asdict(self.rot)}, indent=1)


def verify(
    source: str | PathLike[str],
    *,
    sample: str | int = 1000,
    seed: int = 0,
    out: str | PathLike[str] | None = None,
    recipe: Recipe | str | PathLike[str] | None = None,
    settings: Sequence[str] = (),
    folders: Sequence[str | PathLike[str]] = (),
    scheduler: str = "local",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Fetch a seeded sample of a dataset's images again, and compare it with what was published.

    Images pass through fetch and measure like a run's candidates, within the same bounds and
    without filters. Downloads are deleted afterwards, and the dataset is not changed.

    Args:
        source: a run folder, a manifest, or a list as others publish it.
        sample: a number of images, a share such as "1%", or "all".
        seed: seed of the sample; with one seed a larger sample contains the smaller one.
        out: a file to write, with a row for each image (see `VERDICTS`): .csv, .json or .parquet.
        recipe: settings of the download, a Recipe or the path or name of one; by default a run's
            own, else the defaults.
        settings: `a.b=c` overrides of it.
        folders: folders of local images on this machine; see `read_published`.
        scheduler: `local` (workers on this machine) or `serial`.
        workers: number of local workers, one per core by default.
        progress: callbacks for what happens.

    Raises:
        CurateError: for every error that the caller can mend.
    """
    if scheduler not in ("local", "serial"):
        raise RunError(
            "what is verified is kept on this machine: --scheduler is local or serial, "
            f"not {scheduler!r}"
        )
    if out is not None and PurePath(out).suffix not in SAVED:
        raise InputError(f"can't write {out}: name it {', '.join(SAVED[:-1])} or {SAVED[-1]}")
    wanted = Sample.parse(sample, at_least=1, at_most=sys.maxsize)
    published = read_published(str(source), [str(folder) for folder in folders])
    recipe = fetching_recipe(published, recipe, str(source), settings)
    drawn, _ = draw_sample(published.tables(recipe.candidates.shard_size), wanted, seed)
    # a filter keeps the dataset's order, which the drawn rows don't have
    asked = pc.is_in(published.facts["id"], drawn["id"].combine_chunks())
    facts, candidates = published.facts.filter(asked), published.candidates.filter(asked)
    found = _fetch_and_measure(
        candidates, facts, recipe, scheduler, workers, progress or Progress()
    )
    verdicts = judge(facts, found)
    if out is not None:
        save(verdicts, str(out), ())
    return Verification(published.source, tally(verdicts, published.facts), verdicts)


def _fetch_and_measure(
    candidates: pa.Table,
    facts: pa.Table,
    recipe: Recipe,
    scheduler: str,
    workers: int | None,
    progress: Progress,
) -> pa.Table:
    """Return the rows of fetch and measure for candidates, in their order."""
    _check_free_space(facts)
    size = recipe.candidates.shard_size
    with open_trial("verify", candidates, size, scheduler, workers, progress) as trial:
        stages = [build_stage(name, recipe) for name in (StageName.FETCH, StageName.MEASURE)]
        engine.run_stages(trial.folder, stages, trial.shards, trial.rows, trial.executor, progress)
        found = (
            engine.rows_of(trial.folder, StageName.LABEL.input_folders, shard)
            for shard in trial.shards
        )
        return pa.concat_tables(found)


def _check_free_space(facts: pa.Table) -> None:
    """Check that the disk can hold the whole sample at once.

    Raises:
        RunError: if it can't.
    """
    place = tempfile.gettempdir()
    needed, free = pc.sum(facts["nbytes"]).as_py() or 0, shutil.disk_usage(place).free
    if needed > free:
        raise RunError(
            f"these {len(facts):,} images take {size(needed)}, and {place} has "
            f"{size(free)} free: draw fewer with --sample, or name a larger disk with the "
            "environment's TMPDIR"
        )
