"""The subsets of the HQ-50K paper's Table 9 and Figure 2, made of a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from os import PathLike

import pyarrow as pa

from curate import engine
from curate.datasets.ablation.choice import (
    Choice,
    Terms,
    choose_concentrated,
    choose_larger,
    choose_low,
    choose_part,
)
from curate.datasets.ablation.copies import Compress, Resize, Workshop
from curate.datasets.ablation.manifests import Writer, lossless_bpp
from curate.datasets.ablation.pool import Pool, read_pool
from curate.datasets.ablation.summary import ASPECTS, COLUMN_OF, Subset, csv_of, json_of
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
    """What the subsets are to be like.

    Raises:
        RunError: if they can't be.
    """

    images: int = 800
    """Of each subset but those of other sizes."""
    sizes: tuple[int, ...] | None = None
    """Further subsets by their number of images; an eighth, a quarter and a half of `images` by default."""
    targets: Mapping[str, float] | None = None
    """Aspect -> mean (diversity: entropy) that is wanted; by default in the paper's proportion to the reference."""
    chosen: Collection[str] = ()
    """Those of COPIED that are to be chosen from the run's images instead."""
    tolerance: float = 0.05
    """Share by which what is held may differ from the reference, and what is ablated from its target."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.images < 1 or any(size < 1 for size in self.sizes or ()):
            raise RunError("a subset has 1 image at least: see --images and --sizes")
        for aspect, target in (self.targets or {}).items():
            if aspect not in ASPECTS or not target > 0:
                raise RunError(
                    f"--target takes {', '.join(ASPECTS)} and a number over 0, not {aspect}={target:g}"
                )
        for aspect in self.chosen:
            if aspect not in COPIED:
                raise RunError(
                    f"--choose takes {' or '.join(COPIED)}, not {aspect!r}: the others are always chosen"
                )
        if not 0.01 <= self.tolerance < 1:  # to meet less than that exactly may take for ever
            raise RunError(
                f"--tolerance is a share from 0.01 to 1, such as 0.05, not {self.tolerance:g}"
            )

    @property
    def ladder(self) -> list[int]:
        """Numbers of images of the subsets that differ in size alone, ascending."""
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
    """Write subsets of a run's dataset that differ from a reference in one aspect each, as manifests to train on.

    `<out>/full.parquet` is the reference; `low_resolution`, `low_bpp`, `low_frequency` and `low_diversity` have less of
    one aspect; `size_100` and so on have fewer or more images. Copies lie in `<out>/images`; `summary.json` and
    `summary.csv` say what came out. The same run and settings give the same bytes, and `out` is there whole or not.

    Args:
        run: folder of a run whose selection is done.
        out: folder that isn't there yet or is empty, on the run's storage.
        wanted: what the subsets are to be like; as in the paper by default.
        scheduler: what decodes and copies images: `local` (Dask workers on this machine), `serial`, or the address of a
            Dask scheduler.
        workers: number of local workers, one per core by default.
        progress: called with the images done, and all as far as they are known.

    Returns:
        What each subset is like: the reference, then by aspect, then by size.

    Raises:
        RunError: if there is no such run, it has too few images, a target isn't under the reference, an image can't be
            read, or `out` can't be written or holds something.
        ManifestError: if `out` is on another storage than the run.
        LabelError: if rejected images have to be labelled, and the labeller can't be loaded.
    """
    wanted = wanted or Ablation()
    folder, recipe = open_run(run)
    with new_folder(str(out)) as place:
        base, pools = read_pool(
            folder, recipe, ["frequency", *wanted.chosen], wanted.images, wanted.seed
        )
        categories = sorted(
            {name for pool in (base, *pools.values()) for name in pool.categories()}
        )
        terms = Terms(categories, wanted.tolerance, wanted.seed)
        sizes = _choose_sizes(base, wanted, terms)
        reference = sizes["full"].rows
        with engine.open_executor(scheduler if folder.is_shared else "serial", workers) as executor:
            workshop = Workshop(executor, recipe.measure.facts, progress)
            writer = Writer(folder, place, str(out).rstrip("/"), workshop)
            judge = _Judge(writer.with_lossless(reference), wanted)
            found = {}
            for name, choice in (
                sizes | _choose_aspects(base, pools, reference, judge.targets, terms)
            ).items():
                writer.write(name, choice.rows)
                found[name] = judge(name, "chosen", writer.with_lossless(choice.rows), choice)
            for aspect in (a for a in COPIED if a in judge.targets and a not in wanted.chosen):
                name, target = f"low_{aspect}", judge.targets[aspect]
                change = (
                    Resize(sqrt(target / judge.reference[aspect]))
                    if aspect == "resolution"
                    else Compress(workshop.quality_for(writer.places(reference), target))
                )
                found[name] = judge(name, change.told, writer.write_copies(name, reference, change))
        subsets = [found[name] for name in dict.fromkeys([*ABLATIONS, *sizes]) if name in found]
        settings = {**asdict(wanted), "sizes": wanted.ladder, "chosen": sorted(wanted.chosen)}
        place.write("summary.csv", csv_of(subsets))
        place.write(
            "summary.json",
            json_of(subsets, settings | {"targets": judge.targets, "recipe": recipe.name}),
        )
    return subsets


def _choose_sizes(base: Pool, wanted: Ablation, terms: Terms) -> dict[str, Choice]:
    """The reference, and what has its attributes and another number of images, each within the next larger."""
    train = base.train()
    if wanted.images > len(train):
        raise RunError(
            f"the training split has {len(train):,} images, fewer than the {wanted.images:,} of a subset: take "
            f"--images {len(train)} or fewer"
        )
    found = {"full": choose_part(train, train, wanted.images, terms)}
    reference = within = found["full"].rows
    for size in reversed([size for size in wanted.ladder if size < wanted.images]):
        found[f"size_{size}"] = choose_part(within, reference, size, terms)
        within = found[f"size_{size}"].rows
    within = reference
    for size in (size for size in wanted.ladder if size > wanted.images):
        found[f"size_{size}"] = choose_larger(base, within, size, terms)
        within = found[f"size_{size}"].rows
    return {name: found[name] for name in ("full", *(f"size_{size}" for size in wanted.ladder))}


def _choose_aspects(
    base: Pool,
    pools: Mapping[str, Pool],
    reference: Pool,
    targets: Mapping[str, float],
    terms: Terms,
) -> dict[str, Choice]:
    found = {}
    if "diversity" in targets:
        found["low_diversity"] = choose_concentrated(base, reference, targets["diversity"], terms)
    for aspect in (aspect for aspect in pools if aspect in targets):
        found[f"low_{aspect}"] = choose_low(
            pools[aspect], reference, aspect, targets[aspect], terms
        )
    return found


class _Judge:
    """Holds subsets against the reference.

    Args:
        reference: its rows, with a column `lossless`.
        wanted: targets, and how far from them is near enough.
    """

    def __init__(self, reference: pa.Table, wanted: Ablation) -> None:
        statistics, self._tolerance = summarise(reference), wanted.tolerance
        self._lossless_bpp = lossless_bpp(reference)
        self.reference = {aspect: getattr(statistics, name) for aspect, name in COLUMN_OF.items()}
        paper = {
            a: getattr(ABLATIONS[f"low_{a}"], c) / getattr(ABLATIONS["full"], c)
            for a, c in COLUMN_OF.items()
        }
        usual = {aspect: share * self.reference[aspect] for aspect, share in paper.items()}
        usual["resolution"] = self.reference["resolution"] / 9  # a third of each side
        # the paper's proportion is of PNG files; what was served may have fewer bits than that
        usual["bpp"] = min(paper["bpp"] * self._lossless_bpp, self.reference["bpp"] / 2)
        # of what the reference has nothing, such as diversity of one category, there can't be less
        given = dict(wanted.targets or {})
        self.targets = {
            aspect: target
            for aspect, target in (usual | given).items()
            if aspect in given or target > 0
        }
        for aspect, target in self.targets.items():
            if target >= self.reference[aspect] * (1 - wanted.tolerance):
                raise RunError(
                    f"the reference's {COLUMN_OF[aspect]} is {self.reference[aspect]:.6g}, so {target:.6g} is not low: "
                    f"set a lower one with --target {aspect}=..."
                )

    def __call__(
        self, name: str, made: str, rows: pa.Table, choice: Choice | None = None
    ) -> Subset:
        """What a subset is like; its rows have a column `lossless`."""
        statistics, lossless = summarise(rows), lossless_bpp(rows)
        aspect = name.removeprefix("low_") if name.startswith("low_") else None
        others = {
            c: self.reference[a] for a, c in COLUMN_OF.items() if a != aspect and self.reference[a]
        }
        shares = {
            column: getattr(statistics, column) / value - 1 for column, value in others.items()
        }
        if (
            statistics.bpp == lossless
        ):  # PNG files tell nothing of compression; their pixels can be compared
            shares["lossless_bpp"] = lossless / self._lossless_bpp - 1
            shares.pop("bpp", None)
        off = {
            column: round(share, 6)
            for column, share in shares.items()
            if abs(share) > self._tolerance + 1e-9
        }
        target: float | None = None
        reached = True
        if aspect:
            target = self.targets[aspect]
            reached = bool(
                getattr(statistics, COLUMN_OF[aspect]) <= target * (1 + self._tolerance + 1e-9)
            )
        told = (
            (choice.lowest, choice.freed, choice.lacking)
            if choice and not reached
            else (None, {}, {})
        )
        rejected = choice.pool.rejected if choice else None
        return Subset(
            name, made, statistics, lossless, aspect, target, reached, off, *told,
            not_fetched=rejected.not_fetched if rejected else 0,
        )  # fmt: skip
