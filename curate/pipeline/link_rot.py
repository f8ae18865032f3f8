"""What has become of published images: each held against what was published of it, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import Reason
from curate.pipeline.sampling import Range, wilson_interval

__all__ = ["RADIUS", "VERDICTS", "Place", "Rot", "Share", "State", "judge", "tally"]

RADIUS = 4
"""Bits of 64 in which the perceptual hashes of one picture may differ, as in `select.dedup.perceptual`. Of 63 pictures
every copy knows its own within it that was saved as JPEG of quality 30 to 95 or resized by 0.5 to 2, and none knows
another: docs/science.md#duplicates."""

WORST = 10
"""Hosts, and licences, that are told of by name."""


class State(StrEnum):
    """What has become of an image."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> State:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    SAME = "same", "the bytes that were published, by their SHA-256"
    RECODED = "recoded", "the same picture in other bytes: encoded anew, or resized"
    CHANGED = "changed", "another picture, as far as the published hashes tell"
    UNPROVEN = "unproven", "a picture, and no SHA-256 was published to hold it against"
    GONE = "gone", "no picture is to be had any more, for a reason that stays"
    UNREACHABLE = "unreachable", "no picture is to be had for now, for a reason that may pass"


VERDICTS = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("licence", pa.string()),
        ("category", pa.string()),
        ("split", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("distance", pa.int8()),
        ("http_status", pa.int16()),
        ("final_url", pa.string()),
        ("sha256", pa.string()),
        ("sha256_now", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("width_now", pa.int32()),
        ("height_now", pa.int32()),
    ]
)
"""A row for each image that was asked for. `reason` says why there is none, or why it could not be measured;
`distance` in how many bits of 64 the perceptual hashes differ; `..._now` is of what came."""

_TRANSIENT = pa.array([reason.value for reason in Reason if reason.transient])


def judge(published: pa.Table, found: pa.Table) -> pa.Table:
    """What has become of each image: the rows of VERDICTS.

    Args:
        published: `Published.facts` of them.
        found: in the same order, with the columns of the fetch and measure stages.
    """
    distance = _distances(published["phash"], found["phash"])
    pixels = pc.equal(found["pixel_sha256"], published["pixel_sha256"])
    alike = _mask(pixels) | _mask(pc.less_equal(distance, RADIUS))
    unknown = _mask(pc.and_(pc.is_null(pixels), pc.is_null(distance)))
    proof = _mask(pc.is_valid(published["sha256"]))
    rules = [
        (
            State.SAME,
            _mask(pc.equal(found["sha256"], published["sha256"])),
        ),  # also where this machine can't decode it
        (State.UNREACHABLE, _mask(pc.is_in(found["reason"], _TRANSIENT))),
        (State.GONE, _mask(pc.is_valid(found["reason"]))),
        (State.UNPROVEN, ~proof & (alike | unknown)),
        (State.RECODED, alike),
    ]
    state = np.select(
        [where for _, where in rules], [str(state) for state, _ in rules], str(State.CHANGED)
    )
    columns = {name: published[name] for name in VERDICTS.names if name in published.column_names}
    columns |= {name: found[name] for name in ("reason", "http_status", "final_url")}
    columns |= {f"{name}_now": found[name] for name in ("sha256", "width", "height")}
    columns |= {"state": pa.array(state, pa.string()), "distance": distance}
    return pa.table({name: columns[name] for name in VERDICTS.names}).cast(VERDICTS)


def _mask(where: pa.ChunkedArray) -> NDArray[np.bool_]:
    """True where it is true; not where it isn't known."""
    mask: NDArray[np.bool_] = pc.fill_null(where, False).to_numpy(zero_copy_only=False)
    return mask


def _distances(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.Array:
    """Bits in which hashes differ; null where one is."""
    known = pc.and_(pc.is_valid(first), pc.is_valid(second)).to_numpy()
    one_N, two_N = (pc.fill_null(hashes, 0).to_numpy() for hashes in (first, second))
    return pa.array(np.bitwise_count(one_N ^ two_N).astype(np.int8), mask=~known)


@dataclass(frozen=True)
class Share:
    """Images in one state."""

    state: str
    images: int
    """Of those that were asked for."""
    share: Range
    """Of the dataset; Wilson's interval."""
    of_all: Range
    """Images of the whole dataset."""
    reasons: Mapping[str, int]
    """Why, of those that have a reason."""


@dataclass(frozen=True)
class Place:
    """A host, or a licence, and what it has lost."""

    name: str
    images: int
    """That were asked for."""
    lost: int
    """Of these, gone or changed."""
    share: Range
    """Of all its images; Wilson's interval."""


@dataclass(frozen=True)
class Rot:
    """What has become of a dataset."""

    listed: int
    """Images of the dataset."""
    asked: int
    """Images that were asked for again."""
    states: tuple[Share, ...]
    """Those that there are, in the order of `State`."""
    lost: Range
    """Share of the dataset that is gone or changed."""
    lost_images: Range
    """The same in images of the whole dataset."""
    hosts: tuple[Place, ...]
    """That have lost most, surely: by the lower end of the interval. None where all images are on one."""
    licences: tuple[Place, ...]
    """The same."""
    pictures_known: bool
    """Whether the list tells more of an image than its bytes, or every copy in other bytes counts as changed."""


def tally(verdicts: pa.Table, published: pa.Table) -> Rot:
    """Count what has become of a dataset.

    Args:
        verdicts: rows of VERDICTS, of all images or of a sample.
        published: `Published.facts` of all of them.
    """
    asked, listed = len(verdicts), len(published)
    states, reasons = verdicts["state"].to_pylist(), verdicts["reason"].to_pylist()
    by_state = Counter(states)
    because = Counter(
        (state, reason) for state, reason in zip(states, reasons, strict=True) if reason
    )
    shares = []
    for state in State:
        if count := by_state[state.value]:
            share = wilson_interval(count, asked, listed)
            why = {reason: n for (of, reason), n in because.most_common() if of == state.value}
            shares.append(Share(state.value, count, share, share.times(listed), why))
    lost = wilson_interval(by_state[State.GONE] + by_state[State.CHANGED], asked, listed)
    hashes = (published["phash"], published["pixel_sha256"])
    return Rot(
        listed=listed,
        asked=asked,
        states=tuple(shares),
        lost=lost,
        lost_images=lost.times(listed),
        hosts=_worst(verdicts, published, "host"),
        licences=_worst(verdicts, published, "licence"),
        pictures_known=any(column.null_count < listed for column in hashes),
    )


def _worst(verdicts: pa.Table, published: pa.Table, column: str) -> tuple[Place, ...]:
    """The places that have lost most, surely; none where all is in one place."""
    listed, asked = Counter(published[column].to_pylist()), Counter(verdicts[column].to_pylist())
    if len(listed) == 1:
        return ()
    is_lost = pc.is_in(verdicts["state"], pa.array([State.GONE.value, State.CHANGED.value]))
    lost = Counter(verdicts.filter(is_lost)[column].to_pylist())
    places = [
        Place(name or "-", asked[name], count, wilson_interval(count, asked[name], listed[name]))
        for name, count in lost.items()
    ]
    return tuple(
        sorted(places, key=lambda place: (-place.share.low, -place.lost, place.name))[:WORST]
    )
