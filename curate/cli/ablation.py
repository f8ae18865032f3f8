"""`curate ablate`: subsets that differ in one aspect each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import (
    Format,
    Scheduler,
    Workers,
    check_format,
    new_console,
    split_words,
)
from curate.errors import CurateError
from curate.humanize import counted

if TYPE_CHECKING:
    from curate.datasets.ablation import Subset

__all__ = ["ablate"]


def ablate(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder with a finished selection.")
    ],
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="Folder for the manifests, copied images and summary."),
    ],
    images: Annotated[
        int, typer.Option("--images", "-n", help="Number of images in each subset.")
    ] = 800,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="Sizes of further subsets; an eighth, a quarter and a half by default.",
        ),
    ] = None,
    target: Annotated[
        list[str],
        typer.Option(
            metavar="ASPECT=X",
            help="Target mean of resolution (pixels), bpp, frequency (ratio) or diversity; may be "
            "repeated. By default in the paper's proportion to the reference.",
        ),
    ] = [],
    choose: Annotated[
        list[str],
        typer.Option(
            metavar="ASPECT",
            help="Choose other images for resolution or bpp, instead of degrading copies.",
        ),
    ] = [],
    tolerance: Annotated[
        float,
        typer.Option(help="How far the other aspects may differ from the reference, as a share."),
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Random seed of the choice.")] = 0,
    form: Format = "table",
    scheduler: Scheduler = "local",
    workers: Workers = None,
) -> None:
    """Write subsets of a run that differ in one aspect each, as in Table 9 and Figure 2.

    There is a reference, a subset each of low resolution, bpp, frequency and diversity, and subsets
    of other sizes. The table shows the five measures of each beside those of the paper.
    """
    from curate.cli.step_bar import StepProgress
    from curate.cli.tables import show
    from curate.datasets.ablation import Ablation, ablate
    from curate.datasets.ablation.summary import subset_table
    from curate.manifest.paper_statistics import ABLATIONS

    form = check_format(form)
    wanted = Ablation(images, _numbers(sizes), _targets(target), tuple(choose), tolerance, seed)
    with StepProgress(new_console(stderr=True), "images") as steps:
        subsets = ablate(run, out, wanted, scheduler=scheduler, workers=workers, progress=steps)
    show(subset_table(subsets), form)
    # remarks would break CSV and JSON on standard output
    remarks = sys.stdout if form == "table" else sys.stderr
    for subset in subsets:
        for line in _explain(subset):
            print(line, file=remarks)
    names = {subset.name for subset in subsets}
    for name in ABLATIONS:
        if name not in names:
            print(f"{name}: left out, since the reference has nothing of that aspect", file=remarks)
    print(f"{len(subsets)} manifests and summary.json in {out}", file=remarks)


def _explain(subset: Subset) -> Iterator[str]:
    """Say what is not as wanted, why, and what would help."""
    if subset.off:
        off = ", ".join(f"{column} {share:+.0%}" for column, share in subset.off.items())
        yield f"{subset.name}: beside the reference {off}"
    if subset.reached:
        return
    target = _short(subset.target)
    missed = f"{subset.name}: {target} is out of reach"
    if subset.lowest is None:
        yield missed
        return
    yield f"{missed}, {_short(subset.lowest)} is the least that this run allows"
    for name, value in subset.freed.items():
        yield f"  {_short(value)} if {name} need not be as the reference's"
    if subset.lacking:
        few = ", ".join(f"{name} {count}" for name, count in subset.lacking.items())
        yield f"  images missing at {target} or under: {few}"
    if subset.not_fetched:
        yield (
            f"  {counted(subset.not_fetched, 'image')} rejected for it before download "
            "(fetch.probe)"
        )


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _numbers(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(map(int, split_words(text)))
    except ValueError as error:
        raise CurateError(
            f"--sizes takes numbers of images such as 100,200,400, not {text!r}"
        ) from error


def _targets(pairs: list[str]) -> dict[str, float]:
    targets = {}
    for pair in pairs:
        aspect, _, value = pair.partition("=")
        try:
            targets[aspect] = float(value)
        except ValueError as error:
            raise CurateError(
                f"--target takes an aspect and a number such as bpp=1.88, not {pair!r}"
            ) from error
    return targets
