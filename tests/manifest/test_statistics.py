from math import log

import pyarrow as pa
import pytest

from curate.manifest.statistics import Statistics, diversity, natural_diversity, summarise


def test_diversity_of_even_classes_is_the_highest() -> None:
    assert diversity([7] * 16) == pytest.approx(1.20412, abs=1e-5)
    assert natural_diversity([5] * 3) == pytest.approx(log(3))


def test_diversity_of_one_class_is_zero() -> None:
    assert diversity([12]) == 0
    assert diversity([12, 0, 0]) == 0
    assert natural_diversity([]) == 0


def test_diversity_equals_values_by_hand() -> None:
    # 1/2, 1/4, 1/4: 0.5 log10 2 + 0.5 log10 4 = 1.5 log10 2
    assert diversity([2, 1, 1]) == pytest.approx(0.4515450, abs=1e-7)
    assert natural_diversity([2, 1, 1]) == pytest.approx(1.0397208, abs=1e-7)


def test_summary_averages_over_images() -> None:
    table = pa.table(
        {
            "pixels": [100, 300],
            "bpp": [4.0, 2.0],
            "hf_ratio": [0.01, 0.02],
            "hf_ratio_032": [0.02, 0.06],
            "broad": ["Outdoor", "Indoor"],
            "category": ["Animals", "Food"],
        }
    )
    assert summarise(table) == Statistics(
        2, 200, 3.0, 0.015, 0.04, pytest.approx(0.30103), pytest.approx(log(2))
    )


def test_summary_leaves_null_values_out_of_means() -> None:
    table = pa.table(
        {
            "pixels": [100, 300],
            "bpp": [4.0, None],
            "category": ["Map", None],
            "broad": ["Artificial", None],
        }
    )
    assert summarise(table) == Statistics(2, 200, 4.0, None, None, 0.0, 0.0)


def test_summary_of_empty_table_has_no_means() -> None:
    table = pa.table({"pixels": pa.array([], pa.int64()), "category": pa.array([], pa.string())})
    assert summarise(table) == Statistics(0, None, None, None, None, None, None)
