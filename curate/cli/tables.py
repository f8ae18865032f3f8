"""Results as tables on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from curate.cli.options import new_console
from curate.errors import Reason
from curate.humanize import counted, number, size, span
from curate.manifest.statistics import Statistics
from curate.stages.label.evaluation import BINS, LabelEvaluation
from curate.storage import atomic
from curate.storage.text_table import TextTable

if TYPE_CHECKING:
    from curate.pipeline.probe import Estimate, ProbeOutcome

__all__ = [
    "evaluation_tables",
    "print_tables",
    "probe_summary",
    "reasons_table",
    "show",
    "statistics_table",
    "table",
    "terminal_table",
    "write_text",
]

_BOUNDS = {
    "network": "network",
    "host": "slowest host",
    "order": "list's order",
    "measuring": "measuring",
}


def reasons_table(rows_out: Mapping[str, int], kept: str = "kept") -> Table:
    """Return candidates by reason: the kept ones, then the rejected in the order of the stages.

    Args:
        rows_out: reason, or `ok`, -> number of candidates.
        kept: name of the kept ones.
    """
    out = Table(title="candidates by what became of them", title_justify="left", title_style="bold")
    for column in ("", "count", "share", "stage", "meaning"):
        out.add_column(column, justify="right" if column in ("count", "share") else "left")
    total, ok = sum(rows_out.values()), rows_out.get("ok", 0)
    out.add_row(kept, str(ok), f"{ok / max(total, 1):.1%}", "", "", style="green")
    for reason in Reason:
        if count := rows_out.get(reason.value, 0):
            share = f"{count / total:.1%}"
            out.add_row(reason.value, str(count), share, reason.stage, reason.meaning)
    out.add_row("all", str(total), "", "", "", style="bold")
    return out


def probe_summary(outcome: ProbeOutcome) -> Group:
    """Return a sample's outcome, the yield and cost of its list, and the faults found."""
    drawn = "all of them" if outcome.drawn == outcome.listed else "drawn at random"
    lines: list[RenderableType] = [
        f"probed {outcome.drawn:,} of {counted(outcome.listed, 'candidate')}, {drawn}",
        reasons_table(outcome.reasons, kept="passes"),
    ]
    if passed_over := [f"{count:,} {kind}" for kind, count in outcome.passed_over.items() if count]:
        lines.append(f"skipped, of the list's lines: {', '.join(passed_over)}")
    if outcome.images:
        lines += _forecast(outcome)
    for diagnosis in outcome.diagnoses:
        lines.append(f"[yellow]{diagnosis.name}:[/] {escape(diagnosis.text)}.")
    return Group(*lines)


def _forecast(outcome: ProbeOutcome) -> Iterator[RenderableType]:
    """Yield what the whole list would bring and cost, and what the forecast leaves out."""
    yield table("what the whole list would bring and cost", ("", "about", ""), _estimates(outcome))
    yield _verdict(outcome.estimate)
    yield (
        "Labels are not in it (CLIP was not loaded), nor what duplicates and the balance of the "
        "selection take away."
    )
    if outcome.not_judged:
        columns = ", ".join(outcome.not_judged)
        yield f"The recipe's bounds on {columns} need labels: they were passed over."


def _estimates(outcome: ProbeOutcome) -> list[tuple[str, str, str]]:
    """Return the lines of the table of estimates: quantity, value, details."""
    e = outcome.estimate
    within_share = f"{e.share.low:.2%} to {e.share.high:.2%} (95 %)"
    within_images = f"{e.images.low:,.0f} to {e.images.high:,.0f}"
    if outcome.drawn == outcome.listed:
        within_share = within_images = ""
    fetching = span(max(e.fetch_hours, e.host_hours, e.order_hours))
    host = f", {e.slowest_host} at the least {span(e.host_hours)}" if e.slowest_host else ""
    read, kept = size(e.bytes_read), size(e.bytes_kept)
    return [
        ("share that passes", f"{e.share.likely:.2%}", within_share),
        ("images that pass", f"{e.images.likely:,.0f}", within_images),
        ("bytes read", read, "over the network, the heads of rejected files among them"),
        ("bytes kept", kept, "on the disk, also of images that their measures reject later"),
        ("time", span(e.hours), f"on this machine, bound by the {_BOUNDS[e.bound_by]}"),
        ("  fetching", fetching, f"at the sample's pace {span(e.fetch_hours)}{host}"),
        ("  measuring", span(e.measure_hours), ""),
    ]


def _verdict(e: Estimate) -> str:
    """Return whether the list is long enough for the recipe."""
    are = "is" if e.wanted == 1 else "are"
    wanted = f"{counted(e.wanted, 'image')} {are} wanted, and "
    if e.needed is None:
        return f"{wanted}none of the sample passes."
    will_pass = f"{wanted}about {e.images.likely:,.0f} will pass"
    they_take = f"They take about {e.needed.likely:,.0f} candidates at this share."
    if e.images.low >= e.wanted:
        return f"{will_pass}: enough. {they_take}"
    if e.images.likely >= e.wanted:
        return f"{will_pass}: just enough, if the sample is right."
    more = e.wanted / e.images.likely - 1
    lacking = f"{more:.0%} more" if more < 1 else f"{number(more + 1)} times as much"
    return f"{will_pass}: crawl {lacking}. {they_take}"


