"""Evaluation of a labeller on pictures of known categories: confusion, recall, calibration."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields
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

__all__ = ["BINS", "LabelEvaluation", "evaluate_labels"]

BINS = 15
"""Bins of equal width for scores, as in "On Calibration of Modern Neural Networks" (2017)."""


@dataclass(frozen=True)
class LabelledPicture:
    """Picture, its true category, and its label."""

    picture: str
    truth: str
    category: str
    score: float
    margin: float


@dataclass(frozen=True)
class CategoryScore:
    """Precision, recall and F1 score of one category; None where the divisor is 0."""

    category: str
    pictures: int
    """Pictures that show the category."""
    labelled: int
    """Pictures labelled with it, rightly or not."""
    precision: float | None
    """Share of the pictures labelled with it that show it."""
    recall: float | None
    """Share of the pictures that show it that are labelled with it."""
    f1: float | None
    """Harmonic mean of precision and recall."""
    mistaken_for: str
    """Most frequent wrong label of its pictures, and the number of them."""


@dataclass(frozen=True)
class ScoreBin:
    """Pictures whose scores lie between two values."""

    low: float
    high: float
    pictures: int
    mean_score: float
    right: float
    """Share of the pictures with a right label; equals mean_score if scores are calibrated."""


@dataclass(frozen=True)
class LabelEvaluation:
    """Labels of pictures whose categories are known, and their statistics."""

    model: str
    categories: tuple[str, ...]
    """Categories of the taxonomy, in its order."""
    broad: tuple[str, ...]
    """Broad class of each category."""
    pictures: tuple[LabelledPicture, ...]
    failures: dict[str, str]
    """File that can't be decoded -> why; these count nowhere else."""

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Confusion matrix: rows are true categories, columns predicted ones."""
        place = {name: index for index, name in enumerate(self.categories)}
        counts = np.zeros((len(place), len(place)), np.int64)
        for picture in self.pictures:
            counts[place[picture.truth], place[picture.category]] += 1
        return counts

    @property
    def top1(self) -> float:
        """Share of pictures with the right category."""
        return float(np.trace(self.confusion) / len(self.pictures))

    @property
    def broad_top1(self) -> float:
        """Share of pictures with the right broad class."""
        # cells of the confusion matrix where row and column have one broad class
        same_KK = np.equal.outer(self.broad, self.broad)
        return float(self.confusion[same_KK].sum() / len(self.pictures))

    @property
    def mean_recall(self) -> float:
        """Mean recall of the categories that have pictures, each with the same weight."""
        return float(np.mean([score.recall for score in self.scores if score.recall is not None]))

    @property
    def scores(self) -> tuple[CategoryScore, ...]:
        """Score of each category, in their order."""
        return tuple(self._score(index) for index in range(len(self.categories)))

    def _score(self, index: int) -> CategoryScore:
        right = int(self.confusion[index, index])
        shown, taken = int(self.confusion[index].sum()), int(self.confusion[:, index].sum())
        # the confusion matrix's row without its diagonal
        wrong_K = self.confusion[index].copy()
        wrong_K[index] = 0
        mistaken = f"{self.categories[wrong_K.argmax()]} ({wrong_K.max()})" if wrong_K.any() else ""
        f1 = _share(2 * right, shown + taken if shown else 0)
        shares = _share(right, taken), _share(right, shown), f1
        return CategoryScore(self.categories[index], shown, taken, *shares, mistaken)

    @property
    def reliability(self) -> tuple[ScoreBin, ...]:
        """Bins of scores that have pictures, the lowest first."""
        # whether labels are right as often as their scores say
        scores = np.array([picture.score for picture in self.pictures])
        right = np.array([picture.truth == picture.category for picture in self.pictures])
        bins = np.minimum((scores * BINS).astype(int), BINS - 1)
        result = []
        for index in np.unique(bins).tolist():
            here = bins == index
            means = float(scores[here].mean()), float(right[here].mean())
            result.append(ScoreBin(index / BINS, (index + 1) / BINS, int(here.sum()), *means))
        return tuple(result)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean |score - share that is right| of bins, by pictures."""
        errors = (b.pictures * abs(b.right - b.mean_score) for b in self.reliability)
        return sum(errors) / len(self.pictures)

    def summary(self) -> dict[str, Any]:
        """Return everything but the single pictures, as JSON-like values."""
        categories = [asdict(score) for score in self.scores]
        return {
            "model": self.model,
            "pictures": len(self.pictures),
            "top1": self.top1,
            "broad_top1": self.broad_top1,
            "mean_recall": self.mean_recall,
            "calibration_error": self.calibration_error,
            "calibration_bins": BINS,
            "categories": categories,
            "confusion": self.confusion.tolist(),
            "reliability": [asdict(b) for b in self.reliability],
            "failures": self.failures,
        }

    def save(self, folder: str | Path) -> list[str]:
        """Write evaluation.json, three CSV files and confusion.png, and return their paths.

        Raises:
            RunError: if they can't be written.
        """
        # imports matplotlib
        from curate.stages.label.figure import confusion_figure

        confusion = [["shown \\ taken for", *self.categories]]
        for name, counts in zip(self.categories, self.confusion.tolist(), strict=True):
            confusion.append([name, *counts])
        failed = f", {len(self.failures)} unreadable" if self.failures else ""
        title = f"{self.model}: {self.top1:.1%} of {len(self.pictures)} pictures right{failed}"
        bins = [(b.low, b.high, b.pictures, b.right) for b in self.reliability]
        error = self.calibration_error
        figure = confusion_figure(title, self.categories, self.confusion, bins, BINS, error)
        files = {
            "evaluation.json": json.dumps(self.summary(), indent=1, ensure_ascii=False).encode(),
            "categories.csv": _records(CategoryScore, self.scores),
            "confusion.csv": _csv(confusion),
            "pictures.csv": _records(LabelledPicture, self.pictures),
            "confusion.png": figure,
        }
        for name, data in files.items():
            atomic.write(f"{folder}/{name}", data)
        return [f"{folder}/{name}" for name in files]


