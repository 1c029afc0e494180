"""Conclusions from three queries: cases where every draw can be listed."""

from itertools import product

import numpy as np
import pytest

from services.trainer.study.three_queries import (
    draw_queries,
    expected_mean,
    spread,
    verdict,
    win_shares,
)

GROUPS = np.array([0, 0, 1, 2, 2, 2])
MEMBERS = ([0, 1], [2], [3, 4, 5])


def every_draw():
    return np.array(list(product(*MEMBERS)))


def test_one_query_of_each_of_three_groups_each_as_likely():
    drawn = draw_queries(GROUPS, 6000, seed=1)
    assert drawn.shape == (6000, 3)
    for column, members in enumerate(MEMBERS):
        shares = [float(np.mean(drawn[:, column] == member)) for member in members]
        assert shares == pytest.approx([1 / len(members)] * len(members), abs=0.03)
    assert np.array_equal(drawn, draw_queries(GROUPS, 6000, seed=1))
    assert not np.array_equal(drawn, draw_queries(GROUPS, 6000, seed=2))


def test_without_three_groups_three_different_queries():
    for groups in (np.zeros(5, np.int64), np.arange(5)):
        drawn = draw_queries(groups, 3000, seed=0)
        assert {len(set(row)) for row in drawn.tolist()} == {3}
        assert np.bincount(drawn.ravel(), minlength=5) / 9000 == pytest.approx([0.2] * 5, abs=0.02)
    assert draw_queries(np.zeros(2, np.int64), 4, seed=0).shape == (4, 2)
    assert draw_queries(np.zeros(0, np.int64), 4, seed=0).shape == (4, 0)


def test_three_queries_estimate_the_mean_of_the_groups_means():
    values = np.array([1.0, 0.5, 0.25, 0.0, 0.0, 0.75])
    assert expected_mean(values, GROUPS) == pytest.approx((0.75 + 0.25 + 0.25) / 3)
    assert expected_mean(values, GROUPS) == pytest.approx(values[every_draw()].mean())
    assert expected_mean(values, np.zeros(6, np.int64)) == pytest.approx(values.mean())


def test_the_spread_is_that_of_all_draws():
    values = np.array([1.0, 0.5, 0.25, 0.0, 0.0, 0.75])
    means = values[every_draw()].mean(axis=1)
    found = spread(values, GROUPS, draw_queries(GROUPS, 20_000, seed=0))
    assert found.deviation == pytest.approx(means.std(), rel=0.03)
    assert (found.low, found.high) == pytest.approx((means.min(), means.max()))
    # Queries that are all alike leave nothing to chance.
    alike = spread(np.full(6, 0.5), GROUPS, draw_queries(GROUPS, 100, seed=0))
    assert (alike.expected, alike.deviation, alike.low, alike.high) == (0.5, 0, 0.5, 0.5)


def test_the_worse_system_wins_as_often_as_its_query_is_drawn():
    """Systems differ in group 0 alone: on query 0 the better one by 1, on query 1 the worse one by 1/4."""
    better = np.array([1.0, 0.0, 0.5, 0.5, 0.5, 0.5])
    worse = np.array([0.0, 0.25, 0.5, 0.5, 0.5, 0.5])
    assert expected_mean(better - worse, GROUPS) == pytest.approx(0.125)
    found = verdict(better, worse, every_draw())
    assert (found.right, found.wrong, found.tied) == (0.5, 0.5, 0)
    assert (found.low, found.high) == pytest.approx((-1 / 12, 1 / 3))
    same = verdict(better, better, every_draw())
    assert (same.right, same.wrong, same.tied) == (0, 0, 1)


def test_sums_in_another_order_are_ties():
    one, other = np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.2, 0.1])
    assert verdict(one, other, np.array([[0, 1, 2]])).tied == 1


def test_a_shared_win_counts_for_each_its_part():
    values = np.array([[1.0, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert win_shares(values, np.array([[0, 1, 2]])).tolist() == [0.5, 0.5, 0]
    assert win_shares(values, np.array([[1, 1, 1]])) == pytest.approx([1 / 3] * 3)