def statistics_table(title: str, statistics: Statistics) -> Table:
    """Return a dataset's row of the paper's Table 2, one line a number."""
    lines = {
        "images": (statistics.number, "{:,}"),
        "pixels, mean": (statistics.pixels, "{:,.0f}"),
        "bits per pixel, mean": (statistics.bpp, "{:.3f}"),
        "high-frequency ratio beyond 0.32, mean": (statistics.hf_ratio_032, "{:.4%}"),
        "high-frequency ratio beyond 0.5, mean": (statistics.hf_ratio, "{:.4%}"),
        "diversity over sub-categories": (statistics.diversity, "{:.3f}"),
        "entropy over broad classes, nats": (statistics.natural_diversity, "{:.3f}"),
    }
    rows = []
    for name, (value, form) in lines.items():
        rows.append((name, "-" if value is None else form.format(value)))
    return table(title, ("", ""), rows)


def show(table: TextTable, form: str, out: str | None = None) -> None:
    """Print a table on the terminal, or print or write its text in one of `FORMATS`."""
    if form == "table":
        print_tables(table)
    else:
        write_text(table.to_text(form), out)


def write_text(text: str, out: str | None) -> None:
    """Print a text, or write it to a file and print the file's name."""
    if out is None:
        print(text, end="")
    else:
        atomic.write(out, text.encode())
        print(out)


def print_tables(*tables: TextTable) -> None:
    """Print tables on the terminal; one that is too wide gets no space between its columns."""
    console = new_console()
    unbounded = console.options.update(width=1000)
    for drawn in map(terminal_table, tables):
        if Measurement.get(console, unbounded, drawn).maximum > console.width:
            drawn.padding = (0, 0)
        console.print(drawn)


def terminal_table(table: TextTable) -> Table:
    """Draw a table; rows of the paper are dimmed.

    The first columns that are aligned left hold labels. All labels but the last name a block of
    rows: they are shown once, and a block ends with a blank line.
    """
    out = Table(box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
    out.title = Text(table.title, "bold") if table.title else None
    out.caption = Text(table.legend) if table.legend else None
    lines = list(map(table.cells, table.rows))
    for i, column in enumerate(table.columns):
        out.add_column(Text(column.heading), overflow="fold")
        if not column.left:  # a long name is folded before a number is
            widths = [len(line[i].partition("\n")[0]) for line in lines]
            out.columns[i].justify, out.columns[i].min_width = "right", max(widths, default=0)
    last = next((i for i, column in enumerate(table.columns) if not column.left), 1) - 1
    for block, rows in groupby(lines, key=lambda line: line[:last]):
        shown = block
        for row in rows:
            style = "dim" if row[last].endswith("(paper)") else None
            out.add_row(*map(Text, [*shown, *row[last:]]), style=style)
            shown = [""] * last
        out.add_section()
    return out


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Collection[int] = (),
) -> Table:
    """Return a plain table.

    Args:
        title: above the table.
        columns: their headings.
        rows: a value for each column.
        right: columns that are aligned right, as columns of numbers always are.
    """
    rows = [tuple(row) for row in rows]
    out = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        out.add_column(column, justify="right" if numeric or index in right else "left")
    for row in rows:
        out.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    return out


def evaluation_tables(evaluation: LabelEvaluation) -> Iterator[Table | str]:
    """Yield the quality of a labeller: by category, its confusion matrix, and its calibration."""
    columns = ("", "category", "pictures", "recall", "precision", "F1", "mistaken for")
    rows: list[tuple[object, ...]] = []
    for n, s in enumerate(evaluation.scores, 1):
        shares = map(_percent, (s.recall, s.precision, s.f1))
        rows.append((n, s.category, s.pictures, *shares, s.mistaken_for))
    yield table(evaluation.model, columns, rows, right=(3, 4, 5))
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
        # zeros are dots, and the diagonal is bold
        cells = [str(count or "·") for count in counts]
        cells[n] = f"[bold]{counts[n]}[/]"
        confusion.add_row(str(n + 1), *cells)
    yield confusion
    bins = []
    for b in evaluation.reliability:
        within = f"{b.low:.2f} to {b.high:.2f}"
        bins.append((within, b.pictures, f"{b.mean_score:.3f}", f"{b.right:.3f}"))
    yield table("how far scores can be trusted", ("score", "pictures", "mean score", "right"), bins)
    pictures = counted(len(evaluation.pictures), "picture")
    yield (
        f"{_percent(evaluation.top1)} of {pictures} right, mean over categories "
        f"{_percent(evaluation.mean_recall)}; broad class right "
        f"{_percent(evaluation.broad_top1)}"
    )
    yield f"expected calibration error {evaluation.calibration_error:.3f} ({BINS} bins)"
    if evaluation.failures:
        one = len(evaluation.failures) == 1
        files = (
            "1 file can't be looked at and counts"
            if one
            else (f"{len(evaluation.failures)} files can't be looked at and count")
        )
        yield f"{files} nowhere:"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
