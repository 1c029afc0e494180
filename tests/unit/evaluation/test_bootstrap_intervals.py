"""Bootstrap intervals: how often they hold the truth, that they repeat, and the degenerate cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lookalike.evaluation.bootstrap import intervals


def test_agrees_with_the_analytic_interval_of_a_mean():
    """For many queries the percentile interval is mean +- 1.96 standard errors."""
    values = (np.random.default_rng(1).random(2000) < 0.3).astype(np.float64)
    made = intervals(values[:, None], num_resamples=4000)[0]
    error = values.std() / len(values) ** 0.5
    assert made.mean == values.mean()
    assert made.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert made.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_holds_the_true_mean_in_about_95_of_100_samples():
    """300 samples of 100 draws; 3 standard errors of that share are 0.038."""
    rng = np.random.default_rng(2)
    made = [intervals(rng.random((100, 1)) < 0.5, seed=number)[0] for number in range(300)]
    share = np.mean([one.low <= 0.5 <= one.high for one in made])
    assert 0.95 - 0.038 <= share <= 0.95 + 0.038


def test_the_same_seed_gives_the_same_and_another_another():
    values = np.random.default_rng(3).random((50, 2))
    assert intervals(values, seed=5) == intervals(values, seed=5)
    assert intervals(values, seed=5) != intervals(values, seed=6)


def test_large_samples_are_resampled_in_blocks():
    """More weights than are held at a time: every block counts, and the interval is as narrow as it should be."""
    values = np.tile([0.0, 1.0], 25_000)[:, None]
    made = intervals(values, num_resamples=200)[0]
    assert made.high - made.low == pytest.approx(2 * 1.96 * 0.5 / 50_000**0.5, rel=0.3)


def test_no_query_one_query_and_equal_queries():
    nothing = intervals(np.zeros((0, 2)))
    assert [(one.mean, one.low, one.high) for one in nothing] == [(None, None, None)] * 2
    for values in (np.array([[0.3]]), np.full((40, 1), 0.1)):
        made = intervals(values)[0]
        assert made.low == pytest.approx(values[0, 0], abs=1e-15)
        assert made.high == pytest.approx(values[0, 0], abs=1e-15)


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        intervals(np.array([[0.5], [np.nan]]))


@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 3)), elements=st.floats(0, 1)))
def test_the_interval_holds_the_mean_and_stays_within_the_values(values):
    for column, made in zip(values.T, intervals(values, num_resamples=50), strict=True):
        assert made.low <= made.mean <= made.high
        assert made.low >= column.min() - 1e-12
        assert made.high <= column.max() + 1e-12
