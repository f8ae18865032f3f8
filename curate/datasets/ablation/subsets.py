"""Subsets of a run, as in the HQ-50K paper's Table 9 and Figure 2."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import sqrt
from os import PathLike

import pyarrow as pa

from curate import engine
from curate.datasets.ablation.choice import (
    Choice,
    Terms,
    choose_concentrated,
    choose_low,
    choose_size,
)
from curate.datasets.ablation.copies import CopyWorkers, compress, resize
from curate.datasets.ablation.manifests import Writer, lossless_bpp
from curate.datasets.ablation.pool import Pool, read_pool
from curate.datasets.ablation.summary import ASPECTS, COLUMN_OF, Subset, subset_table
from curate.errors import RunError
from curate.manifest.export.output_folder import new_folder
from curate.manifest.paper_statistics import ABLATIONS
from curate.manifest.statistics import summarise
from curate.pipeline.recipe_changes import open_run

__all__ = ["COPIED", "Ablation", "ablate"]

COPIED = ("resolution", "bpp")
"""Aspects that copies have less of, as the paper's do, unless a choice is asked for."""


@dataclass(frozen=True)
class Ablation:
    """Settings of the subsets of an ablation.

    Raises:
        RunError: if no subset can have them.
    """

    images: int = 800
    """Images of each subset, except those of other sizes."""
    sizes: tuple[int, ...] | None = None
    """Sizes of further subsets; an eighth, a quarter and a half of `images` by default."""
    targets: Mapping[str, float] | None = None
    """Aspect -> wanted mean (diversity: entropy); the paper's share of the reference by default."""
    chosen: Collection[str] = ()
    """Members of COPIED that are chosen from the run's images instead."""
    tolerance: float = 0.05
    """Share by which held aspects may differ from the reference, and ablated ones from targets."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.images < 1 or any(size < 1 for size in self.sizes or ()):
            raise RunError("a subset has 1 image at least: see --images and --sizes")
        for aspect, target in (self.targets or {}).items():
            if aspect not in ASPECTS or not target > 0:
                raise RunError(
                    f"--target takes {', '.join(ASPECTS)} and a number over 0, not "
                    f"{aspect}={target:g}"
                )
        for aspect in self.chosen:
            if aspect not in COPIED:
                raise RunError(
                    f"--choose takes {' or '.join(COPIED)}, not {aspect!r}: the others are always "
                    "chosen"
                )
        if not 0.01 <= self.tolerance < 1:  # to meet less than that exactly may take for ever
            raise RunError(
                f"--tolerance is a share from 0.01 to 1, such as 0.05, not {self.tolerance:g}"
            )

    @property
    def ladder(self) -> list[int]:
        """Sizes of the subsets that differ in size alone, ascending."""
        sizes = [self.images // part for part in (8, 4, 2)] if self.sizes is None else self.sizes
        return sorted(set(sizes) - {0, self.images})


def ablate(
    run: str | PathLike[str],
    out: str | PathLike[str],
    wanted: Ablation | None = None,
    *,
    scheduler: str = "local",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Subset]:
    """Write manifests of subsets of a run that differ from a reference in one aspect each.

    `<out>/full.parquet` is the reference; `low_resolution`, `low_bpp`, `low_frequency` and
    `low_diversity` have less of one aspect; `size_100` and so on have fewer or more images. Copies
    lie in `<out>/images`; `summary.json` and `summary.csv` describe the subsets. The same run and
    settings give the same bytes, and `out` is there whole or not.

    Args:
        run: folder of a run whose selection is done.
        out: folder that isn't there yet or is empty, on the run's storage.
        wanted: settings of the subsets; as in the paper by default.
        scheduler: executor that decodes and copies images: `local` (Dask workers on this machine),
            `serial`, or the address of a Dask scheduler.
        workers: number of local workers, one per core by default.
        progress: called with the images done, and all as far as they are known.

    Returns:
        Each subset's description: the reference, then by aspect, then by size.

    Raises:
        RunError: if there is no such run, it has too few images, a target isn't under the
            reference, an image can't be read, or `out` can't be written or holds something.
        ManifestError: if `out` is on another storage than the run.
        LabelError: if rejected images have to be labelled, and the labeller can't be loaded.
    """
    wanted = wanted or Ablation()
    folder, recipe = open_run(run)
    with new_folder(str(out)) as place:
        aspects = ["frequency", *wanted.chosen]
        base, pools = read_pool(folder, recipe, aspects, wanted.images, wanted.seed)
        categories = set(base.categories()).union(*map(Pool.categories, pools.values()))
        terms = Terms(sorted(categories), wanted.tolerance, wanted.seed)
        choices = _choose_sizes(base, wanted, terms)
        names, reference = dict.fromkeys([*ABLATIONS, *choices]), choices["full"].rows
        with engine.open_executor(scheduler if folder.is_shared else "serial", workers) as executor:
            copies = CopyWorkers(executor, recipe.measure.facts, progress)
            writer = Writer(folder, place, str(out).rstrip("/"), copies)
            judge = _Judge(writer.with_lossless(reference), wanted)
            targets, found = judge.targets, {}
            # chosen subsets point at the run's images
            if "diversity" in targets:
                target = targets["diversity"]
                choices["low_diversity"] = choose_concentrated(base, reference, target, terms)
            for aspect, pool in pools.items():
                if target := targets.get(aspect):
                    choices[f"low_{aspect}"] = choose_low(pool, reference, aspect, target, terms)
            for name, choice in choices.items():
                writer.write(name, choice.rows)
                found[name] = judge(name, "chosen", writer.with_lossless(choice.rows), choice)
            # copies of the reference have tars of their own
            for aspect in COPIED:
                if aspect not in targets or aspect in wanted.chosen:
                    continue
                name, target = f"low_{aspect}", targets[aspect]
                if aspect == "resolution":
                    change = resize(sqrt(target / judge.reference[aspect]))
                else:
                    images = writer.stored_images(reference)
                    change = compress(copies.quality_for(images, target))
                found[name] = judge(
                    name, change.label, writer.write_copies(name, reference, change)
                )
        # in the paper's order, then by size
        subsets = [found[name] for name in names if name in found]
        settings = {**asdict(wanted), "sizes": wanted.ladder, "chosen": sorted(wanted.chosen)}
        settings |= {"targets": targets, "recipe": recipe.name}
        summary = subset_table(subsets, settings)
        place.write("summary.csv", summary.to_csv().encode())
        place.write("summary.json", summary.to_json().encode())
    return subsets


def _choose_sizes(base: Pool, wanted: Ablation, terms: Terms) -> dict[str, Choice]:
    """Choose the reference, and subsets like it of other sizes, each within the next larger."""
    train = base.train()
    if wanted.images > len(train):
        raise RunError(
            f"the training split has {len(train):,} images, fewer than the {wanted.images:,} of a "
            f"subset: take --images {len(train)} or fewer"
        )
    full = choose_size(train, train, wanted.images, terms)
    found, reference = {wanted.images: full}, full.rows
    smaller = [size for size in wanted.ladder if size < wanted.images]
    for within, size in pairwise([wanted.images, *reversed(smaller)]):
        found[size] = choose_size(found[within].rows, reference, size, terms)
    for within, size in pairwise([wanted.images, *wanted.ladder[len(smaller) :]]):
        found[size] = choose_size(base, found[within].rows, size, terms, keep=True)
    return {"full": full} | {f"size_{size}": found[size] for size in wanted.ladder}


class _Judge:
    """Comparison of subsets with the reference.

    Args:
        reference: its rows, with a column `lossless`.
        wanted: targets, and the tolerance.
    """

    def __init__(self, reference: pa.Table, wanted: Ablation) -> None:
        statistics, self._tolerance = summarise(reference), wanted.tolerance
        self._lossless_bpp = lossless_bpp(reference)
        self.reference, self.targets, usual = {}, {}, {}
        low, full = {a: ABLATIONS[f"low_{a}"] for a in COLUMN_OF}, ABLATIONS["full"]
        for aspect, column in COLUMN_OF.items():
            mean = self.reference[aspect] = getattr(statistics, column)
            share = getattr(low[aspect], column) / getattr(full, column)
            usual[aspect] = share * mean
            if aspect == "resolution":
                usual[aspect] = mean / 9  # a third of each side
            elif aspect == "bpp":
                # the paper's share is of PNG files; the files here may have fewer bits than that
                usual[aspect] = min(share * self._lossless_bpp, mean / 2)
        given = dict(wanted.targets or {})
        for aspect, target in (usual | given).items():
            # nothing has less than a reference at 0, such as the diversity of one category
            if aspect not in given and target <= 0:
                continue
            self.targets[aspect] = target
            if target >= self.reference[aspect] * (1 - wanted.tolerance):
                raise RunError(
                    f"the reference's {COLUMN_OF[aspect]} is {self.reference[aspect]:.6g}, so "
                    f"{target:.6g} is not low: set a lower one with --target {aspect}=..."
                )

    def __call__(
        self, name: str, change: str, rows: pa.Table, choice: Choice | None = None
    ) -> Subset:
        """Describe a subset, whose rows have a column `lossless`."""
        statistics, lossless = summarise(rows), lossless_bpp(rows)
        aspect = name.removeprefix("low_") if name.startswith("low_") else None
        # the share by which each measure but the ablated one differs from the reference's
        shares = {}
        for other, column in COLUMN_OF.items():
            if other != aspect and self.reference[other]:
                shares[column] = getattr(statistics, column) / self.reference[other] - 1
        # the size of PNG files says nothing of compression; their pixels can be compared
        if statistics.bpp == lossless:
            shares["lossless_bpp"] = lossless / self._lossless_bpp - 1
            shares.pop("bpp", None)
        tolerance = self._tolerance + 1e-9
        off = {column: round(x, 6) for column, x in shares.items() if abs(x) > tolerance}
        subset = Subset(name, change, statistics, lossless, aspect, off=off)
        if aspect:
            target = self.targets[aspect]
            reached = getattr(statistics, COLUMN_OF[aspect]) <= target * (1 + tolerance)
            subset = replace(subset, target=target, reached=bool(reached))
        if choice and not subset.reached:
            lowest, freed, lacking = choice.lowest, choice.freed, choice.lacking
            subset = replace(subset, lowest=lowest, freed=freed, lacking=lacking)
        if choice and choice.pool.rejected:
            subset = replace(subset, not_fetched=choice.pool.rejected.not_fetched)
        return subset
