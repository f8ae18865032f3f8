"""Link rot: compare each image with what was published of it, and count the states."""

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

__all__ = ["RADIUS", "VERDICTS", "LinkRot", "Place", "Share", "State", "judge", "tally"]

RADIUS = 4
"""Largest Hamming distance of one picture's perceptual hashes, as `select.dedup.perceptual`.

Measured on 63 pictures: every copy saved as JPEG of quality 30 to 95, or resized by 0.5 to 2, lies
within it, and no other picture does (docs/science.md#duplicates).
"""

WORST = 10
"""Number of hosts, and of licences, that are listed by name."""


class State(StrEnum):
    """State of a published image now."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> State:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    SAME = "same", "the bytes that were published, by their SHA-256"
    RECODED = "recoded", "the same picture in other bytes: re-encoded, or resized"
    CHANGED = "changed", "another picture, as far as the published hashes tell"
    UNPROVEN = "unproven", "a picture, and no SHA-256 was published to hold it against"
    GONE = "gone", "no picture is to be had any more, for a reason that stays"
    UNCHECKED = "unchecked", "not judged: a rule or limit of ours forbids it, see the reasons"
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
"""A row for each requested image.

`reason` says why there is no image, or why it can't be measured. `distance` is the Hamming distance
of the 64-bit perceptual hashes. Columns `..._now` describe the downloaded image.
"""

_OURS = pa.array(
    [
        reason.value
        for reason in (
            Reason.FORBIDDEN_SCHEME,
            Reason.FORBIDDEN_ADDRESS,
            Reason.CREDENTIALS,
            Reason.TOO_LARGE,
            Reason.TOO_MANY_PIXELS,
            Reason.FORMAT_UNSUPPORTED,
            Reason.CRASHED,
        )
    ]
)
"""Reasons by which we didn't ask, or can't look: the image may well be there.

What its owner forbids, by robots.txt or an opt-out, is gone."""
_TRANSIENT = pa.array([reason.value for reason in Reason if reason.transient])


def judge(published: pa.Table, found: pa.Table) -> pa.Table:
    """Return a row of VERDICTS for each image.

    Args:
        published: `Published.facts` of the images.
        found: columns of the fetch and measure stages, in the same order.
    """
    distance = _distances(published["phash"], found["phash"])
    pixels = pc.equal(found["pixel_sha256"], published["pixel_sha256"])
    alike = _mask(pixels) | _mask(pc.less_equal(distance, RADIUS))
    unknown = _mask(pc.and_(pc.is_null(pixels), pc.is_null(distance)))
    proof = _mask(pc.is_valid(published["sha256"]))
    same = _mask(pc.equal(found["sha256"], published["sha256"]))
    # the first rule that holds decides; equal bytes count even where they can't be decoded here
    rules = [
        (State.SAME, same),
        (State.UNCHECKED, _mask(pc.is_in(found["reason"], _OURS))),
        (State.UNREACHABLE, _mask(pc.is_in(found["reason"], _TRANSIENT))),
        (State.GONE, _mask(pc.is_valid(found["reason"]))),
        (State.UNPROVEN, ~proof & (alike | unknown)),
        (State.RECODED, alike),
    ]
    states, conditions = zip(*rules, strict=True)
    state = np.select(conditions, [str(name) for name in states], str(State.CHANGED))
    columns = {name: published[name] for name in VERDICTS.names if name in published.column_names}
    columns |= {name: found[name] for name in ("reason", "http_status", "final_url")}
    columns |= {f"{name}_now": found[name] for name in ("sha256", "width", "height")}
    columns |= {"state": pa.array(state, pa.string()), "distance": distance}
    return pa.table({name: columns[name] for name in VERDICTS.names}).cast(VERDICTS)


def _mask(where: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return a boolean array that is False where the value is null."""
    mask: NDArray[np.bool_] = pc.fill_null(where, False).to_numpy(zero_copy_only=False)
    return mask


