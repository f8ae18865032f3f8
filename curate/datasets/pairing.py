"""Pairing of a dataset's files: by their names, never by their order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from curate.datasets.layouts import Form, Layout, Split, pattern_of
from curate.errors import InputError

__all__ = ["Group", "Pairing", "pair_files"]

Key = tuple[str, ...]

_SPLIT = re.compile(
    r"(?:^|[^a-z]|rain)(train|test|val)(?:ing|id|idation)?[lh]?(?![a-z])", re.IGNORECASE
)
"""A folder that is named for training or test: train, Test100, DIV2K_valid_HR, RainTrainL."""


@dataclass(frozen=True)
class Group:
    """A clean image and its degraded ones, if any; paths below the dataset's folder."""

    clean: str
    degraded: tuple[str, ...]
    dataset: str
    split: Split


@dataclass(frozen=True)
class Pairing:
    """Result of pairing the files of a dataset."""

    groups: tuple[Group, ...]
    """In the order of their clean images' paths."""
    faults: tuple[str, ...]
    """The fault of each image that should have a partner and has none."""
    others: tuple[str, ...]
    """Files that don't belong to the dataset."""


@dataclass(frozen=True)
class _Found:
    """Files by key, of one form."""

    clean: dict[Key, list[str]] = field(default_factory=lambda: defaultdict(list))
    degraded: dict[Key, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def files(self) -> set[str]:
        return set().union(*self.clean.values(), *self.degraded.values())


def pair_files(
    name: str, layout: Layout, folder: str, paths: Sequence[str], split: Split | None = None
) -> Pairing:
    """Pair the files of a dataset.

    Args:
        name: of the dataset.
        layout: of the dataset.
        folder: name of the folder, without those above it.
        paths: of its files, below it.
        split: of all images, overriding the layout.

    Raises:
        InputError: if no file belongs to the dataset, or a folder's name says neither training
            nor test.
    """
    # the form with the most pairs, or else the most files
    candidates = [_find(layout, form, folder, paths) for form in layout.forms]
    best = max(candidates, key=lambda f: (len(f.clean.keys() & f.degraded.keys()), len(f.files)))
    files = best.files
    if not files:
        # the forms as they are, but without the regular expressions of their fields
        forms = (" with ".join(filter(None, (f.clean, f.degraded))) for f in layout.forms)
        names = re.sub(r":[^}]*", "", "; ".join(forms))
        raise InputError(f"{folder} holds no {name}: it was looked for as {names}")
    groups: list[Group] = []
    faults: list[str] = []
    for key in sorted(best.clean.keys() | best.degraded.keys()):
        clean, degraded = best.clean.get(key, []), best.degraded.get(key, [])
        if fault := _fault(clean, degraded, layout):
            faults.append(fault)
            continue
        dataset = _dataset(layout, folder, clean[0]) or name
        own_split = split or layout.split or _split(folder, clean[0])
        groups.append(Group(clean[0], tuple(degraded), dataset, own_split))
    groups.sort(key=lambda group: group.clean)
    others = tuple(path for path in paths if path not in files)
    return Pairing(tuple(groups), tuple(sorted(faults)), others)


def _find(layout: Layout, form: Form, folder: str, paths: Sequence[str]) -> _Found:
    found = _Found()
    if layout.lowest is None:
        for key, path, _ in _matches(form.clean, folder, paths):
            found.clean[key].append(path)
        if form.degraded is not None:
            for key, path, _ in _matches(form.degraded, folder, paths):
                found.degraded[key].append(path)
        return found
    # images of one scene: the one with the lowest value is clean
    scenes: dict[Key, list[tuple[tuple[float, str], str]]] = defaultdict(list)
    for key, path, value in _matches(form.clean, folder, paths, but=layout.lowest):
        scenes[key].append((_rank(value), path))
    for key, ranked in scenes.items():
        (lowest, path), *others = sorted(ranked)
        found.clean[key].append(path)
        # further images of the lowest value are neither clean nor degraded
        if noisy := [other for rank, other in others if rank[0] > lowest[0]]:
            found.degraded[key] = noisy
    return found


def _matches(
    form: str, folder: str, paths: Sequence[str], but: str = ""
) -> Iterator[tuple[Key, str, str]]:
    """Yield (values of all fields but one, path, value of that one) of files that match a form."""
    pattern = pattern_of(form)
    for path in paths:
        if match := pattern.fullmatch(f"{folder}/{path}"):
            fields = match.groupdict()
            value = fields.pop(but, "")
            yield tuple(fields[name] for name in sorted(fields)), path, value


def _rank(iso: str) -> tuple[float, str]:
    """Return an ISO value as a sort key: GT < ISO100 < ISO200 < ISO200-2 < ISO6400 < ISOH1.

    H1 and H2 are beyond the camera's numbers.
    """
    value, _, repeat = iso.upper().removeprefix("ISO").partition("-")
    if value.startswith("GT"):
        return 0, value + repeat
    numbers = [int(digits) for digits in re.findall(r"\d+", value)]
    return (1e9 if value.startswith("H") else 0) + (numbers[0] if numbers else 1e12), repeat


def _fault(clean: Sequence[str], degraded: Sequence[str], layout: Layout) -> str | None:
    if len(clean) > 1:
        return f"{' and '.join(clean)} have one name, and only one can be the clean image"
    if len(degraded) > 1 and layout.lowest is None:
        return f"{' and '.join(degraded)} have one name, and only one can be the degraded image"
    if not clean:
        return f"{degraded[0]} has no clean partner"
    lonely = layout.degradation is not None and not degraded
    return f"{clean[0]} has no degraded partner" if lonely else None


def _dataset(layout: Layout, folder: str, path: str) -> str | None:
    """Return the dataset that a form finds in a clean image's path, if one does."""
    for form in layout.forms:
        match = pattern_of(form.clean).fullmatch(f"{folder}/{path}")
        if match and "dataset" in match.groupdict():
            return match["dataset"]
    return None


def _split(folder: str, path: str) -> Split:
    """Return the split that the innermost folder named for one stands for."""
    for name in reversed(f"{folder}/{path}".split("/")[:-1]):
        if found := _SPLIT.search(name):
            return "train" if found[1].lower() == "train" else "test"
    fault = "no folder of it is named for training or test; say which with --split"
    raise InputError(f"{folder}/{path}: {fault}")
