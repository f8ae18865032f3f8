"""Tables of link rot for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from curate.errors import Reason
from curate.humanize import counted
from curate.pipeline.link_rot import RADIUS, State
from curate.pipeline.probe.remedies import advise
from curate.recipe import Filters

if TYPE_CHECKING:
    from curate.pipeline.link_rot import LinkRot, Place
    from curate.pipeline.sampling import Range

__all__ = ["link_rot_tables"]

_UNKNOWN = (State.UNCHECKED, State.UNREACHABLE)
_MEANINGS = {state.value: state.meaning for state in State}


def link_rot_tables(found: LinkRot) -> Iterator[Table | str]:
    """Yield states with their reasons, the worst hosts and licences, and the dataset's losses."""
    of_all = found.asked == found.listed
    yield _states(found, of_all)
    for title, places in (("hosts", found.hosts), ("licences", found.licences)):
        if places:
            yield _places(f"{title} that have lost most", places, of_all)
    yield _losses(found, of_all)
    states = {share.state for share in found.states}
    if State.UNPROVEN in states:
        yield "where no SHA-256 was published, whether an image is the same can't be told"
    if not found.pictures_known and State.CHANGED in states:
        yield "the list has hashes of bytes alone: a re-encoded copy counts as changed"
    if State.UNREACHABLE in states:
        yield "what was unreachable may be there at another time, and doesn't count as lost"
    unchecked = [share.reasons for share in found.states if share.state == State.UNCHECKED]
    for reason in Reason:
        if any(reason in reasons for reasons in unchecked):
            yield f"{reason}: {advise(reason, Filters())}"


def _losses(found: LinkRot, of_all: bool) -> str:
    """Return the share of the dataset that is lost, as far as it could be checked."""
    if not any(share.state not in _UNKNOWN for share in found.states):
        asked = counted(found.asked, "image")
        return f"whether anything is lost can't be told: none of {asked} could be checked"
    which = "the dataset" if found.checked == found.asked else "what could be checked"
    lost = found.lost_images
    count = f"{lost.likely:,.0f} of {counted(found.listed, 'image')}"
    if not of_all:
        count = f"about {count}, between {lost.low:,.0f} and {lost.high:,.0f} (95 %)"
    return f"{found.lost.likely:.1%} of {which} is lost, gone or changed: {count}"


def _states(found: LinkRot, of_all: bool) -> Table:
    sample = "" if of_all else f", by {found.asked:,} of them"
    out = _table(f"what has become of {counted(found.listed, 'image')}{sample}")
    for column in ("", "images", "share", *(() if of_all else ("95 %", "of the dataset"))):
        out.add_column(column, justify="right" if column else "left")
    out.add_column("")
    for share in found.states:
        sampled: tuple[str, ...] = ()
        if not of_all:
            sampled = (_interval(share.share), f"{share.of_all.likely:,.0f}")
        meaning = _MEANINGS[share.state]
        if share.state == State.RECODED:
            meaning += f" (hashes within {RADIUS} bits of 64)"
        cells = (share.state, f"{share.images:,}", f"{share.share.likely:.1%}", *sampled, meaning)
        out.add_row(*cells, style="green" if share.state == State.SAME else None)
        for reason, count in share.reasons.items():
            out.add_row(f"  {reason}", f"{count:,}", "", *("" for _ in sampled), style="dim")
    return out


def _places(title: str, places: Sequence[Place], of_all: bool) -> Table:
    out = _table(title)
    for column in ("", "asked for", "lost", "share", *(() if of_all else ("95 %",))):
        out.add_column(column, justify="right" if column else "left", overflow="fold")
    for place in places:
        sampled = () if of_all else (_interval(place.share),)
        share = f"{place.share.likely:.1%}"
        out.add_row(escape(place.name), f"{place.images:,}", f"{place.lost:,}", share, *sampled)
    return out


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold")


def _interval(share: Range) -> str:
    return f"{share.low:.1%} to {share.high:.1%}"
