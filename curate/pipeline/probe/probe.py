"""Takes a sample of a list through a run's own stages, in a folder that goes away."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import Progress, RunFolder
from curate.errors import InputError, RunError
from curate.pipeline.probe.diagnosis import Diagnosis, Evidence, diagnose
from curate.pipeline.probe.forecast import PROBED, Estimate, Timing, estimate, images_seen
from curate.pipeline.sampling import Sample, draw_sample
from curate.recipe import Recipe
from curate.stages.candidates import CandidateReader
from curate.stages.chain import build_stage
from curate.stages.filters import rejections
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.names import StageName
from curate.storage.parquet import read_run_table

__all__ = ["ProbeOutcome", "probe"]


@dataclass(frozen=True)
class ProbeOutcome:
    """What became of a sample, and what that says of its list."""

    listed: int
    """Candidates of the list."""
    drawn: int
    """Candidates of the sample."""
    passed_over: dict[str, int]
    """Lines of the list that are no candidates of their own: "blank", and "repeated" ones."""
    reasons: dict[str, int]
    """Candidates of the sample by reason, those that pass under "ok"."""
    images: int
    """Candidates of the sample whose image was reached, whether it passes or not."""
    estimate: Estimate
    """What the whole list would bring and cost."""
    diagnoses: tuple[Diagnosis, ...]
    """What is wrong, the gravest first."""
    not_judged: tuple[str, ...]
    """Columns that the recipe's filters name and only labels give."""

    def to_json(self) -> str:
        """All of it, as one JSON object."""
        return json.dumps(asdict(self), indent=1, default=sorted)


def probe(
    recipe: Recipe | str | PathLike[str],
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    out: str | PathLike[str] = "run",
    *,
    sample: str | int = "1%",
    scheduler: str = "local",
    workers: int | None = None,
    progress: Progress | None = None,
) -> ProbeOutcome:
    """Say what a run would bring and cost, from a seeded sample of the list; nothing of it is kept.

    The sample goes through fetch and measure as a run's candidates do, and through the filters that need no label. No
    labeller is loaded; duplicates and the balance of the selection are not foreseen.

    Args:
        recipe: a Recipe, or the path or name of one.
        inputs: one or more lists of URLs, folders of images or img2dataset outputs.
        out: the run folder that is planned, of which only the free disk space matters; it is not made.
        sample: a share such as "1%", held between 2,000 and 20,000 candidates, a number of them, or "all".
        scheduler: `local` (workers on this machine) or `serial`.
        workers: number of local workers, one per core by default.
        progress: told what happens.

    Raises:
        CurateError: for everything that the caller can mend, except what `diagnoses` tell.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(str(recipe))
    inputs = [inputs] if isinstance(inputs, str | PathLike) else inputs
    if not inputs:
        raise InputError("name the candidates with --input: a list of URLs, or a folder of images")
    if scheduler not in ("local", "serial"):
        raise RunError(
            f"a probe tells how long this machine takes: --scheduler is local or serial, not {scheduler!r}"
        )
    progress, wanted_sample = progress or Progress(), Sample.parse(sample)
    categories = load_taxonomy(recipe.label.taxonomy).names
    reader = CandidateReader([str(path) for path in inputs], recipe.candidates)
    drawn, listing = draw_sample(_told(reader, progress), wanted_sample, recipe.seed)
    rows, timing = _try_out(drawn, recipe, scheduler, workers, progress)
    wanted = recipe.select.train + sum(recipe.select.test.quota(name) for name in categories)
    size = recipe.candidates.shard_size
    estimated = estimate(rows, listing, wanted, timing, recipe.fetch, size)
    evidence = Evidence(recipe, rows, listing, estimated, _free(RunFolder(out)), datetime.now(UTC))
    known = {
        "status",
        "reason",
        *drawn.column_names,
        *(name for s in _stages(recipe) for name in s.schema.names),
    }
    return ProbeOutcome(
        listed=listing.candidates,
        drawn=len(rows),
        passed_over=reader.notes(),
        reasons=engine.count_reasons(rows),
        images=len(images_seen(rows)),
        estimate=estimated,
        diagnoses=diagnose(evidence),
        not_judged=tuple(
            dict.fromkeys(b.column for b in recipe.filters.bounds if b.column not in known)
        ),
    )


def _told(reader: CandidateReader, progress: Progress) -> Iterator[pa.Table]:
    """The list, with word of how far it is read."""
    progress.stage_started("candidates", 0, 0)
    for number, table in enumerate(reader):
        progress.shard_done(
            "candidates", f"part-{number:05d}", engine.count_reasons(table), False, 0.0
        )
        yield table
    progress.stage_finished("candidates")


def _stages(recipe: Recipe) -> list[engine.Stage]:
    return [build_stage(name, recipe) for name in (StageName.FETCH, StageName.MEASURE)]


def _try_out(
    sample: pa.Table, recipe: Recipe, scheduler: str, workers: int | None, progress: Progress
) -> tuple[pa.Table, Timing]:
    """What becomes of a sample, with the columns of PROBED, and how long it takes."""
    count = 1 if scheduler == "serial" else workers or engine.local_workers()
    size = min(
        recipe.candidates.shard_size, -(-len(sample) // count)
    )  # every worker has something to do
    seconds: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="curate-probe-") as path,
        engine.open_executor(scheduler, workers) as executor,
    ):
        folder = RunFolder(path)
        tables = (sample.slice(start, size) for start in range(0, len(sample), size))
        index, _ = engine.write_source(folder, tables, dict, "", "", Progress())
        for stage in _stages(recipe):
            start = time.monotonic()
            engine.run_stage(folder, stage, index.shards, index.rows, executor, progress)
            seconds[stage.name] = time.monotonic() - start
        rows = pa.concat_tables([_probed(folder, shard, recipe) for shard in index.shards])
    return rows, Timing(
        seconds[StageName.FETCH.folder],
        seconds[StageName.MEASURE.folder],
        shards=len(index.shards),
        workers=count,
    )


def _probed(folder: RunFolder, shard: str, recipe: Recipe) -> pa.Table:
    """A shard's rows, judged by the filters, with the columns of PROBED."""
    rows = engine.rows_of(folder, StageName.LABEL.input_folders, shard)
    log = f"log/fetch-{shard.removeprefix('part-')}.parquet"
    columns = {name: pa.nulls(len(rows), PROBED.field(name).type) for name in PROBED.names}
    if folder.exists(log):  # it isn't where the shard was given up
        told = read_run_table(folder, log)
        place = pc.index_in(rows["id"], told["id"].combine_chunks())
        columns |= {
            name: told[name].combine_chunks().take(place)
            for name in PROBED.names
            if name in told.column_names
        }
    columns |= {name: rows[name] for name in PROBED.names if name in rows.column_names}
    columns |= {"local": pc.is_valid(rows["local_path"])}
    columns |= {"reason": pc.coalesce(rows["reason"], rejections(rows, recipe.filters))}
    return pa.table(columns, schema=PROBED)


def _free(folder: RunFolder) -> int | None:
    """Bytes free where a folder is, or would be made; None where it is on no disk of this machine."""
    if not folder.is_local:
        return None
    place = Path(folder.url)  # absolute: fsspec sees to that
    with suppress(OSError):
        return shutil.disk_usage(
            next(path for path in (place, *place.parents) if path.exists())
        ).free
    return None
