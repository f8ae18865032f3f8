"""The plan of a run: everything that can be refused is refused here, before anything changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike

from curate import engine
from curate.engine import RunFolder, ShardIndex, Source, Stage
from curate.errors import InputError, RunError
from curate.humanize import counted
from curate.pipeline.earlier_picks import named_picks
from curate.pipeline.recipe_changes import is_redo_pending, resolve_recipe
from curate.recipe import Recipe
from curate.stages.candidates import CandidateReader
from curate.stages.chain import SHARD_STAGES, build_stage, parse_retry
from curate.stages.names import StageName
from curate.stages.select import Pins

__all__ = ["PlannedInput", "RunPlan", "plan_run"]


@dataclass(frozen=True)
class PlannedInput:
    """The input that candidates are read from, and its place among the sources of the run."""

    reader: CandidateReader
    fingerprint: str
    before: tuple[Source, ...] = ()
    """Sources of the run that come before it."""
    after: tuple[Source, ...] = ()
    """Sources of the run that come after it."""
    is_new: bool = True
    """Whether the run has not read it yet."""


@dataclass(frozen=True)
class RunPlan:
    """A run that nothing speaks against: settings, input, and stages to bring up to date."""

    folder: RunFolder
    recipe: Recipe
    stages: tuple[StageName, ...]
    shard_stages: tuple[Stage, ...]
    """The shard stages among them, as the recipe has them."""
    input: PlannedInput | None
    """None where the run goes on with the candidates that it has."""
    pins: Pins
    """Picks that the recipe pins."""
    redo_from: StageName | None = None
    grow: bool = False
    verify: bool = False
    scheduler: str = "local"
    workers: int | None = None

    @property
    def fingerprint_of_input(self) -> str | None:
        """Fingerprint of the input, if candidates are read."""
        return None if self.input is None else self.input.fingerprint

    def states(self) -> dict[StageName, str]:
        """Return what a run would find and do: a phrase for each stage."""
        index = engine.read_index(self.folder)
        if index is None:
            return dict.fromkeys(StageName, "to do")
        states = {stage: self._state(stage, index) for stage in StageName}
        if self.redo_from is not None and not self._is_redo_pending(self.redo_from):
            states |= dict.fromkeys(self.redo_from.onwards, "to be done again")
            if StageName.FETCH in self.redo_from.onwards:
                states[StageName.FETCH] = "to be done again from what is there"
        return states

    def _state(self, stage: StageName, index: ShardIndex) -> str:
        shards = len(index.shards)
        if stage is StageName.CANDIDATES:
            return f"{counted(shards, 'shard')}, {counted(index.rows, 'candidate')}"
        if stage in SHARD_STAGES:
            committed = len(self.folder.names(stage.folder, ".json"))
            return (
                f"{committed} of {counted(shards, 'shard')}, to be checked"
                if committed
                else "to do"
            )
        is_there = self.folder.exists(f"{stage.folder}/whole.json")
        return "there, to be checked" if is_there else "to do"

    def _is_redo_pending(self, redo_from: StageName) -> bool:
        return is_redo_pending(self.folder, self.recipe, self.fingerprint_of_input, redo_from)


def plan_run(
    recipe: Recipe | str | PathLike[str] | None,
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    out: str | PathLike[str] = "run",
    *,
    scheduler: str = "local",
    workers: int | None = None,
    stages: Sequence[str] = tuple(StageName),
    redo_from: str | None = None,
    retry: Sequence[str] = (),
    verify: bool = False,
    grow: bool = False,
    needs_input: bool = True,
) -> RunPlan:
    """Plan a run, and refuse whatever can be refused; nothing is written. See `curate.run`.

    Args:
        needs_input: refuse a new run without an input; a dry run may leave it out.

    Raises:
        CurateError: for everything that is wrong with the recipe, the inputs or the folder.
    """
    names = tuple(StageName.parse(name) for name in stages)
    redo = None if redo_from is None else StageName.parse(redo_from)
    reasons = parse_retry(retry)
    folder = RunFolder(out)
    if not folder.is_shared and scheduler != "serial":
        raise RunError(f"{folder} is seen by this process only: use --scheduler serial with it")
    paths = [str(p) for p in ([inputs] if isinstance(inputs, str | PathLike) else inputs)]
    recipe = resolve_recipe(folder, recipe, redo)
    planned = None
    if StageName.CANDIDATES in names and (paths or needs_input):
        planned = _plan_input(folder, recipe, paths, redo, grow)
    elif StageName.CANDIDATES not in names and engine.read_index(folder) is None:
        raise RunError(
            f"{folder} has no candidates yet: run  curate run RECIPE --input URLS --out {folder}"
        )
    return RunPlan(
        folder,
        recipe,
        names,
        tuple(build_stage(name, recipe, reasons) for name in SHARD_STAGES if name in names),
        planned,
        named_picks(folder, recipe) if StageName.SELECT in names else {},
        redo,
        grow,
        verify,
        scheduler,
        workers,
    )


def _plan_input(
    folder: RunFolder,
    recipe: Recipe,
    paths: Sequence[str],
    redo_from: StageName | None,
    grow: bool,
) -> PlannedInput | None:
    """Return the input to read; None where the run goes on with the candidates that it has.

    Raises:
        InputError: if there is nothing to read, or it can't be read.
        RunError: if the run was made from another input, and isn't to grow by this one.
    """
    index = None if redo_from is StageName.CANDIDATES else engine.read_index(folder)
    if not paths:
        if index is None:
            raise InputError(
                "name the candidates with --input: a list of URLs, or a folder of images"
            )
        return None
    fingerprint = CandidateReader(paths, recipe.candidates).fingerprint()
    sources = index.sources if index is not None else ()
    place = len(sources)
    if index is not None and fingerprint in index.inputs:
        place = index.inputs.index(fingerprint)
    elif index is not None and not grow:
        raise RunError(
            f"the input differs from the one {folder} was made with: curate grow adds it to the "
            "run; add --from candidates to start anew with it, or choose another --out"
        )
    before, after = sources[:place], sources[place + 1 :]
    known_shards = [shard for source in before for shard in source.shards]
    known = partial(engine.read_ids, folder, known_shards)
    reader = CandidateReader(paths, recipe.candidates, known=known)
    return PlannedInput(reader, fingerprint, before, after, is_new=place == len(sources))
