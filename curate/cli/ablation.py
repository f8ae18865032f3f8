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
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder whose selection is done.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for manifests, copies and summary.")
    ],
    images: Annotated[int, typer.Option("--images", "-n", help="Images of each subset.")] = 800,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="Further subsets of so many images; an eighth, a quarter, a half by default.",
        ),
    ] = None,
    target: Annotated[
        list[str],
        typer.Option(
            metavar="ASPECT=X",
            help="Mean that resolution (pixels), bpp, frequency (ratio) or diversity is to have; "
            "may be repeated. By default in the paper's proportion to the reference.",
        ),
    ] = [],
    choose: Annotated[
        list[str],
        typer.Option(
            metavar="ASPECT", help="Choose images for resolution or bpp, too, instead of copying."
        ),
    ] = [],
    tolerance: Annotated[
        float, typer.Option(help="Share by which what is held may differ from the reference.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Another one draws other images.")] = 0,
    form: Format = "table",
    scheduler: Scheduler = "local",
    workers: Workers = None,
) -> None:
    """Write subsets that differ in one aspect each: Table 9 and Figure 2 of the paper.

    A reference, then low resolution, low bpp, low frequency and low diversity, then other sizes, to
    train on and compare, each with its five measures beside the paper's.
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
