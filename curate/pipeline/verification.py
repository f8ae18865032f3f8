"""Whether a dataset's URLs still give its images: a sample is asked for again, in a folder that goes away."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import Progress, RunFolder
from curate.errors import InputError, RunError
from curate.humanize import size
from curate.manifest.query import SAVED, save
from curate.pipeline.link_rot import Rot, State, judge, tally
from curate.pipeline.published_list import asking, read_published
from curate.pipeline.sampling import Sample, draw_sample
from curate.recipe import Recipe
from curate.stages.chain import build_stage
from curate.stages.names import StageName

__all__ = ["Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """What has become of a dataset, by a sample of it."""

    source: str
    rot: Rot
    verdicts: pa.Table
    """A row for each image of the sample, in the dataset's order: curate.pipeline.link_rot.VERDICTS."""

    @property
    def reached(self) -> int:
        """Images of the sample that came, whatever they were."""
        away = (State.GONE, State.UNREACHABLE)
        return self.rot.asked - sum(
            share.images for share in self.rot.states if share.state in away
        )

    def to_json(self) -> str:
        """What has become of it, as one JSON object; without the rows."""
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
    """Ask for a seeded sample of a dataset's images again, and say what has become of them. Nothing of it is changed.

    Images go through fetch and measure as a run's candidates do, within the same bounds, and without filters; what was
    downloaded is thrown away.

    Args:
        source: a run folder, a manifest, or a list as others publish it.
        sample: a number of images, a share such as "1%", or "all".
        seed: another one draws others; a larger sample holds the smaller one.
        out: a file to write, with a row for each image (see `VERDICTS`): .csv, .json or .parquet.
        recipe: how to ask, a Recipe or the path or name of one; by default a run's own, else the defaults.
        settings: `a.b=c` overrides of it.
        folders: where local images are on this machine; see `read_published`.
        scheduler: `local` (workers on this machine) or `serial`.
        workers: number of local workers, one per core by default.
        progress: told what happens.

    Raises:
        CurateError: for everything that the caller can mend.
    """
    if scheduler not in ("local", "serial"):
        raise RunError(
            f"what is verified is kept on this machine: --scheduler is local or serial, not {scheduler!r}"
        )
    if out is not None and PurePath(out).suffix not in SAVED:
        raise InputError(f"can't write {out}: name it {', '.join(SAVED[:-1])} or {SAVED[-1]}")
    wanted = Sample.parse(sample, at_least=1, at_most=sys.maxsize)
    published = read_published(str(source), [str(folder) for folder in folders])
    recipe = asking(published, recipe, str(source), settings)
    drawn, _ = draw_sample(published.tables(recipe.candidates.shard_size), wanted, seed)
    asked = pc.is_in(
        published.facts["id"], drawn["id"].combine_chunks()
    )  # in the dataset's order, not by lot
    facts, candidates = published.facts.filter(asked), published.candidates.filter(asked)
    found = _ask(candidates, facts, recipe, scheduler, workers, progress or Progress())
    verdicts = judge(facts, found)
    if out is not None:
        save(verdicts, str(out), ())
    return Verification(published.source, tally(verdicts, published.facts), verdicts)


def _ask(
    candidates: pa.Table,
    facts: pa.Table,
    recipe: Recipe,
    scheduler: str,
    workers: int | None,
    progress: Progress,
) -> pa.Table:
    """What fetch and measure find of candidates, in their order."""
    count = 1 if scheduler == "serial" else workers or engine.local_workers()
    rows = min(
        recipe.candidates.shard_size, -(-len(candidates) // count)
    )  # every worker has something to do
    with (
        tempfile.TemporaryDirectory(prefix="curate-verify-") as path,
        engine.open_executor(scheduler, workers) as executor,
    ):
        _check_room(path, facts)
        folder = RunFolder(path)
        tables = (candidates.slice(start, rows) for start in range(0, len(candidates), rows))
        index, _ = engine.write_source(folder, tables, dict, "", "", progress)
        stages = [build_stage(name, recipe) for name in (StageName.FETCH, StageName.MEASURE)]
        engine.run_stages(folder, stages, index.shards, index.rows, executor, progress)
        folders = StageName.LABEL.input_folders
        return pa.concat_tables([engine.rows_of(folder, folders, shard) for shard in index.shards])


def _check_room(path: str, facts: pa.Table) -> None:
    """Refuse what the disk can't hold: a sample's images are all there at once.

    Raises:
        RunError: if it is too much.
    """
    needed, free = pc.sum(facts["nbytes"]).as_py() or 0, shutil.disk_usage(path).free
    if needed > free:
        raise RunError(
            f"these {len(facts):,} images take {size(needed)}, and {Path(path).parent} has {size(free)} free: draw "
            "fewer with --sample, or name a larger disk with the environment's TMPDIR"
        )
