"""What results look like on a terminal, and the steps of one long job. Drawn for `curate.cli.app` only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from math import log10
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from curate.errors import Reason
from curate.humanize import bands, number, size, span
from curate.manifest.statistics import Statistics
from curate.stages.label.evaluation import BINS, LabelEvaluation

if TYPE_CHECKING:
    from curate.pipeline.probe import Estimate, ProbeOutcome
    from curate.restore.evaluation.tables import ScoreTable

__all__ = [
    "evaluation_tables",
    "probe_summary",
    "reasons_table",
    "score_table",
    "selection_tables",
    "statistics_table",
    "surveys_table",
    "table",
]

_BOUNDS = {
    "network": "network",
    "host": "slowest host",
    "order": "list's order",
    "measuring": "measuring",
}


def reasons_table(rows_out: Mapping[str, int], kept: str = "kept") -> Table:
    """Candidates by reason: the kept, by whatever name, then the rejected in the order of the stages that do it."""
    out = Table(title="candidates by what became of them", title_justify="left", title_style="bold")
    for column, justify in (
        ("", "left"),
        ("count", "right"),
        ("share", "right"),
        ("stage", "left"),
        ("meaning", "left"),
    ):
        out.add_column(column, justify=justify)  # type: ignore[arg-type]
    total = max(sum(rows_out.values()), 1)
    out.add_row(
        kept,
        str(rows_out.get("ok", 0)),
        f"{rows_out.get('ok', 0) / total:.1%}",
        "",
        "",
        style="green",
    )
    for reason in Reason:
        if count := rows_out.get(reason.value, 0):
            out.add_row(
                reason.value, str(count), f"{count / total:.1%}", reason.stage, reason.meaning
            )
    out.add_row("all", str(sum(rows_out.values())), "", "", "", style="bold")
    return out


def selection_tables(selection: Mapping[str, Any]) -> Iterator[RenderableType]:
    """How near the training split comes to its targets, and what the pool lacks for them."""
    shape, objective = selection["shape"], selection["objective"]
    rows = [
        (
            name,
            *(
                "" if shape[of].get(key) is None else f"{shape[of][key]:.3f}"
                for of in ("pool", "train", "target")
            ),
        )
        for name, key in (
            ("mean of log10", "mean"),
            ("deviation", "std"),
            ("skewness", "skewness"),
            ("excess kurtosis", "kurtosis"),
            ("Kolmogorov-Smirnov distance", "ks"),
            ("1-Wasserstein distance", "wasserstein"),
        )
    ]
    diversity = selection["diversity"]
    classes = len(selection["categories"])
    rows.append(
        (
            "diversity",
            f"{diversity['pool']:.3f}",
            f"{diversity['train']:.3f}",
            f"{log10(classes or 1):.3f}",
        )
    )
    out = table(
        f"balance of {selection['frequency_column']}", ("", "pool", "train", "target"), rows
    )
    for column in out.columns[1:]:
        column.justify = "right"
    yield out
    proof = (
        "proven to be the least"
        if not objective["gap"]
        else f"at least {objective['bound']:,} by its dual"
    )
    yield f"weighted distance of both marginals from what the pool allows: {objective['value']:,} images, {proof}"
    if lacking := selection["shopping"]["categories"]:
        yield _shopping_table(lacking, selection["frequency_column"])


def _shopping_table(lacking: Sequence[Mapping[str, Any]], column: str) -> Table:
    rows = [
        (row["category"], f"{row['train']:,}", f"{row['test']:,}", bands(row["bands"]),
         _needed(row, "searched"), _needed(row, "as_before"))
        for row in lacking
    ]  # fmt: skip
    title = "what the pool lacks, and the candidates that it takes"
    out = table(
        title,
        ("sub-category", "train", "test", f"most of {column}", "if searched for", "such as before"),
        rows,
    )
    for place in (1, 2, 4, 5):
        out.columns[place].justify = "right"
    return out


def _needed(row: Mapping[str, Any], how: str) -> str:
    """Candidates; more than these where some of what is lacking was never seen."""
    count = row[f"candidates_{how}"]
    if not row[f"unknown_{how}"]:
        return f"{count:,}"
    return f"over {count:,}" if count else "none seen"


def probe_summary(outcome: ProbeOutcome) -> Group:
    """What became of a sample, what its list would bring and cost, and what is wrong."""
    drawn = "all of them" if outcome.drawn == outcome.listed else "drawn by a seeded lot"
    lines: list[RenderableType] = [
        f"probed {outcome.drawn:,} of {outcome.listed:,} candidates, {drawn}",
        reasons_table(outcome.reasons, kept="passes"),
    ]
    if passed_over := [f"{count:,} {kind}" for kind, count in outcome.passed_over.items() if count]:
        lines.append(f"besides, of the list's lines: {', '.join(passed_over)}")
    if outcome.images:
        lines += _forecast(outcome)
    lines += [
        f"[yellow]{diagnosis.name}:[/] {escape(diagnosis.text)}." for diagnosis in outcome.diagnoses
    ]
    return Group(*lines)


def _forecast(outcome: ProbeOutcome) -> list[RenderableType]:
    """What the whole list would bring and cost, and what that leaves out."""
    lines: list[RenderableType] = [
        table("what the whole list would bring and cost", ("", "about", ""), _estimates(outcome)),
        _verdict(outcome.estimate),
        "Labels are not in it (CLIP was not loaded), nor what duplicates and the balance of the selection take away.",
    ]
    if outcome.not_judged:
        lines.append(
            f"The recipe's bounds on {', '.join(outcome.not_judged)} need labels: they were passed over."
        )
    return lines


def _estimates(outcome: ProbeOutcome) -> list[tuple[str, str, str]]:
    """Lines of the table of estimates: what, how much, in detail."""
    e = outcome.estimate
    sure = outcome.drawn == outcome.listed
    fetching = max(e.fetch_hours, e.host_hours, e.order_hours)
    host = f", {e.slowest_host} at the least {span(e.host_hours)}" if e.slowest_host else ""
    return [
        (
            "share that passes",
            f"{e.share.likely:.2%}",
            "" if sure else f"{e.share.low:.2%} to {e.share.high:.2%} (95 %)",
        ),
        (
            "images that pass",
            f"{e.images.likely:,.0f}",
            "" if sure else f"{e.images.low:,.0f} to {e.images.high:,.0f}",
        ),
        (
            "bytes read",
            size(e.bytes_read),
            "over the network, the heads of rejected files among them",
        ),
        (
            "bytes kept",
            size(e.bytes_kept),
            "on the disk, also of images that their measures reject later",
        ),
        ("time", span(e.hours), f"on this machine, bound by the {_BOUNDS[e.bound_by]}"),
        (
            "  fetching",
            span(fetching),
            f"at the sample's pace {span(e.fetch_hours)}{host}",
        ),
        ("  measuring", span(e.measure_hours), ""),
    ]


def _verdict(e: Estimate) -> str:
    """Whether the list is long enough for the recipe."""
    wanted = f"{e.wanted:,} images are wanted"
    if e.needed is None:
        return f"{wanted}, and none of the sample passes."
    candidates = f"about {e.needed.likely:,.0f} candidates at this share"
    if e.images.low >= e.wanted:
        return (
            f"{wanted}, and about {e.images.likely:,.0f} will pass: enough. They take {candidates}."
        )
    if e.images.likely >= e.wanted:
        return f"{wanted}, and about {e.images.likely:,.0f} will pass: just enough, if the sample is right."
    more = e.wanted / e.images.likely - 1
    lacking = f"{more:.0%} more" if more < 1 else f"{number(more + 1)} times as much"
    return f"{wanted}, and about {e.images.likely:,.0f} will pass: crawl {lacking}. They take {candidates}."


def statistics_table(title: str, statistics: Statistics) -> Table:
    """A dataset's row of the paper's Table 2, one line a number."""
    lines = {
        "images": (statistics.number, "{:,}"),
        "pixels, mean": (statistics.pixels, "{:,.0f}"),
        "bits per pixel, mean": (statistics.bpp, "{:.3f}"),
        "high-frequency ratio beyond 0.32, mean": (statistics.hf_ratio_032, "{:.4%}"),
        "high-frequency ratio beyond 0.5, mean": (statistics.hf_ratio, "{:.4%}"),
        "diversity over sub-categories": (statistics.diversity, "{:.3f}"),
        "entropy over broad classes, nats": (statistics.natural_diversity, "{:.3f}"),
    }
    return table(
        title,
        ("", ""),
        [(n, "-" if v is None else form.format(v)) for n, (v, form) in lines.items()],
    )


def surveys_table(headings: Sequence[str], rows: Iterable[Sequence[str]], legend: str) -> Table:
    """Datasets beside those of the paper, which are dimmed."""
    out = Table(box=box.SIMPLE_HEAD, caption=legend, caption_justify="left")
    for index, heading in enumerate(headings):
        out.add_column(heading, justify="right" if index else "left", overflow="fold")
    for row in rows:
        out.add_row(*row, style="dim" if row[0].endswith("(paper)") else None)
    return out


def score_table(scores: ScoreTable) -> Table:
    """Means over images, with their intervals below where there is room; what the paper has is dimmed."""
    from curate.restore.evaluation.formats import (  # torch: only where there are scores
        as_grid,
        interval_text,
        value_text,
    )

    grid = as_grid(scores)
    roomy = len(grid.across) <= 6
    notes = (
        scores.notes
        if roomy
        else (*scores.notes, "the intervals are in the other formats (--format)")
    )
    out = Table(
        title=scores.title, title_justify="left", title_style="bold", caption="; ".join(notes)
    )
    out.box, out.caption_justify = box.SIMPLE_HEAD, "left"
    out.padding = (0, 1) if roomy else (0, 0)
    for _ in grid.blocks[0][0]:
        out.add_column("", overflow="fold")
    out.add_column("", overflow="fold")
    above: tuple[str, ...] = ()
    for heading, metric in zip(grid.across, grid.metrics, strict=True):
        # what it shares with the column before isn't said again; a long name is broken before a number is cut
        same = next((i for i, (a, b) in enumerate(zip_longest(heading, above)) if a != b), 0)
        width = len("0.1234" if metric.startswith("ssim") else "12.34")
        out.add_column(
            "\n".join(["" if i < same else n for i, n in enumerate(heading)]),
            justify="right",
            overflow="fold",
        )
        out.columns[-1].min_width = width
        above = heading
    for key, rows in grid.blocks:
        shown = key
        for row, cells in rows:
            signed, paper = row.kind == "difference", row.kind == "paper"
            values = (
                f"{value_text(cell, metric, signed)}\n{interval_text(cell, metric, '..') if roomy else ''}".rstrip()
                for cell, metric in zip(cells, grid.metrics, strict=True)
            )
            label = escape(f"{row.label} (paper)" if paper else row.label)
            out.add_row(*map(escape, shown), label, *values, style="dim" if paper else None)
            shown = ("",) * len(key)
        out.add_section()
    return out


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A plain table; numbers stand to the right."""
    rows = [tuple(row) for row in rows]
    out = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        out.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        out.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    return out


