"""Run a plan: bring every stage up to date, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from typing import Any

from curate import engine
from curate.config import fingerprint
from curate.engine import CommitHook, Executor, Progress, RunFolder, ShardIndex, Stage, StageOutcome
from curate.engine.executor import Report
from curate.pipeline import recipe_changes
from curate.pipeline.earlier_picks import earlier_picks, note_picks
from curate.pipeline.plan import RunPlan, plan_run
from curate.pipeline.selection_step import SHOPPING, read_summary, write_report, write_selection
from curate.pipeline.tombstone_hook import TombstoneHook
from curate.recipe import Label, Recipe
from curate.stages.chain import place_on_gpu, remove_other_shards
from curate.stages.label.weights import find_gpus, prepare_labeller
from curate.stages.names import StageName

__all__ = ["RunOutcome", "execute", "run"]

STAGES = tuple(str(stage) for stage in StageName)


@dataclass(frozen=True)
class RunOutcome:
    """Result of a run: what its stages did, and where its files are."""

    folder: str
    stages: tuple[StageOutcome, ...]
    """In order."""
    passed_over: dict[str, int]
    """Lines of the input that are no candidates of their own: "blank" and "repeated" ones, and
    "known" ones, which an earlier input of the run has named. Of an img2dataset output also how
    many images are taken over, and how many are not, and why."""
    selection: dict[str, Any] = field(default_factory=dict)
    """Targets of the selection and what it reached, if it was made."""

    @property
    def reasons(self) -> dict[str, int]:
        """Candidates by reason, those still in (after select: kept) under "ok"."""
        counted = [outcome for outcome in self.stages if outcome.stage != StageName.REPORT]
        return counted[-1].rows_out if counted else {}

    @property
    def places(self) -> dict[str, str]:
        """Paths of the files that the stages of this run wrote, by what they are."""
        paths: dict[str, str] = {}
        ran = {outcome.stage for outcome in self.stages}
        if StageName.SELECT in ran:
            paths |= {"train": "manifest/train.parquet", "test": "manifest/test.parquet"}
            paths["ledger"] = "ledger"
            if self.selection.get("shopping", {}).get("rows"):
                paths["shopping"] = SHOPPING
        if StageName.REPORT in ran:
            paths |= {"report": "report/index.html", "card": "manifest/README.md"}
        return {what: f"{self.folder}/{path}" for what, path in paths.items()}


def run(
    recipe: Recipe | str | PathLike[str] | None,
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    out: str | PathLike[str] = "run",
    *,
    scheduler: str = "local",
    workers: int | None = None,
    stages: Sequence[str] = STAGES,
    redo_from: str | None = None,
    retry: Sequence[str] = (),
    verify: bool = False,
    grow: bool = False,
    progress: Progress | None = None,
) -> RunOutcome:
    """Curate: URLs in, manifest out. Running it again resumes where it stopped.

    Args:
        recipe: a Recipe, the path or name of one, or None for the recipe of an existing run.
        inputs: one or more lists of URLs, folders of images or img2dataset outputs; an existing run
            has its candidates already.
        out: the run folder, a path or any fsspec URL.
        scheduler: `local` (Dask workers on this machine), `serial`, or the address of a Dask
            scheduler.
        workers: number of local workers, one per core by default.
        stages: names of the stages to bring up to date, all by default.
        redo_from: a stage from which on the recipe may differ from the run's; that stage and later
            ones are made again.
        retry: reasons whose candidates are asked for again, in shards that were fetched before;
            `transient` stands for all transient reasons.
        verify: read every file of the run and compare its hash; by default only files that the file
            system shows to have changed since.
        grow: add the new candidates of the inputs to an existing run; see `curate.grow`.
        progress: receives the events of the run.

    Raises:
        CurateError: for everything that the caller can mend.
    """
    folder = RunFolder(out)
    with folder.lock():
        plan = plan_run(
            recipe,
            inputs,
            out,
            scheduler=scheduler,
            workers=workers,
            stages=stages,
            redo_from=redo_from,
            retry=retry,
            verify=verify,
            grow=grow,
        )
        return execute(plan, progress or Progress())


def execute(plan: RunPlan, progress: Progress) -> RunOutcome:
    """Carry out a plan; the caller holds the folder's lock.

    Raises:
        CurateError: for everything that the caller can mend.
    """
    folder, recipe = plan.folder, plan.recipe
    hook = TombstoneHook(folder, recipe.select.dedup)
    if plan.verify:
        engine.distrust(folder)
    progress.run_started(folder.url, recipe.name, fingerprint(recipe.essence()))
    with _open_executor(plan) as executor:
        stages = _prepare_labels(plan, executor)
        index, outcomes = _read_candidates(plan, progress, hook)
        outcomes += engine.run_stages(
            folder, stages, index.shards, index.rows, executor, progress, hook
        )
        if StageName.SELECT in plan.stages:
            pins = earlier_picks(folder) | plan.pins
            outcomes.append(write_selection(folder, recipe, index.shards, executor, progress, pins))
    if StageName.REPORT in plan.stages:
        outcomes.append(write_report(folder, progress))
    recipe_changes.end_redo(folder)
    notes = index.notes if plan.input is None else index.sources[len(plan.input.before)].notes
    selection = read_summary(folder) if StageName.SELECT in plan.stages else {}
    return RunOutcome(folder.url, tuple(outcomes), notes, selection)


def _open_executor(plan: RunPlan) -> AbstractContextManager[Executor]:
    """Open the plan's executor, with the GPUs of this machine where it labels on local workers."""
    if not plan.shard_stages and StageName.SELECT not in plan.stages:
        return engine.open_executor("serial")
    labels_here = plan.scheduler == "local" and StageName.LABEL in plan.stages
    gpus = find_gpus() if labels_here and plan.recipe.label.device != "cpu" else ()
    return engine.open_executor(plan.scheduler, plan.workers, gpus)


