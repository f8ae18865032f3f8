"""Early filters reject by claims and headers for the filters' own reasons, never by guessing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import Reason
from curate.images.header import Header
from curate.recipe import Filters, Recipe
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.outcome import Failure

FILTERS = Filters(
    min={"width": 1024, "height": 1024, "nbytes": 500_000, "bpp": 1.0},
    allow={"format": ("JPEG", "PNG")},
)

THUMBNAIL = {"width": 100, "height": 100, "nbytes": 10}
MEASURES = ("width", "height", "pixels", "nbytes", "bpp")


def judge(
    filters: Filters, width: int | None, height: int | None, nbytes: int | None = None, **facts: Any
) -> Reason | None:
    claimed = facts.pop("claimed", 0)
    known = {"format": "JPEG", "width": width, "height": height, "animated": False}
    header = Header(**known | facts)
    return reason_of(EarlyFilters(filters.bounds).check_header, claimed, header, nbytes)


def reason_of(check: Any, *arguments: Any) -> Reason | None:
    try:
        check(*arguments)
    except Failure as failure:
        return failure.reason
    return None


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"width": 2000, "height": 1500, "nbytes": 600_000}, None),
        ({"width": 1024, "height": 1024, "nbytes": 500_000}, None),
        ({"width": 2000, "height": 1023, "nbytes": 600_000}, Reason.TOO_SMALL),
        ({"width": 2000, "height": 1500, "nbytes": 499_999}, Reason.TOO_FEW_BYTES),
        ({"width": 4000, "height": 3000, "nbytes": 600_000}, Reason.LOW_BPP),
        ({"width": 2000, "height": 1500, "format": "GIF"}, Reason.NOT_ALLOWED),
        ({"width": 2000, "height": 1500, "animated": True}, Reason.ANIMATED),
        ({**THUMBNAIL, "claimed": 20_001}, Reason.SMALLER_THAN_CLAIMED),
        ({**THUMBNAIL, "claimed": 20_000}, Reason.TOO_SMALL),
        # smaller than claimed, and large enough
        ({"width": 2000, "height": 1500, "nbytes": 600_000, "claimed": 10**9}, None),
        ({"width": None, "height": None, "nbytes": 600_000, "animated": None}, None),
        ({"width": None, "height": None, "nbytes": 10}, Reason.TOO_FEW_BYTES),
        ({"width": 4000, "height": 3000, "nbytes": None}, None),
    ],
)
def test_early_filters_check_known_facts_only(
    facts: dict[str, Any], expected: Reason | None
) -> None:
    assert judge(FILTERS, **facts) == expected


def test_side_is_too_short_only_if_upright_and_turned() -> None:
    wide = Filters(min={"width": 1000, "height": 500})
    assert judge(wide, 500, 1000) is None  # its EXIF may turn it
    assert judge(wide, 499, 1000) == Reason.TOO_SMALL
    assert judge(Filters(max={"width": 600}), 1000, 500) is None
    assert judge(Filters(max={"width": 400}), 1000, 500) == Reason.ABOVE_MAXIMUM


def test_claims_out_of_bounds_are_rejected() -> None:
    bounds = Recipe(
        name="r",
        candidates={"keep": ["punsafe"]},
        filters={
            "min": {"width": 1024, "height": 1024, "pixels": 2_000_000},
            "max": {"punsafe": 0.1},
        },
    ).early_bounds
    filters = EarlyFilters.for_rows(bounds, [])
    rows = {
        (1000, 4000, 0.0): Reason.TOO_SMALL,
        (1100, 1100, 0.0): Reason.TOO_SMALL,
        (4000, 3000, 0.2): Reason.ABOVE_MAXIMUM,
        (4000, 3000, 0.1): None,
        (None, None, None): None,
        (500, None, None): Reason.TOO_SMALL,  # whichever side it is
    }
    for (width, height, unsafe), expected in rows.items():
        row = {"url": "", "claimed_width": width, "claimed_height": height, "punsafe": unsafe}
        assert reason_of(filters.check_claims, row) == expected, row


sides = st.one_of(st.none(), st.integers(1, 8))


@given(
    st.dictionaries(st.sampled_from(MEASURES), st.integers(1, 20)),
    st.dictionaries(st.sampled_from(MEASURES), st.integers(1, 20)),
    sides,
    sides,
    st.one_of(st.none(), st.integers(1, 40)),
    st.booleans(),
)
def test_early_rejection_agrees_with_the_filters_in_any_orientation(
    least: dict[str, float],
    most: dict[str, float],
    width: int | None,
    height: int | None,
    nbytes: int | None,
    turn: bool,
) -> None:
    if width is None or height is None:
        width = height = None
    filters = Filters(min=least, max=most)
    if judge(filters, width, height, nbytes) is None:
        return
    if turn:
        width, height = height, width
    facts: dict[str, Any] = {"width": width, "height": height, "nbytes": nbytes}
    if width and height:
        facts["pixels"] = width * height
        facts["bpp"] = 8 * nbytes / (width * height) if nbytes else None
    assert any(bound.broken_by(facts.get(bound.column)) for bound in filters.bounds)
