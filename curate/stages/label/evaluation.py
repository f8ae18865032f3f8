"""How good a model and its prompts are on pictures whose categories are known: confusion, recall, calibration."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import ImageError, InputError
from curate.recipe import Label
from curate.stages.label.taxonomy import Taxonomy, load_taxonomy
from curate.storage import atomic

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "BINS",
    "CategoryScore",
    "LabelEvaluation",
    "LabelledPicture",
    "ScoreBin",
    "evaluate_labels",
]

BINS = 15
"""Bins of equal width that scores are sorted into, as many as in "On Calibration of Modern Neural Networks" (2017)."""


@dataclass(frozen=True)
class LabelledPicture:
    """A picture, what it shows, and what it was taken for."""

    picture: str
    truth: str
    category: str
    score: float
    margin: float


@dataclass(frozen=True)
class CategoryScore:
    """How well one category is told from the others; None where there is nothing to divide by."""

    category: str
    pictures: int
    """Those that show it."""
    labelled: int
    """Those that were taken for it, rightly or not."""
    precision: float | None
    """Share of those taken for it that show it."""
    recall: float | None
    """Share of those that show it that were taken for it."""
    f1: float | None
    """Harmonic mean of the two."""
    mistaken_for: str
    """The category that most of the others were taken for, and how many."""


@dataclass(frozen=True)
class ScoreBin:
    """Pictures whose scores lie between two values: were they right as often as the scores say?"""

    low: float
    high: float
    pictures: int
    mean_score: float
    right: float
    """Share of them that was right."""


@dataclass(frozen=True)
class LabelEvaluation:
    """What a labeller made of pictures whose categories are known."""

    model: str
    categories: tuple[str, ...]
    """Of the taxonomy, in its order."""
    broad: tuple[str, ...]
    """The broad class of each."""
    pictures: tuple[LabelledPicture, ...]
    failures: dict[str, str]
    """Files that couldn't be looked at, and why; they count nowhere."""

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Pictures by what they show (row) and what they were taken for (column)."""
        place = {name: index for index, name in enumerate(self.categories)}
        counts = np.zeros((len(place), len(place)), np.int64)
        for picture in self.pictures:
            counts[place[picture.truth], place[picture.category]] += 1
        return counts

    @property
    def top1(self) -> float:
        """Share of pictures that were taken for what they show."""
        return float(np.trace(self.confusion) / len(self.pictures))

    @property
    def broad_top1(self) -> float:
        """Share of pictures whose broad class was right."""
        same_KK = np.equal.outer(self.broad, self.broad)
        return float(self.confusion[same_KK].sum() / len(self.pictures))

    @property
    def mean_recall(self) -> float:
        """Mean over the categories that there are pictures of, however many of each."""
        return float(np.mean([score.recall for score in self.scores if score.recall is not None]))

    @property
    def scores(self) -> tuple[CategoryScore, ...]:
        """One for each category."""
        return tuple(self._score(index) for index in range(len(self.categories)))

    def _score(self, index: int) -> CategoryScore:
        right = int(self.confusion[index, index])
        shown, taken = int(self.confusion[index].sum()), int(self.confusion[:, index].sum())
        wrong_K = self.confusion[index].copy()
        wrong_K[index] = 0
        mistaken = f"{self.categories[wrong_K.argmax()]} ({wrong_K.max()})" if wrong_K.any() else ""
        shares = (
            _share(right, taken),
            _share(right, shown),
            _share(2 * right, shown + taken if shown else 0),
        )
        return CategoryScore(self.categories[index], shown, taken, *shares, mistaken)

    @property
    def reliability(self) -> tuple[ScoreBin, ...]:
        """The BINS bins of scores that have pictures, the lowest first."""
        scores = np.array([picture.score for picture in self.pictures])
        right = np.array([picture.truth == picture.category for picture in self.pictures])
        bins = np.minimum((scores * BINS).astype(int), BINS - 1)
        return tuple(
            ScoreBin(
                b / BINS,
                (b + 1) / BINS,
                int(here.sum()),
                float(scores[here].mean()),
                float(right[here].mean()),
            )
            for b in range(BINS)
            if (here := bins == b).any()
        )

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean distance of score and share that is right, over pictures, by bins."""
        return sum(b.pictures * abs(b.right - b.mean_score) for b in self.reliability) / len(
            self.pictures
        )

    def summary(self) -> dict[str, Any]:
        """Everything but the single pictures, as JSON-like values."""
        return {
            "model": self.model,
            "pictures": len(self.pictures),
            "top1": self.top1,
            "broad_top1": self.broad_top1,
            "mean_recall": self.mean_recall,
            "calibration_error": self.calibration_error,
            "calibration_bins": BINS,
            "categories": [asdict(score) for score in self.scores],
            "confusion": self.confusion.tolist(),
            "reliability": [asdict(b) for b in self.reliability],
            "failures": self.failures,
        }

    def save(self, folder: str | Path) -> list[str]:
        """Write evaluation.json, categories.csv, confusion.csv, pictures.csv and confusion.png; returns their paths.

        Raises:
            RunError: if they can't be written.
        """
        from curate.stages.label.figure import (
            confusion_figure,  # matplotlib: only where figures are drawn
        )

        header = ["shown \\ taken for", *self.categories]
        rows = [
            [name, *counts]
            for name, counts in zip(self.categories, self.confusion.tolist(), strict=True)
        ]
        made = {
            "evaluation.json": json.dumps(self.summary(), indent=1, ensure_ascii=False).encode(),
            "categories.csv": _records(CategoryScore, self.scores),
            "confusion.csv": _csv([header, *rows]),
            "pictures.csv": _records(LabelledPicture, self.pictures),
            "confusion.png": confusion_figure(self),
        }
        for name, data in made.items():
            atomic.write(f"{folder}/{name}", data)
        return [f"{folder}/{name}" for name in made]


