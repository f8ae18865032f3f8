"""Diagnoses of a list, a recipe or this machine from a sample: a sentence each, with evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
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
"""Fewest failing hosts that point at this machine, not at the hosts."""
LONG = 7 * 24
"""Hours from which a single host's pace is reported."""
NAMED_HOSTS = 3
"""Most hosts that are named."""

_SILENT = {Reason.DNS, Reason.CONNECT, Reason.TIMEOUT}
_REFUSALS = {Reason.HTTP_4XX, Reason.HTTP_429, Reason.ROBOTS, Reason.OPTED_OUT}
_DOWN = _SILENT | {Reason.HTTP_5XX}
_HOST_TROUBLES = (
    ("host_refuses", "refuses", _REFUSALS),
    ("host_down", "gives no answer to", _DOWN),
    ("host_malformed", "gives no proper answer to", {Reason.BAD_RESPONSE}),
)
_SMALL = {Reason.TOO_SMALL, Reason.SMALLER_THAN_CLAIMED}


@dataclass(frozen=True)
class Diagnosis:
    """One trouble and its remedy."""

    name: str
    """Stable name, for programs."""
    text: str
    """Sentence with the numbers that show it."""
    explains: frozenset[str] = frozenset()
    """Reasons that it explains."""


@dataclass(frozen=True)
class Evidence:
    """Evidence for diagnoses."""

    recipe: Recipe
    rows: pa.Table
    """Sample, with the columns of PROBED."""
    listing: Listing
    """Facts about the whole list."""
    estimate: Estimate
    free: int | None
    """Free bytes on the disk of the planned run folder; None if it is on no disk."""
    clock: datetime
    """Time of this machine's clock."""