def _distances(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.Array:
    """Return the Hamming distances of 64-bit hashes; null where either hash is."""
    known = pc.and_(pc.is_valid(first), pc.is_valid(second)).to_numpy()
    one_N, two_N = (pc.fill_null(hashes, 0).to_numpy() for hashes in (first, second))
    return pa.array(np.bitwise_count(one_N ^ two_N).astype(np.int8), mask=~known)


@dataclass(frozen=True)
class Share:
    """Images in one state."""

    state: str
    images: int
    """Requested images in this state."""
    share: Range
    """Share of the dataset, with Wilson's interval."""
    of_all: Range
    """Images of the whole dataset in this state, estimated."""
    reasons: Mapping[str, int]
    """Reason -> requested images, most frequent first."""


@dataclass(frozen=True)
class Place:
    """Losses of one host or one licence."""

    name: str
    images: int
    """Requested images."""
    lost: int
    """Requested images that are gone or changed."""
    share: Range
    """Lost share of all its images, with Wilson's interval."""


@dataclass(frozen=True)
class LinkRot:
    """Counts of a dataset's images by their state now."""

    listed: int
    """Images of the dataset."""
    asked: int
    """Requested images."""
    states: tuple[Share, ...]
    """States that occur, in the order of `State`."""
    checked: int
    """Requested images that our rules and limits let us judge."""
    lost: Range
    """Share that is gone or changed of the images that can be checked; 0 to 1 if none can be."""
    lost_images: Range
    """Number of such images in the whole dataset, estimated."""
    hosts: tuple[Place, ...]
    """Hosts with the largest losses by the interval's lower end; empty if there is only one."""
    licences: tuple[Place, ...]
    """Licences with the largest losses, likewise."""
    pictures_known: bool
    """Whether the list has hashes of pixels; else every re-encoded copy counts as changed."""


def tally(verdicts: pa.Table, published: pa.Table) -> LinkRot:
    """Count the states of a dataset's images.

    Args:
        verdicts: rows of VERDICTS, of all images or of a sample.
        published: `Published.facts` of all of them.
    """
    asked, listed = len(verdicts), len(published)
    states, reasons = verdicts["state"].to_pylist(), verdicts["reason"].to_pylist()
    by_state = Counter(states)
    pairs = Counter(zip(states, reasons, strict=True))
    shares = []
    for state in State:
        if count := by_state[state.value]:
            share = wilson_interval(count, asked, listed)
            why = {reason: n for (of, reason), n in pairs.most_common() if of == state and reason}
            shares.append(Share(state.value, count, share, share.times(listed), why))
    checked = asked - by_state[State.UNCHECKED]
    of_all = round(listed * checked / asked)
    gone = by_state[State.GONE] + by_state[State.CHANGED]
    lost = wilson_interval(gone, checked, of_all) if checked else Range(0.0, 0.0, 1.0)
    hashes = (published["phash"], published["pixel_sha256"])
    return LinkRot(
        listed=listed,
        asked=asked,
        states=tuple(shares),
        checked=checked,
        lost=lost,
        lost_images=lost.times(of_all if checked else listed),
        hosts=_worst(verdicts, published, "host"),
        licences=_worst(verdicts, published, "licence"),
        pictures_known=any(column.null_count < listed for column in hashes),
    )


def _worst(verdicts: pa.Table, published: pa.Table, column: str) -> tuple[Place, ...]:
    """Return the places with the largest losses by the lower end; none if there is only one."""
    listed, asked = Counter(published[column].to_pylist()), Counter(verdicts[column].to_pylist())
    if len(listed) == 1:
        return ()
    is_lost = pc.is_in(verdicts["state"], pa.array([State.GONE.value, State.CHANGED.value]))
    lost = Counter(verdicts.filter(is_lost)[column].to_pylist())
    places = []
    for name, count in lost.items():
        share = wilson_interval(count, asked[name], listed[name])
        places.append(Place(name or "-", asked[name], count, share))
    places.sort(key=lambda place: (-place.share.low, -place.lost, place.name))
    return tuple(places[:WORST])