def evaluate_labels(
    pictures: str | Path | Iterable[tuple[Image.Image | str | Path, str]],
    config: Label = Label(),  # noqa: B008 - frozen
    progress: Callable[[int, int], None] | None = None,
) -> LabelEvaluation:
    """Label pictures whose categories are known, and say how often and how surely that is right.

    Args:
        pictures: a folder with a folder of pictures for each category; or pictures or files, each with its category.
        config: the labeller.
        progress: told how many pictures are done, of how many.

    Raises:
        LabelError: if the labeller can't be loaded.
        InputError: if a category isn't in the taxonomy, or there is no picture that can be looked at.
    """
    taxonomy = load_taxonomy(config.taxonomy)
    pairs: list[tuple[Image.Image | str | Path, str]]
    if isinstance(pictures, str | Path):
        root = Path(pictures)
        found = list(_class_folders(root, taxonomy))
        pairs, names = [*found], [path.relative_to(root).as_posix() for path, _ in found]
    else:
        pairs = list(pictures)
        names = [
            str(p) if isinstance(p, str | Path) else f"picture {n}"
            for n, (p, _) in enumerate(pairs)
        ]
    for name, (_, category) in zip(names, pairs, strict=True):
        if category not in taxonomy.names:
            raise InputError(
                f"{name}: no category {category!r}; the taxonomy has {', '.join(taxonomy.names)}"
            )
    return _evaluate(
        [picture for picture, _ in pairs], names, [truth for _, truth in pairs], config, progress
    )


def _evaluate(
    pictures: Sequence[Image.Image | str | Path],
    names: Sequence[str],
    truths: Sequence[str],
    config: Label,
    progress: Callable[[int, int], None] | None,
) -> LabelEvaluation:
    from curate.stages.label.clip import load_labeller  # torch: only where labels are made

    labeller = load_labeller(config)
    embeddings, known, failures = [], [], {}
    for n, found in enumerate(labeller.embed(pictures)):
        if isinstance(found, ImageError):
            failures[names[n]] = str(found)
        else:
            embeddings.append(found)
            known.append((names[n], truths[n]))
        if progress:
            progress(n + 1, len(pictures))
    if not embeddings:
        first = "; ".join(f"{name}: {failure}" for name, failure in list(failures.items())[:1])
        raise InputError(
            f"none of {len(pictures)} pictures can be looked at{first and f'; {first}'}"
        )
    results = labeller.classify(np.stack(embeddings))
    labelled = [
        LabelledPicture(name, truth, result.category, result.score, result.margin)
        for (name, truth), result in zip(known, results, strict=True)
    ]
    broad = tuple(category.broad for category in labeller.taxonomy.categories)
    return LabelEvaluation(labeller.name, labeller.taxonomy.names, broad, tuple(labelled), failures)


def _class_folders(root: Path, taxonomy: Taxonomy) -> Iterator[tuple[Path, str]]:
    """Files of <root>/<category>/, at any depth; a folder may be written indoor_others for Indoor others."""
    if not root.is_dir():
        raise InputError(
            f"{root} is no folder: want one that holds a folder of pictures for each category"
        )
    known = {_plain(name): name for name in taxonomy.names}
    folders = sorted(
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not folders:
        raise InputError(
            f"{root} holds no folders: want one for each category, such as {root / taxonomy.names[0]}"
        )
    for folder in folders:
        if _plain(folder.name) not in known:
            near = difflib.get_close_matches(_plain(folder.name), known, n=1, cutoff=0.5)
            hint = (
                f"did you mean {known[near[0]]!r}?"
                if near
                else f"the taxonomy has {', '.join(taxonomy.names)}"
            )
            raise InputError(f"{folder} is named after no category: {hint}")
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path, known[_plain(folder.name)]


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _records(kind: type, records: Iterable[Any]) -> bytes:
    names = [field.name for field in fields(kind)]
    return _csv([names, *([getattr(record, name) for name in names] for record in records)])


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
