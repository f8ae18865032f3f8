"""Settings that may change when a training goes on, and the record of their changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.errors import RestoreError
from curate.restore.checkpoints.checkpoint import Change, CheckpointInfo
from curate.restore.data.groups import TrainedOn
from curate.restore.recipe import Phase
from curate.restore.schedule import Schedule

__all__ = ["MAY_CHANGE", "changes_since"]

MAY_CHANGE = ("name", "optimiser.clip", "precision", "validation")
"""Settings, and groups of them, that may change at any step. Of `phases` all that is ahead may."""

_PAST = {"crop", "batch", "degradations", "aux_only"}
"""Settings of a phase that the samples of its steps depend on."""


def changes_since(done: CheckpointInfo, now: CheckpointInfo) -> list[Change]:
    """Return what is different from the training that a checkpoint is of.

    Args:
        done: description of the checkpoint.
        now: description of the training that is to go on from it.

    Raises:
        RestoreError: if something is different that can't change.
    """
    before, after = dict(_flat(done.recipe)), dict(_flat(now.recipe))
    different = [key for key in after if before.get(key) != after[key]]
    refused = [key for key in different if key != "phases" and not _may_change(key)]
    refused = list(dict.fromkeys(key.partition(".")[0] for key in refused))
    if "phases" in different and (fault := _fault_of_phases(done, now)):
        refused.append(fault)
    if refused:
        raise RestoreError(
            f"another recipe (changed: {', '.join(refused)}; later epochs, learning rates, "
            f"{', '.join(MAY_CHANGE)} could)"
        )
    if not _is_subset(now.manifests, done.manifests):
        raise RestoreError("other pictures")
    changes = [
        Change(step=done.step, setting=key, before=before.get(key), after=after[key])
        for key in different
    ]
    for old, new in zip(done.manifests, now.manifests, strict=True):
        if old != new:
            # a picture that was replaced leaves the number as it was
            name = f"pictures of {new.name}"
            counts = {"before": old.pictures, "after": new.pictures}
            changes.append(Change(step=done.step, setting=name, **counts))
    return changes


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield settings with the names of their groups, such as optimiser.clip."""
    for key, value in values.items():
        if isinstance(value, Mapping) and key in ("losses", "optimiser", "validation"):
            yield from ((f"{key}.{inner}", setting) for inner, setting in value.items())
        else:
            yield key, value


def _may_change(key: str) -> bool:
    return key in MAY_CHANGE or key.partition(".")[0] in MAY_CHANGE


def _fault_of_phases(done: CheckpointInfo, now: CheckpointInfo) -> str:
    """Return why steps that are done wouldn't be steps of the phases now; nothing if they would."""
    old, new = (_by_epoch(info.recipe["phases"]) for info in (done, now))
    begun = done.epoch
    if done.samples_per_epoch:
        phases = [Phase.model_validate(phase) for phase in done.recipe["phases"]]
        begun += Schedule(phases, done.samples_per_epoch).first_step(done.epoch) < done.step
    if len(new) < begun:
        return f"phases, with {len(new)} epochs where {begun} are begun"
    for old_phase, new_phase in zip(old[:begun], new[:begun], strict=True):
        names = sorted(key for key in _PAST if old_phase.get(key) != new_phase.get(key))
        if names:
            return f"phases, with another {' and '.join(names)} in epochs that are begun"
    return ""


def _by_epoch(phases: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [phase for phase in phases for _ in range(phase["epochs"])]


def _is_subset(now: Sequence[TrainedOn], done: Sequence[TrainedOn]) -> bool:
    """Return whether sources can be those of before, perhaps with fewer pictures."""
    if [(each.name, each.group) for each in now] != [(each.name, each.group) for each in done]:
        return False
    return all(new.pictures <= old.pictures for new, old in zip(now, done, strict=True))
