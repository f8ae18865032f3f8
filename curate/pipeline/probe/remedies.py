"""Remedies for candidates that are lost for one reason."""

from __future__ import annotations

from curate.errors import Reason
from curate.recipe import Filters

__all__ = ["advise", "advise_on_host"]

_ADVICE = {
    Reason.BAD_URL: "look at the lines: quote fields of a .csv that hold commas, and call a list "
    "of bare URLs .txt",
    Reason.CREDENTIALS: "find URLs without a password",
    Reason.REMOVED: "you took them out, and they stay out",
    Reason.FORBIDDEN_SCHEME: "only http and https are asked for; for files on disk give their "
    "folder",
    Reason.FORBIDDEN_ADDRESS: "if these hosts are yours, name their network in "
    "fetch.allow_networks",
    Reason.ROBOTS: "the owners do not want it, so look for other sources",
    Reason.OPTED_OUT: "the owners do not want it, so look for other sources",
    Reason.TLS: "see whether the hosts still exist: their certificates don't hold",
    Reason.HTTP_404: "the list is stale, so look for a newer one",
    Reason.HTTP_4XX: "see whether the hosts want to know who asks (fetch.user_agent)",
    Reason.HTTP_429: "set fetch.per_host_rate, or lower it",
    Reason.BAD_RESPONSE: "something answers there, but not in HTTP: see whether the URLs' scheme "
    "and port are right",
    Reason.TIMEOUT: "this machine's line may be full: lower fetch.concurrency, or raise "
    "fetch.deadline",
    Reason.TOO_LARGE: "raise fetch.max_bytes, if such files are wanted",
    Reason.NOT_IMAGE: "look at some of these URLs: they may be pages that show an image",
    Reason.UNREADABLE: "see the files' permissions",
    Reason.FORMAT_UNSUPPORTED: "look for another format of the same images",
    Reason.TOO_MANY_PIXELS: "raise measure.max_pixels, if the memory is there",
    Reason.DECODE_FAILED: "look at some of these files, and for a source that serves them whole",
    Reason.DUPLICATE: "each picture is kept once; other sources bring other pictures",
    Reason.CONTAMINATED: "they stay out, so that benchmarks stay honest; nothing to mend",
    Reason.DROPPED_BY_REVIEW: "somebody looked at them; a later verdict overrules an earlier one",
    Reason.SURPLUS: "raise select.train, or add candidates for the scarcest categories",
    Reason.QUARANTINED: "the same command tries them again",
}

_ON_HOST: dict[str, str] = {
    Reason.HTTP_429: "ask more slowly, with a lower fetch.per_host_rate and fetch.per_host",
    Reason.HTTP_4XX: "see whether it wants to know who asks (fetch.user_agent), else take it out "
    "of the list",
    Reason.BAD_RESPONSE: "it answers, but not in HTTP, so see whether the URLs' scheme and port "
    "are right",
    Reason.ROBOTS: "its owner does not want it, so take it out of the list",
    Reason.OPTED_OUT: "its owner does not want it, so take it out of the list",
}


def advise(reason: Reason, filters: Filters) -> str:
    """Return half a sentence for a reason that takes much of a list."""
    bounds = [bound for bound in filters.bounds if bound.reason is reason and bound.test != "in"]
    if bounds:
        settings = [f"filters.{bound.test}.{bound.column}={bound.value:g}" for bound in bounds]
        return (
            "the list is of another kind than the recipe wants, or a bound is too tight "
            f"({', '.join(settings)})"
        )
    if reason.stage == "filter":
        return "the list is of another kind than the recipe's filters want, or they are too tight"
    return _ADVICE.get(reason, "look at some of these URLs, and try them by hand")


def advise_on_host(reason: str) -> str:
    """Return half a sentence for a reason that takes everything of a host."""
    return _ON_HOST.get(
        reason, "see whether it still exists, and take it out of the list if it doesn't"
    )