def diagnose(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return all diagnoses, most important first; if no host answers, only that one counts."""
    if silence := [*_no_names(evidence)] or [*_no_network(evidence)]:
        return (*silence, *_no_contact(evidence))
    found = list(chain.from_iterable(check(evidence) for check in _CHECKS))
    found[:0] = _dominant_reason(evidence, _explained(found))
    if not len(images_seen(evidence.rows)):
        return (*_no_image(evidence, _explained(found)), *found)
    return (*found, *_too_few(evidence))


def _explained(found: list[Diagnosis]) -> set[str]:
    return {reason for diagnosis in found for reason in diagnosis.explains}


def _no_names(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    hosts = set(remote["host"].to_pylist())
    lost = set(_with_reason(remote, Reason.DNS)["host"].to_pylist())
    if len(hosts) >= FEW_HOSTS and len(lost) >= 0.8 * len(hosts):
        yield Diagnosis(
            "dns",
            f"{len(lost):,} of {len(hosts):,} host names did not resolve: this machine's name "
            "server does not answer, or there is no network; try "
            f"`getent hosts {min(lost)}`, and mend that before the run",
            frozenset({Reason.DNS}),
        )


def _no_network(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    hosts = set(remote["host"].to_pylist())
    if len(hosts) < FEW_HOSTS or remote["http_status"].null_count < len(remote):
        return
    if len(_with_reason(remote, *_SILENT)) == len(remote):
        yield Diagnosis(
            "no_network",
            f"none of {len(remote):,} candidates on {len(hosts):,} hosts got an answer "
            f"({_reasons(remote)}): this machine reaches nobody; look at its network and firewall; "
            "proxies that the environment names are not used",
            frozenset(_SILENT),
        )


def _tls(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    broken = _with_reason(remote, Reason.TLS)
    hosts = set(broken["host"].to_pylist())
    if len(hosts) >= FEW_HOSTS and len(broken) >= 0.5 * len(remote):
        detail = Counter(text for text in broken["detail"].to_pylist() if text).most_common(1)
        said = f", most often with: {detail[0][0]}" if detail else ""
        yield Diagnosis(
            "tls",
            f"certificates could not be verified for {len(broken):,} of {len(remote):,} candidates "
            f"on {len(hosts):,} hosts: see whether this machine's clock is right (it says "
            f"{evidence.clock:%Y-%m-%d %H:%M %Z}), whether its root certificates are up to date, "
            f"and whether a proxy stands in between{said}",
            frozenset({Reason.TLS}),
        )


def _lost_hosts(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    by_host = remote["host"].drop_null().value_counts().to_pylist()
    large = [host for host in by_host if host["counts"] >= max(ENOUGH, 0.02 * len(evidence.rows))]
    named = 0
    for host in sorted(large, key=lambda host: (-host["counts"], host["values"])):
        rows = remote.filter(pc.equal(remote["host"], host["values"]))
        for name, does, reasons in _HOST_TROUBLES:
            lost = _with_reason(rows, *reasons)
            if len(lost) < 0.9 * len(rows) or named == NAMED_HOSTS:
                continue
            named += 1
            most = Counter(lost["reason"].to_pylist()).most_common(1)[0][0]
            listed = evidence.listing.hosts.get(host["values"], 0) / evidence.listing.candidates
            yield Diagnosis(
                name,
                f"{host['values']} {does} {len(lost):,} of the sample's {len(rows):,} "
                f"({_reasons(lost)}), and has {_share(listed)} of the list: {advise_on_host(most)}",
                frozenset({most} if len(lost) >= 0.5 * len(_with_reason(remote, *reasons)) else ()),
            )


def _web_pages(evidence: Evidence) -> Iterator[Diagnosis]:
    remote = asked(evidence.rows)
    answers = remote.filter(pc.fill_null(pc.equal(pc.divide(remote["http_status"], 100), 2), False))
    pages = _with_reason(answers, Reason.NOT_IMAGE)
    # by the declared type, or by the first bytes whatever is declared
    said = pc.match_substring_regex(pages["content_type"], "(?i)^text/html|xhtml")
    seen = pc.match_substring_regex(pages["detail"], r"""^begins with b['"](\\[nrt]| )*<""")
    pages = pages.filter(pc.or_(pc.fill_null(said, False), pc.fill_null(seen, False)))
    if len(answers) >= ENOUGH and len(pages) >= 0.5 * len(answers):
        yield Diagnosis(
            "web_pages",
            f"{len(pages):,} of {len(answers):,} answers are web pages: the images are gone and "
            "the hosts send landing pages, or the list names the pages that images stand on; look "
            "at some of its URLs in a browser",
            frozenset({Reason.NOT_IMAGE}),
        )


def _thumbnails(evidence: Evidence) -> Iterator[Diagnosis]:
    images = images_seen(evidence.rows)
    small, shrunken = (
        _with_reason(images, *_SMALL),
        _with_reason(images, Reason.SMALLER_THAN_CLAIMED),
    )
    many = len(small) >= 0.8 * len(images) or len(shrunken) >= 0.5 * len(images)
    if len(images) >= ENOUGH and many:
        claimed = (
            f", {len(shrunken):,} of them not half of what the list claims" if shrunken else ""
        )
        yield Diagnosis(
            "thumbnails",
            f"{len(small):,} of {len(images):,} images are too small{claimed}: the list points at "
            "previews; look for the URLs of the originals, or for a newer list",
            frozenset(_SMALL),
        )


def _no_contact(evidence: Evidence) -> Iterator[Diagnosis]:
    agent = evidence.recipe.fetch.user_agent
    if evidence.listing.hosts and not any(mark in agent for mark in ("@", "://", "www.")):
        yield Diagnosis(
            "no_contact",
            f"the user agent {agent!r} (fetch.user_agent) names no way to reach you: put an "
            "address or a page into it, and site owners can write to you instead of shutting you "
            "out",
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
        f"{host} alone takes {span(estimate.host_hours)}, whatever the machine: {count:,} of the "
        f"list's URLs are on it, and {limit} holds; thin it out, or ask its owner for more",
    )


def _sorted_list(evidence: Evidence) -> Iterator[Diagnosis]:
    estimate, listing = evidence.estimate, evidence.listing
    better = max(estimate.fetch_hours, estimate.host_hours)
    if estimate.order_hours > max(1, 2 * better):
        yield Diagnosis(
            "sorted_list",
            f"the list is sorted by host: {_share(listing.crowd / listing.candidates)} of its "
            "candidates are on the host that has most of their shard, which keeps a run waiting "
            f"for {span(estimate.order_hours)} where {span(better)} would do; shuffle it, as with "
            "`shuf`",
        )


def _one_host(evidence: Evidence) -> Iterator[Diagnosis]:
    hosts, candidates = evidence.listing.hosts, evidence.listing.candidates
    if not hosts or candidates < 10 * ENOUGH:
        return
    host = max(hosts, key=lambda name: hosts[name])
    if hosts[host] >= 0.5 * candidates:
        yield Diagnosis(
            "one_host",
            f"{hosts[host]:,} of all {candidates:,} candidates "
            f"({_share(hosts[host] / candidates)}) are on {host}; a run goes at that host's pace, "
            "and the dataset shows what it shows; mix in other sources",
        )


def _no_room(evidence: Evidence) -> Iterator[Diagnosis]:
    if evidence.free is not None and evidence.estimate.bytes_kept > evidence.free:
        yield Diagnosis(
            "disk",
            f"the run would keep about {size(evidence.estimate.bytes_kept)}, and its disk has "
            f"{size(evidence.free)} free: name a larger one with --out, or shorten the list",
        )


_CHECKS: tuple[Callable[[Evidence], Iterator[Diagnosis]], ...] = (
    _tls, _lost_hosts, _web_pages, _thumbnails, _no_room, _slow_host, _sorted_list, _one_host,
    _no_contact,
)  # fmt: skip


def _dominant_reason(evidence: Evidence, explained: set[str]) -> Iterator[Diagnosis]:
    counts = Counter(evidence.rows["reason"].drop_null().to_pylist())
    for name, count in counts.most_common(1):
        reason = next(reason for reason in Reason if reason == name)
        much = 0.8 if reason.stage == "filter" else 0.5  # filters are meant to reject
        if name in explained or len(evidence.rows) < ENOUGH or count < much * len(evidence.rows):
            continue
        yield Diagnosis(
            "dominant_reason",
            f"{name} takes {count:,} of {len(evidence.rows):,} candidates "
            f"({_share(count / len(evidence.rows))}; {reason.meaning}): "
            f"{advise(reason, evidence.recipe.filters)}",
            frozenset({name}),
        )


def _no_image(evidence: Evidence, explained: set[str]) -> Iterator[Diagnosis]:
    """Report that nothing could be reached, if no other diagnosis explains it."""
    reasons = set(evidence.rows["reason"].to_pylist())
    if not explained & reasons:
        yield Diagnosis(
            "no_image",
            f"no image could be reached: of {len(evidence.rows):,} candidates "
            f"{_reasons(evidence.rows)}; look at some of the URLs in a browser",
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
        f"only {kept:,} of {drawn:,} pass, which may mean {_share(share.low)} of the list or "
        f"{_share(share.high)}: draw more, with --sample {more}",
    )


def _with_reason(rows: pa.Table, *reasons: Reason) -> pa.Table:
    return rows.filter(pc.is_in(rows["reason"], pa.array([reason.value for reason in reasons])))


def _reasons(rows: pa.Table) -> str:
    """List reasons with their counts, most frequent first."""
    counts = Counter(rows["reason"].drop_null().to_pylist())
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())


def _share(value: float) -> str:
    return f"{number(100 * value)} %"