def evaluate_labels(
    pictures: str | Path | Iterable[tuple[Image.Image | str | Path, str]],
    config: Label = Label(),  # noqa: B008 - frozen
    progress: Callable[[int, int], None] | None = None,
) -> LabelEvaluation:
    """Label pictures whose categories are known, and evaluate labels and scores.

    Args:
        pictures: a folder that has a folder of pictures for each category; or pictures or files,
            each with its category.
        config: the labeller.
        progress: called with the number of pictures done and of all.

    Raises:
        LabelError: if the labeller can't be loaded.
        InputError: if a category isn't in the taxonomy, or no picture can be decoded.
    """
    taxonomy = load_taxonomy(config.taxonomy)
    pairs: list[tuple[Image.Image | str | Path, str]]
    if isinstance(pictures, str | Path):
        root, pairs = Path(pictures), list(_class_folders(Path(pictures), taxonomy))
    else:
        root, pairs = None, list(pictures)
    names: list[str] = []
    for number, (picture, category) in enumerate(pairs):
        name = str(picture) if isinstance(picture, str | Path) else f"picture {number}"
        names.append(name if root is None else Path(name).relative_to(root).as_posix())
        if category not in taxonomy.names:
            known = ", ".join(taxonomy.names)
            raise InputError(f"{names[-1]}: no category {category!r}; the taxonomy has {known}")
    # imports torch
    from curate.stages.label.clip import load_labeller

    labeller = load_labeller(config)
    # embed all pictures; those that can't be decoded count as failures
    embeddings, decoded, failures = [], [], {}
    for number, found in enumerate(labeller.embed(picture for picture, _ in pairs)):
        if isinstance(found, ImageError):
            failures[names[number]] = str(found)
        else:
            embeddings.append(found)
            decoded.append((names[number], pairs[number][1]))
        if progress:
            progress(number + 1, len(pairs))
    if not embeddings:
        first = "".join(f"; {name}: {failure}" for name, failure in list(failures.items())[:1])
        raise InputError(f"none of {len(pairs)} pictures can be looked at{first}")
    labelled = []
    for pair, label in zip(decoded, labeller.classify(np.stack(embeddings)), strict=True):
        labelled.append(LabelledPicture(*pair, label.category, label.score, label.margin))
    broad = tuple(category.broad for category in labeller.taxonomy.categories)
    return LabelEvaluation(labeller.name, labeller.taxonomy.names, broad, tuple(labelled), failures)


def _class_folders(root: Path, taxonomy: Taxonomy) -> Iterator[tuple[Path, str]]:
    """Yield the files of <root>/<category>/, at any depth, and their categories.

    Folder names count without case and punctuation: indoor_others is Indoor others.
    """
    if not root.is_dir():
        raise InputError(
            f"{root} is no folder: want one that holds a folder of pictures for each category"
        )
    known = {_plain(name): name for name in taxonomy.names}
    folders = [path for path in root.glob("[!.]*") if path.is_dir()]
    if not folders:
        raise InputError(
            f"{root} holds no folders: want one for each category, such as "
            f"{root / taxonomy.names[0]}"
        )
    for folder in sorted(folders):
        plain = _plain(folder.name)
        if plain not in known:
            near = difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
            hint = f"the taxonomy has {', '.join(taxonomy.names)}"
            if near:
                hint = f"did you mean {known[near[0]]!r}?"
            raise InputError(f"{folder} is named after no category: {hint}")
        for path in sorted(folder.rglob("[!.]*")):
            if path.is_file():
                yield path, known[plain]


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _records(kind: type, records: Iterable[Any]) -> bytes:
    rows = map(astuple, records)
    return _csv([[field.name for field in fields(kind)], *rows])


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
