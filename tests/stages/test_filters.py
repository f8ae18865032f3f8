import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import Reason
from curate.recipe import Filters, Recipe
from curate.stages.filters import rejections

GOOD = {
    "width": 2000,
    "height": 1500,
    "pixels": 3_000_000,
    "nbytes": 900_000,
    "bpp": 2.4,
    "hf_ratio": 0.01,
    "hf_ratio_032": 0.02,
    "hf_ratio_025": 0.03,
    "jpeg_quality": 90,
    "blockiness": 1.05,
    "noise_sigma": 1.5,
    "spectral_cutoff": 1.0,
    "border_share": 0.0,
    "clipped_low": 0.01,
    "clipped_high": 0.02,
    "colourfulness": 40.0,
    "channel_spread": 180,
    "punsafe": 0.01,
    "label_score": 0.9,
    "format": "JPEG",
    "mode": "RGB",
    "animated": False,
}


def reason(filters: Filters, **changes: object) -> str | None:
    table = pa.Table.from_pylist([GOOD | changes])
    return rejections(table, filters).to_pylist()[0]


@pytest.mark.parametrize(
    ("column", "bound", "expected"),
    [
        ("width", 1024, Reason.TOO_SMALL),
        ("height", 1024, Reason.TOO_SMALL),
        ("pixels", 2**20, Reason.TOO_SMALL),
        ("nbytes", 500_000, Reason.TOO_FEW_BYTES),
        ("bpp", 1.5, Reason.LOW_BPP),
        ("hf_ratio", 0.005, Reason.LOW_TEXTURE),
        ("hf_ratio_032", 0.005, Reason.LOW_TEXTURE),
        ("hf_ratio_025", 0.005, Reason.LOW_TEXTURE),
        ("spectral_cutoff", 0.8, Reason.UPSCALED),
        ("colourfulness", 5.0, Reason.COLOURLESS),
        ("channel_spread", 16, Reason.COLOURLESS),
        ("jpeg_quality", 80, Reason.BELOW_MINIMUM),
        ("label_score", 0.5, Reason.BELOW_MINIMUM),
    ],
)
def test_minimum_is_smallest_passing_value(column: str, bound: float, expected: Reason) -> None:
    filters = Filters(min={column: bound})
    assert reason(filters) is None
    assert reason(filters, **{column: bound}) is None
    assert (
        reason(filters, **{column: bound * 0.99 if isinstance(bound, float) else bound - 1})
        == expected
    )


@pytest.mark.parametrize(
    ("column", "bound", "expected"),
    [
        ("punsafe", 0.1, Reason.ABOVE_MAXIMUM),
        ("noise_sigma", 5.0, Reason.NOISY),
        ("blockiness", 1.3, Reason.BLOCKY),
        ("border_share", 0.1, Reason.BORDERED),
        ("clipped_low", 0.2, Reason.CLIPPED),
        ("clipped_high", 0.2, Reason.CLIPPED),
    ],
)
def test_maximum_is_largest_passing_value(column: str, bound: float, expected: Reason) -> None:
    filters = Filters(max={column: bound})
    assert reason(filters) is None
    assert reason(filters, **{column: bound}) is None
    assert reason(filters, **{column: bound * 1.001}) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"spectral_cutoff": 0.52}, Reason.UPSCALED),
        ({"noise_sigma": 9.0}, Reason.NOISY),
        ({"blockiness": 1.6}, Reason.BLOCKY),
        ({"border_share": 0.25}, Reason.BORDERED),
        ({"clipped_high": 0.4}, Reason.CLIPPED),
        ({"channel_spread": 0}, Reason.COLOURLESS),
        ({"hf_ratio_032": 0.004}, Reason.LOW_TEXTURE),
        ({"noise_sigma": None, "blockiness": None, "spectral_cutoff": None}, None),
    ],
)
def test_strict_recipe_rejects_more_than_hq50k(
    changes: dict[str, object], expected: Reason | None
) -> None:
    assert reason(Recipe.load("restoration_strict").filters, **changes) == expected
    if "hf_ratio_032" not in changes:
        assert reason(Recipe.load("hq50k").filters, **changes) is None


