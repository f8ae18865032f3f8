"""What is wrong with a list, a recipe or this machine, as a sample shows it: one sentence each, with its evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from math import ceil

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason
from curate.humanize import number, size, span
from curate.pipeline.probe.forecast import ENOUGH, Estimate, asked, images_seen
from curate.pipeline.probe.remedies import advise, advise_on_host
from curate.pipeline.sampling import Listing
from curate.recipe import Recipe

__all__ = ["Diagnosis", "Evidence", "diagnose"]

FEW_HOSTS = 3
"""Hosts below which it is they that fail, not this machine."""
LONG = 7 * 24
"""Hours from which a single host's pace is worth a word."""
TOLD_HOSTS = 3
"""Hosts that are told of by name."""

_SILENT = {Reason.DNS, Reason.CONNECT, Reason.TIMEOUT}
_REFUSALS = {Reason.HTTP_4XX, Reason.HTTP_429, Reason.ROBOTS, Reason.OPTED_OUT}
_DOWN = _SILENT | {Reason.HTTP_5XX}
_SMALL = {Reason.TOO_SMALL, Reason.SMALLER_THAN_CLAIMED}


@dataclass(frozen=True)
class Diagnosis:
    """One thing that is wrong, and what to do about it."""

    name: str
    """Which: stable, for programs."""
    text: str
    """A sentence, with the numbers that show it."""
    explains: frozenset[str] = frozenset()
    """Reasons whose candidates it accounts for."""


@dataclass(frozen=True)
class Evidence:
    """What diagnoses are made from."""

    recipe: Recipe
    rows: pa.Table
    """The sample, with the columns of PROBED."""
    listing: Listing
    """What is known of the whole list."""
    estimate: Estimate
    free: int | None
    """Bytes that the planned run folder's disk has room for; None where it is no disk."""
    clock: datetime
    """What time this machine thinks it is."""


