"""Which files of a dataset belong together: by what their names say, never by their order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from curate.datasets.layouts import Form, Layout, Split, pattern_of
from curate.errors import InputError

__all__ = ["Group", "Matched", "match"]

Key = tuple[str, ...]

_SPLIT = re.compile(
    r"(?:^|[^a-z]|rain)(train|test|val)(?:ing|id|idation)?[lh]?(?![a-z])", re.IGNORECASE
)
"""A folder that is named for training or test: train, Test100, DIV2K_valid_HR, RainTrainL."""


@dataclass(frozen=True)
class Group:
    """A clean image and what degraded ones there are of it; paths below the dataset's folder."""

    clean: str
    degraded: tuple[str, ...]
    dataset: str
    split: Split


@dataclass(frozen=True)
class Matched:
    """What belongs together, what doesn't, and what isn't known."""

    groups: tuple[Group, ...]
    """In the order of their clean images' paths."""
    faults: tuple[str, ...]
    """What is wrong with each image that would have to have a partner."""
    others: tuple[str, ...]
    """Files that are none of the dataset's."""


@dataclass(frozen=True)
class _Found:
    """Files by key, of one form."""

    clean: dict[Key, list[str]]
    degraded: dict[Key, list[str]]

    @property
    def files(self) -> set[str]:
        return {path for paths in (*self.clean.values(), *self.degraded.values()) for path in paths}


def match(
    name: str, layout: Layout, folder: str, paths: Sequence[str], split: Split | None = None
) -> Matched:
    """Pair the files of a dataset.

    Args:
        name: of the dataset.
        layout: of the dataset.
        folder: name of the folder, without those above it.
        paths: of its files, below it.
        split: of all images, instead of what the layout says.

    Raises:
        InputError: if no file is of the dataset, or a folder doesn't tell whether it is for training or test.
    """
    paired = layout.degradation is not None
    candidates = [_find(layout, form, folder, paths) for form in layout.forms]
    best = max(
        candidates, key=lambda c: (len(c.clean.keys() & c.degraded) if paired else 0, len(c.files))
    )
    if not best.files:
        forms = "; ".join(
            " with ".join(filter(None, (form.clean, form.degraded))) for form in layout.forms
        )
        raise InputError(
            f"{folder} holds no {name}: it was looked for as {re.sub(r':[^}]*', '', forms)}"
        )
    groups: list[Group] = []
    faults: list[str] = []
    for key in sorted(best.clean.keys() | best.degraded.keys()):
        clean, degraded = best.clean.get(key, []), best.degraded.get(key, [])
        if fault := _fault(clean, degraded, paired, several=layout.lowest is not None):
            faults.append(fault)
            continue
        own = _dataset(layout, folder, clean[0]) or name
        chosen = split or layout.split or _split(folder, clean[0])
        groups.append(Group(clean[0], tuple(degraded), own, chosen))
    groups.sort(key=lambda group: group.clean)
    return Matched(
        tuple(groups),
        tuple(sorted(faults)),
        tuple(path for path in paths if path not in best.files),
    )


def _find(layout: Layout, form: Form, folder: str, paths: Iterable[str]) -> _Found:
    if layout.lowest is not None:
        return _find_lowest(form.clean, layout.lowest, folder, paths)
    clean = _by_key(form.clean, folder, paths)
    return _Found(clean, {} if form.degraded is None else _by_key(form.degraded, folder, paths))


def _by_key(form: str, folder: str, paths: Iterable[str]) -> dict[Key, list[str]]:
    found: dict[Key, list[str]] = defaultdict(list)
    for path in paths:
        if matched := pattern_of(form).fullmatch(f"{folder}/{path}"):
            fields = matched.groupdict()
            found[tuple(fields[name] for name in sorted(fields))].append(path)
    return dict(found)


def _find_lowest(form: str, field: str, folder: str, paths: Iterable[str]) -> _Found:
    """Of the files that agree but for one field, the lowest is clean; further ones of the same value are neither."""
    scenes: dict[Key, list[tuple[tuple[float, str], str]]] = defaultdict(list)
    for path in paths:
        if matched := pattern_of(form).fullmatch(f"{folder}/{path}"):
            fields = matched.groupdict()
            key = tuple(fields[name] for name in sorted(fields) if name != field)
            scenes[key].append((_rank(fields[field]), path))
    clean, degraded = {}, {}
    for key, ranked in scenes.items():
        (lowest, path), *others = sorted(ranked)
        clean[key] = [path]
        if noisy := [other for rank, other in others if rank[0] > lowest[0]]:
            degraded[key] = noisy
    return _Found(clean, degraded)


def _rank(iso: str) -> tuple[float, str]:
    """ISO100 < ISO200 < ISO200-2 < ISO6400 < ISOH1, which is beyond the camera's numbers; GT is below all."""
    value, _, repeat = iso.upper().removeprefix("ISO").partition("-")
    if value.startswith("GT"):
        return 0, value + repeat
    numbers = [int(digits) for digits in re.findall(r"\d+", value)]
    return (1e9 if value.startswith("H") else 0) + (numbers[0] if numbers else 1e12), repeat


def _fault(
    clean: Sequence[str], degraded: Sequence[str], paired: bool, *, several: bool
) -> str | None:
    if len(clean) > 1:
        return f"{' and '.join(clean)} have one name, and only one can be the clean image"
    if len(degraded) > 1 and not several:
        return f"{' and '.join(degraded)} have one name, and only one can be the degraded image"
    if not clean:
        return f"{degraded[0]} has no clean partner"
    return f"{clean[0]} has no degraded partner" if paired and not degraded else None


def _dataset(layout: Layout, folder: str, path: str) -> str | None:
    for form in layout.forms:
        matched = pattern_of(form.clean).fullmatch(f"{folder}/{path}")
        if matched and "dataset" in matched.groupdict():
            return matched["dataset"]
    return None


def _split(folder: str, path: str) -> Split:
    """By the innermost folder that is named for one."""
    for name in reversed(f"{folder}/{path}".split("/")[:-1]):
        if found := _SPLIT.search(name):
            return "train" if found[1].lower() == "train" else "test"
    raise InputError(
        f"{folder}/{path}: no folder of it is named for training or test; say which with --split"
    )
