import numpy as np
import pytest
from scipy import stats

from curate.stages.select import FrequencyBins
from curate.stages.select.distribution_distance import describe, describe_target


def target(mean: float, std: float, minimum: float | None) -> FrequencyBins:
    return FrequencyBins.fit(np.array([]), 12, mean, std, minimum)


@pytest.mark.parametrize("minimum", [None, -2.3, -1.2, -0.5])
def test_distances_equal_scipys(minimum: float | None) -> None:
    low = -np.inf if minimum is None else (minimum + 1.5) / 0.4
    normal = stats.truncnorm(low, np.inf, loc=-1.5, scale=0.4)
    x_N = np.random.default_rng(4).normal(-1.4, 0.5, 800)
    x_N = x_N[x_N >= (minimum or -9)]
    found = describe(x_N, target(-1.5, 0.4, minimum))
    assert found["ks"] == pytest.approx(stats.ks_1samp(x_N, normal.cdf).statistic, abs=1e-6)
    fine = normal.ppf((np.arange(200_000) + 0.5) / 200_000)
    assert found["wasserstein"] == pytest.approx(stats.wasserstein_distance(x_N, fine), abs=2e-3)
    assert found["skewness"] == pytest.approx(stats.skew(x_N), abs=1e-6)
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(x_N), abs=1e-6)
    moments = [float(value) for value in normal.stats("mvsk")]
    own = describe_target(target(-1.5, 0.4, minimum))
    assert own["mean"] == pytest.approx(moments[0], abs=1e-4)
    assert own["std"] == pytest.approx(moments[1] ** 0.5, abs=1e-4)
    assert own["skewness"] == pytest.approx(moments[2], abs=1e-3)
    assert own["kurtosis"] == pytest.approx(moments[3], abs=1e-2)


def test_sample_of_target_has_small_distance() -> None:
    x_N = np.random.default_rng(5).normal(-1.5, 0.4, 300_000)  # more than are looked at one by one
    found = describe(x_N, target(-1.5, 0.4, None))
    assert found["ks"] < 0.005
    assert found["wasserstein"] < 0.005


@pytest.mark.parametrize("values", [[], [-1.0], [-1.0] * 9])
def test_shape_of_too_few_values_is_none(values: list[float]) -> None:
    found = describe(np.array(values), target(-1.5, 0.4, None))
    assert found["skewness"] is found["kurtosis"] is None
    assert (found["ks"] is None) == (not values)


def test_target_far_below_minimum_is_described() -> None:
    describe(np.array([-1.0, -0.5]), target(-30.0, 0.1, -1.0))
    describe_target(target(-30.0, 0.1, -1.0))