def _prepare_labels(plan: RunPlan, executor: Executor) -> list[Stage]:
    """Return the shard stages, labels on a GPU where there is one, once their weights are there."""
    stages = []
    for stage in plan.shard_stages:
        if stage.name == StageName.LABEL.folder:
            stage = place_on_gpu(stage, executor)
            if plan.grow or _needs_labels(plan):
                config = [plan.recipe.label]
                engine.map_in_order(executor, _prepare_labeller, config, stage.resource)
        stages.append(stage)
    return stages


def _prepare_labeller(config: Label, report: Report) -> None:
    """Load the labeller's weights on a worker."""
    prepare_labeller(config)


def _needs_labels(plan: RunPlan) -> bool:
    """Return whether any shard may have to be labelled, as far as commit records show."""
    index = engine.read_index(plan.folder)
    if index is None or (plan.redo_from and StageName.LABEL in plan.redo_from.onwards):
        return True
    return len(plan.folder.names(StageName.LABEL.folder, ".json")) < len(index.shards)


def _read_candidates(
    plan: RunPlan, progress: Progress, hook: CommitHook
) -> tuple[ShardIndex, list[StageOutcome]]:
    """Read the plan's input, or the index of known candidates; then begin to change the run."""
    folder, settings = plan.folder, plan.recipe.candidates
    begin = partial(_begin, plan)
    if plan.input is not None:
        index, outcome = engine.write_source(
            folder,
            plan.input.reader,
            plan.input.reader.notes,
            plan.input.fingerprint,
            fingerprint(settings.essence()),
            progress,
            begin,
            before=plan.input.before,
            after=plan.input.after,
            hook=hook,
        )
        remove_other_shards(folder, index.shards)
        return index, [outcome]
    begin()
    if StageName.CANDIDATES in plan.stages:
        index, outcome = engine.resume_source(folder, progress, hook)
        return index, [outcome]
    known = engine.read_index(folder)
    assert known is not None, "the plan refuses a run without candidates"
    return known, []


def _begin(plan: RunPlan) -> None:
    """Begin to change the run; before it grows, note the picks of its last selection."""
    if plan.grow and plan.input and (plan.input.is_new or plan.redo_from is not None):
        note_picks(plan.folder)
    source = plan.fingerprint_of_input
    recipe_changes.begin_redo(plan.folder, plan.recipe, source, plan.redo_from)
