"""The table of looser bounds counts what a run with them would let pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curate.recipe import Filters, Recipe
from curate.stages.filters import rejections
from curate.stages.report.what_if import BoundEffect, add_effects

FILTERS: dict[str, Any] = {
    "min": {"width": 1024, "hf_ratio_032": 0.005},
    "max": {"blockiness": 1.5},
    "allow": {"format": ["JPEG", "PNG"]},
}


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    random = np.random.default_rng(2)
    count = 500
    return pa.table(
        {
            "width": random.integers(500, 3000, count),
            "hf_ratio": np.full(count, 0.01),
            "hf_ratio_032": 10 ** random.normal(-2, 0.4, count),
            "blockiness": random.normal(1.3, 0.2, count),
            "format": random.choice(
                ["JPEG", "PNG", "GIF", "WEBP"], count, p=[0.6, 0.2, 0.15, 0.05]
            ),
            "animated": random.random(count) < 0.03,
        }
    )


def measure(rows: pa.Table, filters: Filters, parts: int = 3) -> Sequence[BoundEffect]:
    ledger = rows.append_column("reason", rejections(rows, filters))
    effects = [BoundEffect(bound) for bound in filters.bounds]
    step = -(-len(ledger) // parts)
    for start in range(0, len(ledger), step):
        add_effects(effects, ledger.slice(start, step))
    return effects


def passing(rows: pa.Table, filters: Filters) -> int:
    return int(pc.sum(pc.is_null(rejections(rows, filters))).as_py())


def test_looser_bound_brings_back_as_many_as_table_says(rows: pa.Table) -> None:
    recipe = Recipe.parse({"name": "x", "filters": FILTERS}, where="test")
    before = passing(rows, recipe.filters)
    effects = measure(rows, recipe.filters)
    shown = 0
    for effect in effects:
        for looser in effect.looser:
            setting = looser.setting.removeprefix("--set ").strip("'")
            after = passing(rows, recipe.override([setting]).filters)
            assert after - before == looser.back > 0, looser
            shown += 1
    assert shown > 10


def test_last_looser_value_brings_back_all_that_the_bound_takes_alone(rows: pa.Table) -> None:
    filters = Filters.model_validate(FILTERS)
    for effect in measure(rows, filters):
        if effect.bound.test != "in":
            assert effect.looser[-1].back == effect.alone <= effect.broken


def test_effects_do_not_depend_on_parts(rows: pa.Table) -> None:
    filters = Filters.model_validate(FILTERS)
    one, many = measure(rows, filters, 1), measure(rows, filters, 50)
    assert [effect.looser for effect in one] == [effect.looser for effect in many]


def test_bound_that_takes_nothing_alone_offers_no_looser_value(rows: pa.Table) -> None:
    filters = Filters(min={"width": 1})
    (_, width) = measure(rows, filters)
    assert (width.broken, width.alone, width.looser) == (0, 0, [])


def test_small_values_are_pasted_without_exponent() -> None:
    rows = pa.table({"hf_ratio": [0.00002, 0.5], "reason": ["low_texture", None]})
    (_, effect) = measure_ready(rows, Filters(min={"hf_ratio": 0.001}))
    assert effect.looser[-1].setting == "--set filters.min.hf_ratio=0.00002"


def measure_ready(rows: pa.Table, filters: Filters) -> Sequence[BoundEffect]:
    effects = [BoundEffect(bound) for bound in filters.bounds]
    add_effects(effects, rows)
    return effects


def test_value_with_quotes_is_pasted_safely() -> None:
    rows = pa.table({"hf_ratio": [0.1], "licence": ["it's $(touch x)"], "reason": ["not_allowed"]})
    effect, _ = measure_ready(rows, Filters(allow={"licence": ("CC0",)}))
    (looser,) = effect.looser
    import shlex

    option, setting = shlex.split(looser.setting)
    assert option == "--set"
    recipe = Recipe.parse({"name": "x"}, where="test").override([setting])
    assert recipe.filters.allow["licence"] == ("CC0", "it's $(touch x)")
