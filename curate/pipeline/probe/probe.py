"""Take a sample of a list through a run's own stages, in a temporary folder."""

from __future__ import annotations

import json
import shutil
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
from curate.pipeline.trial import open_trial
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
    """Outcome of a sample, and the forecast for its list."""

    listed: int
    """Candidates of the list."""
    drawn: int
    """Candidates of the sample."""
    passed_over: dict[str, int]
    """Lines of the list that add no candidate: "blank" and "repeated" ones."""
    reasons: dict[str, int]
    """Candidates of the sample by reason; "ok" for those that pass."""
    images: int
    """Candidates of the sample whose image was reached, passing or not."""
    estimate: Estimate
    """Estimated yield and cost of the whole list."""
    diagnoses: tuple[Diagnosis, ...]
    """Troubles, most important first."""
    not_judged: tuple[str, ...]
    """Columns of the recipe's filters that only labels provide."""

    def to_json(self) -> str:
        """Return the outcome as one JSON object."""
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
    """Forecast yield and cost of a run from a seeded sample of the list; nothing of it is kept.

    The sample passes through fetch and measure like a run's candidates, and through the filters
    that need no label. No labeller is loaded. Duplicates and the balance of the selection are not
    forecast.

    Args:
        recipe: a Recipe, or the path or name of one.
        inputs: one or more lists of URLs, folders of images or img2dataset outputs.
        out: the planned run folder, for its free disk space only; it is not created.
        sample: a share such as "1%" (within 2,000 to 20,000 candidates), a number, or "all".
        scheduler: `local` (workers on this machine) or `serial`.
        workers: number of local workers, one per core by default.
        progress: callbacks for what happens.

    Raises:
        CurateError: for every error that the caller can mend, except troubles in `diagnoses`.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(str(recipe))
    inputs = [inputs] if isinstance(inputs, str | PathLike) else inputs
    if not inputs:
        raise InputError("name the candidates with --input: a list of URLs, or a folder of images")
    if scheduler not in ("local", "serial"):
        raise RunError(
            "a probe tells how long this machine takes: --scheduler is local or serial, "
            f"not {scheduler!r}"
        )
    progress, wanted_sample = progress or Progress(), Sample.parse(sample)
    categories = load_taxonomy(recipe.label.taxonomy).names
    reader = CandidateReader([str(path) for path in inputs], recipe.candidates)
    drawn, listing = draw_sample(_read(reader, progress), wanted_sample, recipe.seed)
    rows, timing = _try_out(drawn, recipe, scheduler, workers, progress)
    wanted = recipe.select.train + sum(recipe.select.test.quota(name) for name in categories)
    size = recipe.candidates.shard_size
    estimated = estimate(rows, listing, wanted, timing, recipe.fetch, size)
    evidence = Evidence(recipe, rows, listing, estimated, _free(RunFolder(out)), datetime.now(UTC))
    known = {"status", "reason", *drawn.column_names}
    for stage in _stages(recipe):
        known |= set(stage.schema.names)
    not_judged = [bound.column for bound in recipe.filters.bounds if bound.column not in known]
    return ProbeOutcome(
        listed=listing.candidates,
        drawn=len(rows),
        passed_over=reader.notes(),
        reasons=engine.count_reasons(rows),
        images=len(images_seen(rows)),
        estimate=estimated,
        diagnoses=diagnose(evidence),
        not_judged=tuple(dict.fromkeys(not_judged)),
    )


def _read(reader: CandidateReader, progress: Progress) -> Iterator[pa.Table]:
    """Yield the tables of the list, and report progress."""
    progress.stage_started("candidates", 0, 0)
    for number, table in enumerate(reader):
        counts = engine.count_reasons(table)
        progress.shard_done("candidates", f"part-{number:05d}", counts, False, 0.0)
        yield table
    progress.stage_finished("candidates")


def _stages(recipe: Recipe) -> list[engine.Stage]:
    return [build_stage(name, recipe) for name in (StageName.FETCH, StageName.MEASURE)]


def _try_out(
    sample: pa.Table, recipe: Recipe, scheduler: str, workers: int | None, progress: Progress
) -> tuple[pa.Table, Timing]:
    """Fetch, measure and filter a sample; return the columns of PROBED and the time taken."""
    seconds: dict[str, float] = {}
    size = recipe.candidates.shard_size
    with open_trial("probe", sample, size, scheduler, workers, Progress()) as trial:
        for stage in _stages(recipe):
            start = time.monotonic()
            engine.run_stage(
                trial.folder, stage, trial.shards, trial.rows, trial.executor, progress
            )
            seconds[stage.name] = time.monotonic() - start
        rows = pa.concat_tables(_probed(trial.folder, shard, recipe) for shard in trial.shards)
    fetch, measure = seconds[StageName.FETCH.folder], seconds[StageName.MEASURE.folder]
    return rows, Timing(fetch, measure, shards=len(trial.shards), workers=trial.workers)


def _probed(folder: RunFolder, shard: str, recipe: Recipe) -> pa.Table:
    """Return a filtered shard's rows with the columns of PROBED."""
    rows = engine.rows_of(folder, StageName.LABEL.input_folders, shard)
    log = f"log/fetch-{shard.removeprefix('part-')}.parquet"
    columns = {name: pa.nulls(len(rows), PROBED.field(name).type) for name in PROBED.names}
    if folder.exists(log):  # a quarantined shard has none
        logged = read_run_table(folder, log).combine_chunks()
        logged = logged.take(pc.index_in(rows["id"], logged["id"].combine_chunks()))
        columns |= {name: logged[name] for name in PROBED.names if name in logged.column_names}
    columns |= {name: rows[name] for name in PROBED.names if name in rows.column_names}
    columns |= {"local": pc.is_valid(rows["local_path"])}
    columns |= {"reason": pc.coalesce(rows["reason"], rejections(rows, recipe.filters))}
    return pa.table(columns, schema=PROBED)


def _free(folder: RunFolder) -> int | None:
    """Return the free bytes of a folder's disk; None if it is on no disk of this machine."""
    if not folder.is_local:
        return None
    place = Path(folder.url)  # fsspec makes it absolute
    with suppress(OSError):
        existing = next(path for path in (place, *place.parents) if path.exists())
        return shutil.disk_usage(existing).free
    return None
