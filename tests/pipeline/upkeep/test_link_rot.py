"""States of images follow from published and fetched facts; shares have intervals."""

import numpy as np
import pyarrow as pa
import pytest

from curate.cli.link_rot_tables import link_rot_tables
from curate.errors import Reason
from curate.manifest import MANIFEST
from curate.pipeline.link_rot import RADIUS, VERDICTS, State, judge, tally

A, B, C, D = (letter * 64 for letter in "abcd")
_FOUND = pa.schema(
    [
        ("reason", pa.string()), ("http_status", pa.int16()), ("final_url", pa.string()),
        ("sha256", pa.string()), ("pixel_sha256", pa.string()), ("phash", pa.uint64()),
        ("width", pa.int32()), ("height", pa.int32()),
    ]
)  # fmt: skip


def published(*rows: dict) -> pa.Table:
    base = {
        "url": "http://a/1",
        "host": "a",
        "split": "train",
        "sha256": A,
        "pixel_sha256": C,
        "phash": 2**64 - 1,
    }
    schema = pa.schema([(column.name, column.type) for column in MANIFEST])
    return pa.Table.from_pylist(
        [{**base, "id": f"{n:016x}", **row} for n, row in enumerate(rows)], schema
    )


def found(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), _FOUND)


@pytest.mark.parametrize(
    ("was", "came", "state"),
    [
        ({}, {"sha256": A}, State.SAME),
        (
            {},
            {"sha256": A, "reason": "format_unsupported"},
            State.SAME,
        ),  # this machine can't decode it: the bytes can
        ({}, {"sha256": B, "pixel_sha256": C}, State.RECODED),
        (
            {"pixel_sha256": None, "phash": None},
            {"sha256": B, "pixel_sha256": C, "phash": 1},
            State.CHANGED,
        ),
        ({}, {"sha256": B, "pixel_sha256": D, "phash": 2**64 - 2**RADIUS}, State.RECODED),
        ({}, {"sha256": B, "pixel_sha256": D, "phash": 2**64 - 2 ** (RADIUS + 1)}, State.CHANGED),
        ({}, {"sha256": B, "pixel_sha256": D, "phash": None}, State.CHANGED),
        ({}, {"sha256": B, "reason": "decode_failed"}, State.GONE),
        (
            {},
            {"sha256": B, "reason": "quarantined"},
            State.UNREACHABLE,
        ),  # nobody has looked at it yet
        (
            {"sha256": None, "pixel_sha256": None, "phash": None},
            {"sha256": B, "phash": 1},
            State.UNPROVEN,
        ),
        ({"sha256": None}, {"sha256": B, "pixel_sha256": D, "phash": 2**64 - 2}, State.UNPROVEN),
        ({"sha256": None}, {"sha256": B, "pixel_sha256": D, "phash": 1}, State.CHANGED),
        ({"sha256": None}, {"sha256": B, "reason": "decode_failed"}, State.GONE),
        ({"sha256": None}, {"reason": "http_404"}, State.GONE),
    ],
)
def test_state_follows_from_hashes(was: dict, came: dict, state: State) -> None:
    (verdict,) = judge(published(was), found(came)).to_pylist()
    assert verdict["state"] == state
    assert (verdict["sha256"], verdict["sha256_now"], verdict["reason"]) == (
        was.get("sha256", A),
        came.get("sha256"),
        came.get("reason"),
    )


def test_judge_keeps_every_row_with_known_state() -> None:
    rng = np.random.default_rng(0)
    choices = {
        "sha256": [A, B, None],
        "pixel_sha256": [C, D, None],
        "phash": [0, 1, 2**64 - 1, None],
    }
    choices["reason"] = [None, None, "http_404", "dns", "decode_failed", "crashed"]
    came = [
        {name: values[rng.integers(len(values))] for name, values in choices.items()}
        for _ in range(300)
    ]
    was = [{k: v for k, v in row.items() if k != "reason"} for row in reversed(came)]
    verdicts = judge(published(*was), found(*came))
    assert verdicts.schema == VERDICTS
    assert verdicts["id"].to_pylist() == [f"{n:016x}" for n in range(300)]
    assert set(verdicts["state"].to_pylist()) <= set(State)
    counts = tally(verdicts, published(*was))
    assert sum(share.images for share in counts.states) == counts.asked == counts.listed == 300


