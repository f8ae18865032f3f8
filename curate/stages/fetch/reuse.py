"""Reuse of an earlier fetch of a shard: bytes are fetched again only where that is necessary.

A shard is fetched again when a file of it is damaged, when it was killed before its commit record,
when some of its reasons are to be retried, or when settings have changed. Each time the fetch
begins with earlier results: outcomes from the log (without one, from the table), and from the tars
every member whose SHA-256 is as recorded.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import Reason
from curate.images.file_format import HEAD, sniff
from curate.images.header import Header
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.log import LoggedOutcomes, log_path, read_outcomes
from curate.stages.fetch.outcome import Body, Failure, Outcome
from curate.stages.fetch.spool import HEADS, HeaderCheck, Inspection
from curate.storage.tar import recover

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["EarlierFetch", "doubtful_reasons"]

_LOOSER: dict[str, tuple[Reason, Callable[[Any, Any], bool]]] = {
    "max_redirects": (Reason.REDIRECTS, operator.gt),
    "robots": (Reason.ROBOTS, operator.lt),
    "opt_out": (Reason.OPTED_OUT, operator.lt),
    "allow_networks": (Reason.FORBIDDEN_ADDRESS, operator.gt),
}
"""Setting -> its reason, and a function of its new and old value that says if the new is looser.

A looser setting makes only the candidates with that reason doubtful.
"""

_CHECKABLE = {"max_bytes", "probe"}
"""Settings that can be checked against earlier results."""


class EarlierFetch:
    """Results of an earlier fetch of a shard.

    Args:
        shard: the shard.
        tars: tars with its bytes; the first holds the bytes that were kept aside.
        scratch: local folder for copies of the bytes.
    """

    def __init__(self, shard: Shard, tars: Sequence[str], scratch: Path) -> None:
        log, table = log_path(shard.name), f"fetched/{shard.name}.parquet"
        known = read_outcomes(shard, log) or read_outcomes(shard, table) or LoggedOutcomes()
        self._known = known
        self.aside: dict[str, Body] = {}
        """Id -> bytes in the first tar."""
        self.bodies: dict[str, Body] = {}
        """Id -> bytes in any tar."""
        for path in tars:
            wanted = {id_: d for id_, d in known.digests.items() if id_ not in self.bodies}
            if shard.folder.exists(path):
                with shard.open(path) as file:
                    found = recover(file, wanted, scratch)
                self.bodies |= {id_: _body(scratch / id_, *wanted[id_]) for id_ in found}
            if path == tars[0]:
                self.aside = dict(self.bodies)

    def outcome(
        self, row: Mapping[str, Any], settings: dict[str, Any], filters: EarlyFilters
    ) -> Outcome | None:
        """Return a candidate's outcome under the current settings; None if it must be fetched.

        Args:
            row: the candidate.
            settings: current settings, in the form in which the log holds the earlier ones.
            filters: current early filters.
        """
        old, body = self._known.outcomes.get(row["id"]), self.bodies.get(row["id"])
        if old is None or (old.reason is None and body is None):
            return None
        doubtful = doubtful_reasons(self._known.settings["fetch"], settings["fetch"])
        if doubtful is None or (body is None and old.reason in doubtful):
            return None
        outcome = _check(row, old, body, settings["fetch"]["max_bytes"], filters)
        if outcome is not None:
            return outcome
        # a table without details: its rejections by a response hold under the same settings only
        same = not self._known.is_log and settings == self._known.settings
        return old if same and old.http_status else None


def doubtful_reasons(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[Reason] | None:
    """Return reasons that new fetch settings might no longer give.

    None if the new settings might forbid requests that the old ones allowed.
    """
    doubtful = set()
    # settings of the same values but in another order are the same
    for name in (old.keys() | new.keys()) - _CHECKABLE:
        now, then = (set(v) if isinstance(v, list) else v for v in (new.get(name), old.get(name)))
        if now == then:
            continue
        if name not in _LOOSER or now is None or then is None or not _LOOSER[name][1](now, then):
            return None
        doubtful.add(_LOOSER[name][0])
    return doubtful


def _check(
    row: Mapping[str, Any], old: Outcome, body: Body | None, max_bytes: int, filters: EarlyFilters
) -> Outcome | None:
    """Check earlier results against bounds, in the order of a fetch; return None to fetch again."""
    is_local = row["local_path"] is not None and old.http_status is None
    check = filters.header_check(row["url"])
    # the outcome if the claims reject: a fresh fetch would not have sent a request
    outcome = replace(old, rejected_by_claims=True) if body else Outcome()
    try:
        if not is_local:
            filters.check_claims(row)
        outcome = replace(old)
        # bytes that are there are inspected like new ones
        if body is not None:
            _inspect(body, _announced(old, body.nbytes), max_bytes, check)
            outcome.body, outcome.reason, outcome.detail = body, None, None
            outcome.header = outcome.head = outcome.nbytes = outcome.aside_sha256 = None
            return outcome
        # rejected without bytes: by the bounds, which may have changed, or for any other reason
        too_large = old.reason is Reason.TOO_LARGE
        if not too_large and old.reason is not None and old.reason.stage != "filter":
            return old
        announced = _announced(old, old.nbytes)
        if ((old.nbytes if too_large else announced) or 0) > max_bytes:
            raise Failure(Reason.TOO_LARGE, f"{old.nbytes} bytes", nbytes=old.nbytes)
        if check and old.header:
            if (old.head or 0) > HEADS[0]:
                # the size came late, so the format and the length were checked before it
                check(Header(old.header.format), announced)
            check(old.header, old.nbytes)
        return None  # no known fact rejects it any more
    except Failure as failure:
        outcome.fail(failure)
        if body is not None:
            outcome.aside_sha256, outcome.nbytes = body.sha256, body.nbytes
        return outcome


def _announced(old: Outcome, nbytes: int | None) -> int | None:
    """Return the file's length if its response announced it.

    A response doesn't if its body was encoded, or came in chunks.
    """
    return nbytes if nbytes == old.content_length else None


def _inspect(body: Body, announced: int | None, max_bytes: int, check: HeaderCheck | None) -> None:
    """Inspect bytes as a fetch would have done while they came.

    Raises:
        Failure: if it would have rejected them.
    """
    if (announced or 0) > max_bytes:
        raise Failure(Reason.TOO_LARGE, f"Content-Length {announced}")
    inspection = Inspection(check, announced)
    with body.path.open("rb") as file:
        inspection.write(file.read(HEADS[-1]))
    if body.nbytes > max_bytes:
        raise Failure(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
    inspection.finish(body.nbytes)


def _body(path: Path, sha256: str, nbytes: int) -> Body:
    with path.open("rb") as file:
        format_ = sniff(file.read(HEAD))
    assert format_ is not None, "the hash is that of an image"
    return Body(path, nbytes, sha256, format_)
