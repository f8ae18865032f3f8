"""What an earlier making of a shard left: bytes that were fetched once are not fetched again without need.

A shard is made again when a file of it is damaged, when it was killed before its commit record, when some of its
reasons are to be tried again, or when settings have changed. Each time it begins with what is there: outcomes from its
log (or, without that, from its table), and from its tars every member whose SHA-256 is the one that was noted.
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
from curate.stages.fetch.early_filters import Screen
from curate.stages.fetch.log import Known, log_path, read_known
from curate.stages.fetch.outcome import Body, Failure, Outcome
from curate.stages.fetch.spool import HEADS, Inspection, Judge
from curate.storage.tar import recover

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["Earlier", "in_doubt"]

_MANNERS: dict[str, tuple[Reason, Callable[[Any, Any], bool]]] = {
    "max_redirects": (Reason.REDIRECTS, operator.gt),
    "robots": (Reason.ROBOTS, operator.lt),
    "opt_out": (Reason.OPTED_OUT, operator.lt),
    "allow_networks": (Reason.FORBIDDEN_ADDRESS, operator.gt),
}
"""Setting -> the reason it gives, and whether (new, old) is looser: then only what has that reason is in doubt."""

_JUDGED = {"max_bytes", "probe"}
"""Settings that can be held against what is there."""


class Earlier:
    """What an earlier making of a shard left.

    Args:
        shard: which.
        tars: where its bytes are: the first of them is the tar of what was put aside.
        scratch: local folder for copies of the bytes.
    """

    def __init__(self, shard: Shard, tars: Sequence[str], scratch: Path) -> None:
        known = (
            read_known(shard, log_path(shard.name))
            or read_known(shard, f"fetched/{shard.name}.parquet")
            or Known()
        )
        self._known = known
        self.aside: dict[str, Body] = {}
        """Id -> bytes that are in the first tar."""
        self.bodies: dict[str, Body] = {}
        """Id -> bytes that are in any."""
        for path in tars:
            wanted = {
                id_: digest for id_, digest in known.digests.items() if id_ not in self.bodies
            }
            if shard.folder.exists(path):
                with shard.open(path) as file:
                    found = recover(file, wanted, scratch)
                self.bodies |= {id_: _body(scratch / id_, *wanted[id_]) for id_ in found}
            if path == tars[0]:
                self.aside = dict(self.bodies)

    def outcome(
        self, row: Mapping[str, Any], settings: dict[str, Any], screen: Screen
    ) -> Outcome | None:
        """What became of a candidate, as a new fetch would have it; None if that takes one.

        Args:
            row: the candidate.
            settings: those of now; in the same form as then.
            screen: the bounds of now.
        """
        old, body = self._known.outcomes.get(row["id"]), self.bodies.get(row["id"])
        if old is None or (old.reason is None and body is None):
            return None
        doubtful = in_doubt(self._known.settings["fetch"], settings["fetch"])
        if doubtful is None or (body is None and old.reason in doubtful):
            return None
        outcome = _judge(row, old, body, settings["fetch"]["max_bytes"], screen)
        if (
            outcome is None
            and not self._known.in_detail
            and old.http_status
            and settings == self._known.settings
        ):
            return old  # rejected by its answer
        return outcome


def in_doubt(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[Reason] | None:
    """Reasons that a changed fetch section might not give any more; None where it might forbid what was fetched."""
    doubtful = set()
    for name in (old.keys() | new.keys()) - _JUDGED:
        now, then = (set(v) if isinstance(v, list) else v for v in (new.get(name), old.get(name)))
        if now == then:
            continue
        if name not in _MANNERS or now is None or then is None or not _MANNERS[name][1](now, then):
            return None
        doubtful.add(_MANNERS[name][0])
    return doubtful


def _judge(
    row: Mapping[str, Any], old: Outcome, body: Body | None, max_bytes: int, screen: Screen
) -> Outcome | None:
    """Hold what is known of a candidate against bounds, in the order in which a fetch does; None if it takes one."""
    is_local = row["local_path"] is not None and old.http_status is None
    judge = None if is_local else screen.of(row["url"])
    outcome = replace(old, unasked=True) if body else Outcome()
    try:
        if not is_local:
            screen.judge_claims(row)
        outcome = replace(old)
        if body is not None:
            _inspect(body, _told(old, body.nbytes), max_bytes, judge)
            return replace(
                old,
                body=body,
                reason=None,
                detail=None,
                header=None,
                head=None,
                nbytes=None,
                held=None,
            )
        if (
            old.reason is not Reason.TOO_LARGE
            and old.reason is not None
            and old.reason.stage != "filter"
        ):
            return old
        told = _told(old, old.nbytes)
        least = old.nbytes if old.reason is Reason.TOO_LARGE else told
        if (least or 0) > max_bytes:
            raise Failure(Reason.TOO_LARGE, f"{old.nbytes} bytes", nbytes=old.nbytes)
        if judge and old.header:
            if (old.head or 0) > HEADS[
                0
            ]:  # so the size was not known at once, and the rest had its say before it
                judge(Header(old.header.format), told)
            judge(old.header, old.nbytes)
        return None  # nothing that is known rejects it any more
    except Failure as failure:
        outcome.fail(failure)
        outcome.body = None
        if body is not None:
            outcome.held, outcome.nbytes = body.sha256, body.nbytes
        return outcome


def _told(old: Outcome, nbytes: int | None) -> int | None:
    """The length of the file, if the answer's headers told it: not of a body that was encoded, or came in chunks."""
    return nbytes if nbytes == old.content_length else None


def _inspect(body: Body, told: int | None, max_bytes: int, judge: Judge | None) -> None:
    """What a fetch would have looked at while these bytes came.

    Raises:
        Failure: if it would have rejected them.
    """
    if (told or 0) > max_bytes:
        raise Failure(Reason.TOO_LARGE, f"Content-Length {told}")
    inspection = Inspection(judge, told)
    with body.path.open("rb") as file:
        inspection.take(file.read(HEADS[-1]))
    if body.nbytes > max_bytes:
        raise Failure(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
    inspection.finish(body.nbytes)


def _body(path: Path, sha256: str, nbytes: int) -> Body:
    with path.open("rb") as file:
        format_ = sniff(file.read(HEAD))
    assert format_ is not None, "the hash is that of an image"
    return Body(path, nbytes, sha256, format_)