def evaluation_tables(evaluation: LabelEvaluation) -> Iterator[Table | str]:
    """How good a labeller is: by category, by what is taken for what, and by how sure it is."""
    columns = ("", "category", "pictures", "recall", "precision", "F1", "mistaken for")
    rows = [
        (n, s.category, s.pictures, *map(_percent, (s.recall, s.precision, s.f1)), s.mistaken_for)
        for n, s in enumerate(evaluation.scores, 1)
    ]
    by_category = table(evaluation.model, columns, rows)
    for column in by_category.columns[3:6]:
        column.justify = "right"
    yield by_category
    confusion = Table(
        title="shown \\ taken for",
        title_justify="left",
        title_style="bold",
        padding=0,
        pad_edge=True,
    )
    for name in ("", *map(str, range(1, len(rows) + 1))):
        confusion.add_column(name, justify="right", min_width=3)
    for n, counts in enumerate(evaluation.confusion.tolist()):
        cells = [
            f"[bold]{count}[/]" if n == m else str(count or "·") for m, count in enumerate(counts)
        ]
        confusion.add_row(str(n + 1), *cells)
    yield confusion
    bins = [
        (f"{b.low:.2f} to {b.high:.2f}", b.pictures, f"{b.mean_score:.3f}", f"{b.right:.3f}")
        for b in evaluation.reliability
    ]
    yield table("how far scores can be trusted", ("score", "pictures", "mean score", "right"), bins)
    yield (
        f"{_percent(evaluation.top1)} of {len(evaluation.pictures)} pictures right, mean over categories "
        f"{_percent(evaluation.mean_recall)}; broad class right {_percent(evaluation.broad_top1)}"
    )
    yield f"expected calibration error {evaluation.calibration_error:.3f} ({BINS} bins)"
    if evaluation.failures:
        count = len(evaluation.failures)
        yield f"{count} file{'s' if count > 1 else ''} can't be looked at and count{'' if count > 1 else 's'} nowhere:"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