def diagnose(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Everything that is wrong, what matters most first. Where no host answers, the sample tells nothing else."""
    if silence := [*_no_names(evidence)] or [*_no_network(evidence)]:
        return (*silence, *_no_contact(evidence))
    found = [diagnosis for look in _LOOKS for diagnosis in look(evidence)]
    found[:0] = _dominant_reason(evidence, _explained(found))
    if not len(images_seen(evidence.rows)):
        return (*_no_image(evidence, _explained(found)), *found)
    return (*found, *_too_few(evidence))


def _explained(found: list[Diagnosis]) -> set[str]:
    return {reason for diagnosis in found for reason in diagnosis.explains}


def _no_names(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    hosts, lost = set(remote["host"].to_pylist()), set(_of(remote, Reason.DNS)["host"].to_pylist())
    if len(hosts) >= FEW_HOSTS and len(lost) >= 0.8 * len(hosts):
        yield Diagnosis(
            "dns",
            f"{len(lost):,} of {len(hosts):,} host names did not resolve: this machine's name server does not answer, "
            f"or there is no network; try `getent hosts {min(lost)}`, and mend that before the run",
            frozenset({Reason.DNS}),
        )


def _no_network(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    hosts = set(remote["host"].to_pylist())
    if len(hosts) < FEW_HOSTS or remote["http_status"].null_count < len(remote):
        return
    if len(_of(remote, *_SILENT)) == len(remote):
        yield Diagnosis(
            "no_network",
            f"none of {len(remote):,} candidates on {len(hosts):,} hosts got an answer ({_told(remote)}): this "
            "machine reaches nobody; look at its network and firewall; proxies that the environment names are not used",
            frozenset(_SILENT),
        )


def _tls(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    broken = _of(remote, Reason.TLS)
    hosts = set(broken["host"].to_pylist())
    if len(hosts) >= FEW_HOSTS and len(broken) >= 0.5 * len(remote):
        detail = Counter(text for text in broken["detail"].to_pylist() if text).most_common(1)
        said = f", most often with: {detail[0][0]}" if detail else ""
        yield Diagnosis(
            "tls",
            f"certificates could not be verified for {len(broken):,} of {len(remote):,} candidates on {len(hosts):,} "
            f"hosts: see whether this machine's clock is right (it says {evidence.clock:%Y-%m-%d %H:%M %Z}), whether "
            f"its root certificates are up to date, and whether a proxy stands in between{said}",
            frozenset({Reason.TLS}),
        )


def _lost_hosts(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    by_host = remote["host"].drop_null().value_counts().to_pylist()
    large = [host for host in by_host if host["counts"] >= max(ENOUGH, 0.02 * len(evidence.rows))]
    told = 0
    for host in sorted(large, key=lambda host: (-host["counts"], host["values"])):
        rows = remote.filter(pc.equal(remote["host"], host["values"]))
        for name, does, reasons in (
            ("host_refuses", "refuses", _REFUSALS),
            ("host_down", "gives no answer to", _DOWN),
        ):
            lost = _of(rows, *reasons)
            if len(lost) < 0.9 * len(rows) or told == TOLD_HOSTS:
                continue
            told += 1
            most = Counter(lost["reason"].to_pylist()).most_common(1)[0][0]
            listed = evidence.listing.hosts.get(host["values"], 0) / evidence.listing.candidates
            yield Diagnosis(
                name,
                f"{host['values']} {does} {len(lost):,} of the sample's {len(rows):,} ({_told(lost)}), and has "
                f"{_share(listed)} of the list: {advise_on_host(most)}",
                frozenset({most} if len(lost) >= 0.5 * len(_of(remote, *reasons)) else ()),
            )


def _web_pages(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    answers = remote.filter(pc.fill_null(pc.and_(*_within(remote["http_status"], 200, 299)), False))
    pages = _of(answers, Reason.NOT_IMAGE)
    said = pc.match_substring_regex(pages["content_type"], "(?i)^text/html|xhtml")
    seen = pc.match_substring_regex(
        pages["detail"], r"""^begins with b['"](\\[nrt]| )*<"""
    )  # whatever is said
    pages = pages.filter(pc.or_(pc.fill_null(said, False), pc.fill_null(seen, False)))
    if len(answers) >= ENOUGH and len(pages) >= 0.5 * len(answers):
        yield Diagnosis(
            "web_pages",
            f"{len(pages):,} of {len(answers):,} answers are web pages: the images are gone and the hosts send landing "
            "pages, or the list names the pages that images stand on; look at some of its URLs in a browser",
            frozenset({Reason.NOT_IMAGE}),
        )


def _thumbnails(evidence: Evidence) -> Iterator[Diagnosis]:
    images = images_seen(evidence.rows)
    small, shrunken = _of(images, *_SMALL), _of(images, Reason.SMALLER_THAN_CLAIMED)
    if len(images) >= ENOUGH and (
        len(small) >= 0.8 * len(images) or len(shrunken) >= 0.5 * len(images)
    ):
        claimed = (
            f", {len(shrunken):,} of them not half of what the list claims" if len(shrunken) else ""
        )
        yield Diagnosis(
            "thumbnails",
            f"{len(small):,} of {len(images):,} images are too small{claimed}: the list points at previews; look for "
            "the URLs of the originals, or for a newer list",
            frozenset(_SMALL),
        )


def _no_contact(evidence: Evidence) -> Iterator[Diagnosis]:
    agent = evidence.recipe.fetch.user_agent
    if evidence.listing.hosts and not any(mark in agent for mark in ("@", "://", "www.")):
        yield Diagnosis(
            "no_contact",
            f"the user agent {agent!r} (fetch.user_agent) names no way to reach you: put an address or a page into it, "
            "and site owners can write to you instead of shutting you out",
        )


def _slow_host(evidence: Evidence) -> Iterator[Diagnosis]:
    estimate, host, fetch = evidence.estimate, evidence.estimate.slowest_host, evidence.recipe.fetch
    if host is None or estimate.host_hours < max(LONG, estimate.fetch_hours):
        return
    setting = "fetch.per_host_rate" if fetch.per_host_rate else "fetch.per_host"
    limit = f"{setting} of {fetch.per_host_rate or fetch.per_host:g}"
    count = evidence.listing.hosts[host]
    yield Diagnosis(
        "slow_host",
        f"{host} alone takes {span(estimate.host_hours)}, whatever the machine: {count:,} of the list's URLs "
        f"are on it, and {limit} holds; thin it out, or ask its owner for more",
    )


def _sorted_list(evidence: Evidence) -> Iterator[Diagnosis]:
    estimate, listing = evidence.estimate, evidence.listing
    better = max(estimate.fetch_hours, estimate.host_hours)
    if estimate.order_hours > max(1, 2 * better):
        yield Diagnosis(
            "sorted_list",
            f"the list is sorted by host: {_share(listing.crowd / listing.candidates)} of its candidates are on the "
            f"host that has most of their shard, which keeps a run waiting for {span(estimate.order_hours)} where "
            f"{span(better)} would do; shuffle it, as with `shuf`",
        )


def _one_host(evidence: Evidence) -> Iterator[Diagnosis]:
    hosts, candidates = evidence.listing.hosts, evidence.listing.candidates
    if not hosts or candidates < 10 * ENOUGH:
        return
    host = max(hosts, key=lambda name: hosts[name])
    if hosts[host] >= 0.5 * candidates:
        yield Diagnosis(
            "one_host",
            f"{hosts[host]:,} of all {candidates:,} candidates ({_share(hosts[host] / candidates)}) are on {host}; "
            "a run goes at that host's pace, and the dataset shows what it shows; mix in other sources",
        )


def _no_room(evidence: Evidence) -> Iterator[Diagnosis]:
    if evidence.free is not None and evidence.estimate.bytes_kept > evidence.free:
        yield Diagnosis(
            "disk",
            f"the run would keep about {size(evidence.estimate.bytes_kept)}, and its disk has {size(evidence.free)} "
            "free: name a larger one with --out, or shorten the list",
        )


_LOOKS: tuple[Callable[[Evidence], Iterator[Diagnosis]], ...] = (
    _tls, _lost_hosts, _web_pages, _thumbnails, _no_room, _slow_host, _sorted_list, _one_host, _no_contact,
)  # fmt: skip


def _dominant_reason(evidence: Evidence, explained: set[str]) -> Iterator[Diagnosis]:
    counts = Counter(evidence.rows["reason"].drop_null().to_pylist())
    for name, count in counts.most_common(1):
        reason = next(reason for reason in Reason if reason == name)
        much = 0.8 if reason.stage == "filter" else 0.5  # to reject is what filters are for
        if name in explained or len(evidence.rows) < ENOUGH or count < much * len(evidence.rows):
            continue
        yield Diagnosis(
            "dominant_reason",
            f"{name} takes {count:,} of {len(evidence.rows):,} candidates ({_share(count / len(evidence.rows))}; "
            f"{reason.meaning}): {advise(reason, evidence.recipe.filters)}",
            frozenset({name}),
        )


def _no_image(evidence: Evidence, explained: set[str]) -> Iterator[Diagnosis]:
    """A word where nothing could be reached and no other sentence says why."""
    reasons = set(evidence.rows["reason"].to_pylist())
    if not explained & reasons:
        yield Diagnosis(
            "no_image",
            f"no image could be reached: of {len(evidence.rows):,} candidates {_told(evidence.rows)}; look at some of "
            "the URLs in a browser",
            frozenset(reasons),
        )


def _too_few(evidence: Evidence) -> Iterator[Diagnosis]:
    drawn, share = len(evidence.rows), evidence.estimate.share
    kept = evidence.rows["reason"].null_count
    if drawn >= evidence.listing.candidates or share.high - share.low <= share.likely:
        return
    more = min(evidence.listing.candidates, ceil(drawn * 60 / max(kept, 1) / 100) * 100)
    yield Diagnosis(
        "too_few",
        f"only {kept:,} of {drawn:,} pass, which may mean {_share(share.low)} of the list or {_share(share.high)}: "
        f"draw more, with --sample {more}",
    )


def _of(rows: pa.Table, *reasons: Reason) -> pa.Table:
    return rows.filter(pc.is_in(rows["reason"], pa.array([reason.value for reason in reasons])))


def _within(
    column: pa.ChunkedArray, low: int, high: int
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    return pc.greater_equal(column, low), pc.less_equal(column, high)


def _told(rows: pa.Table) -> str:
    """Reasons with their counts, the most frequent first."""
    counts = Counter(rows["reason"].drop_null().to_pylist())
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())


def _share(value: float) -> str:
    return f"{number(100 * value)} %"