def test_tally_scales_shares_with_wilson_interval() -> None:
    """1,000 images, 100 requested, 10 gone: Wilson's interval with n (N-1)/(N-n) instead of n."""
    rows = [{"host": "a" if n % 2 else "b", "licence": None} for n in range(1000)]
    whole = published(*rows)
    verdicts = judge(
        whole.slice(0, 100),
        found(*({"reason": "http_404"} if n % 10 == 0 else {"sha256": A} for n in range(100))),
    )
    counts = tally(verdicts, whole)
    n, p, z = 100 * 999 / 900, 0.1, 1.959964
    middle, spread = (p + z * z / 2 / n), z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    gone = next(share for share in counts.states if share.state == State.GONE)
    assert (gone.images, gone.reasons, gone.of_all.likely) == (10, {"http_404": 10}, 100)
    assert gone.share.low == pytest.approx((middle - spread) / (1 + z * z / n))
    assert counts.lost_images.high == pytest.approx(1000 * (middle + spread) / (1 + z * z / n))
    # every lost image was on one host; with one licence there is nothing to compare
    assert [(place.name, place.images, place.lost) for place in counts.hosts] == [("b", 50, 10)]
    assert counts.licences == ()


@pytest.mark.parametrize("reason", list(Reason))
def test_image_that_we_refuse_or_miss_for_now_is_not_lost(reason: Reason) -> None:
    verdicts = judge(published({}), found({"reason": reason.value}))
    refusals = {"forbidden_address", "forbidden_scheme", "credentials"}
    refusals |= {"too_large", "too_many_pixels", "format_unsupported", "crashed"}
    state = State.UNREACHABLE if reason.transient else State.GONE
    assert verdicts["state"].to_pylist() == [State.UNCHECKED if reason in refusals else state]
    assert verdicts["reason"].to_pylist() == [reason.value]


def test_tally_shares_losses_among_images_that_can_be_checked() -> None:
    came = [{"reason": "too_large"}] * 6 + [{"reason": "http_404"}] + [{"sha256": A}] * 3
    whole = published(*({} for _ in came))
    counts = tally(judge(whole, found(*came)), whole)
    assert (counts.checked, counts.lost.likely, counts.lost_images.likely) == (4, 0.25, 1)
    *_, lost, remedy = link_rot_tables(counts)
    assert lost == "25.0% of what could be checked is lost, gone or changed: 1 of 10 images"
    assert remedy == "too_large: raise fetch.max_bytes, if such files are wanted"


def test_tally_orders_hosts_by_lower_end_of_loss() -> None:
    """Losing one image of one proves less than losing nine of ten."""
    rows = [{"host": "one"}, *({"host": "ten"} for _ in range(10)), {"host": "well"}]
    came = [{"reason": "tls"}, *({"reason": "tls"} for _ in range(9)), {"sha256": A}, {"sha256": A}]
    whole = published(
        *rows, *({"host": name} for name in ("one", "ten", "well") for _ in range(100))
    )
    counts = tally(judge(whole.slice(0, 12), found(*came)), whole)
    assert [(place.name, place.lost) for place in counts.hosts] == [("ten", 9), ("one", 1)]


def test_perceptual_hash_of_copy_is_within_radius_of_no_other() -> None:
    """The radius is a promise on pictures, not just on bits."""
    from curate.demo.pictures import Picture, encode
    from curate.stages.measure import measure_image
    from tests.pipeline.upkeep.ageing import recoded, replaced, resized

    for seed in range(6):
        body = encode(Picture("Nature", seed, (150, 110), "png"))
        was, copies = (
            measure_image(body).phash,
            [measure_image(copy(body)).phash for copy in (recoded, resized)],
        )
        assert max((was ^ copy).bit_count() for copy in copies) <= RADIUS
        assert (was ^ measure_image(replaced(body)).phash).bit_count() > RADIUS
