"""What has become of a dataset, as it looks on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from curate.pipeline.link_rot import RADIUS, State

if TYPE_CHECKING:
    from curate.pipeline.link_rot import Place, Rot

__all__ = ["rot_tables"]

_MEANINGS = {state.value: state.meaning for state in State}


def rot_tables(rot: Rot) -> Iterator[Table | str]:
    """States with their reasons, the worst hosts and licences, and what the whole dataset has lost."""
    of_all = rot.asked == rot.listed
    yield _states(rot, of_all)
    for title, places in (("hosts", rot.hosts), ("licences", rot.licences)):
        if places:
            yield _places(f"{title} that have lost most", places, of_all)
    lost = f"{rot.lost.likely:.1%} of the dataset is lost, gone or changed: "
    if of_all:
        yield f"{lost}{rot.lost_images.likely:,.0f} of {rot.listed:,} images"
    else:
        yield (
            f"{lost}about {rot.lost_images.likely:,.0f} of {rot.listed:,} images, between {rot.lost_images.low:,.0f} "
            f"and {rot.lost_images.high:,.0f} (95 %)"
        )
    states = {share.state for share in rot.states}
    if State.UNPROVEN in states:
        yield "where no SHA-256 was published, whether an image is the same can't be told"
    if not rot.pictures_known and State.CHANGED in states:
        yield "the list has hashes of bytes alone: a copy that was only encoded anew counts as changed"
    if State.UNREACHABLE in states:
        yield "what was unreachable may be there at another time, and doesn't count as lost"


def _states(rot: Rot, of_all: bool) -> Table:
    out = _table(
        f"what has become of {rot.listed:,} images"
        + ("" if of_all else f", by {rot.asked:,} of them")
    )
    for column in ("", "images", "share", *(() if of_all else ("95 %", "of the dataset"))):
        out.add_column(column, justify="right" if column else "left")
    out.add_column("")
    for share in rot.states:
        sampled = (
            ()
            if of_all
            else (_interval(share.share.low, share.share.high), f"{share.of_all.likely:,.0f}")
        )
        meaning = _MEANINGS[share.state]
        if share.state == State.RECODED:
            meaning += f" (hashes within {RADIUS} bits of 64)"
        style = "green" if share.state == State.SAME else None
        out.add_row(
            share.state,
            f"{share.images:,}",
            f"{share.share.likely:.1%}",
            *sampled,
            meaning,
            style=style,
        )
        for reason, count in share.reasons.items():
            out.add_row(f"  {reason}", f"{count:,}", "", *("" for _ in sampled), style="dim")
    return out


def _places(title: str, places: Sequence[Place], of_all: bool) -> Table:
    out = _table(title)
    for column in ("", "asked for", "lost", "share", *(() if of_all else ("95 %",))):
        out.add_column(column, justify="right" if column else "left", overflow="fold")
    for place in places:
        sampled = () if of_all else (_interval(place.share.low, place.share.high),)
        share = f"{place.share.likely:.1%}"
        out.add_row(escape(place.name), f"{place.images:,}", f"{place.lost:,}", share, *sampled)
    return out


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold")


def _interval(low: float, high: float) -> str:
    return f"{low:.1%} to {high:.1%}"