def test_hq50k_recipe_measures_only_papers_facts() -> None:
    assert Recipe.load("hq50k").measure.facts == ()


def test_filter_of_allowed_values_passes_listed_ones() -> None:
    filters = Filters(allow={"format": ("JPEG", "PNG")})
    assert reason(filters) is None
    assert reason(filters, format="GIF") == Reason.NOT_ALLOWED


def test_animations_pass_if_recipe_allows() -> None:
    assert reason(Filters(), animated=True) == Reason.ANIMATED
    assert reason(Filters(animated=True), animated=True) is None


@pytest.mark.parametrize("column", ["width", "punsafe", "format", "animated"])
def test_null_passes_every_bound(column: str) -> None:
    filters = Filters(min={"width": 1024}, max={"punsafe": 0.1}, allow={"format": ("JPEG",)})
    table = pa.Table.from_pylist([GOOD, GOOD | {column: None}])
    assert rejections(table, filters).to_pylist() == [None, None]


def test_missing_column_passes_every_bound() -> None:
    filters = Filters(min={"label_score": 0.5, "width": 1024}, allow={"category": ("Food",)})
    table = pa.table({"width": [2000, 100]})
    assert rejections(table, filters).to_pylist() == [None, Reason.TOO_SMALL]


def test_first_broken_bound_gives_reason() -> None:
    filters = Filters(
        min={"nbytes": 500_000, "width": 1024}, max={"punsafe": 0.1}, allow={"format": ("JPEG",)}
    )
    broken = {"format": "GIF", "animated": True, "nbytes": 1, "width": 1, "punsafe": 1.0}
    for name, mended, expected in [
        ("format", "JPEG", Reason.NOT_ALLOWED),
        ("animated", False, Reason.ANIMATED),
        ("nbytes", 900_000, Reason.TOO_FEW_BYTES),  # in the recipe's order
        ("width", 2000, Reason.TOO_SMALL),
        ("punsafe", 0.0, Reason.ABOVE_MAXIMUM),
    ]:
        assert reason(filters, **broken) == expected
        broken[name] = mended
    assert reason(filters, **broken) is None


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 10), st.one_of(st.none(), st.integers(0, 10))), max_size=20),
    st.integers(1, 5),
)
def test_rejections_judge_each_row_by_itself(rows: list[tuple[int, int | None]], cut: int) -> None:
    schema = pa.schema([("width", pa.int32()), ("bpp", pa.float64())])
    table = pa.Table.from_pylist([{"width": w, "bpp": b} for w, b in rows], schema)
    chunked = pa.concat_tables([table.slice(i, cut) for i in range(0, len(table), cut)] or [table])
    reasons = rejections(chunked, Filters(min={"width": 5}, max={"bpp": 5})).to_pylist()
    expected = [
        Reason.TOO_SMALL if w < 5 else Reason.ABOVE_MAXIMUM if b is not None and b > 5 else None
        for w, b in rows
    ]
    assert reasons == expected


def test_no_filters_reject_nothing() -> None:
    assert rejections(pa.Table.from_pylist([GOOD] * 3), Filters()).to_pylist() == [None] * 3


def test_small_image_far_below_claim_is_smaller_than_claimed() -> None:
    filters = Filters(min={"width": 1024, "nbytes": 500_000})
    claim = {"claimed_width": 2000, "claimed_height": 1000}
    for changes, expected in [
        ({"width": 1000, "height": 999, **claim}, Reason.SMALLER_THAN_CLAIMED),
        ({"width": 1000, "height": 1000, **claim}, Reason.TOO_SMALL),
        ({"width": 1000, "height": 10, **claim, "claimed_width": None}, Reason.TOO_SMALL),
        ({"width": 1024, "height": 10, **claim}, None),
        ({"width": 1024, "height": 10, "nbytes": 1, **claim}, Reason.TOO_FEW_BYTES),
        (
            {
                "width": 60_000,
                "height": 60_000,
                "claimed_width": 2**31 - 1,
                "claimed_height": 2**31 - 1,
            },
            None,
        ),
    ]:
        assert reason(filters, **changes) == expected, changes
