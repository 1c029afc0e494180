"""Metric, normalisation and approximation taken apart: cases that can be computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.trainer.study.decomposition import (
    Metric,
    mean_cosine,
    neighbours,
    overlap,
    paired_differences,
    telescoped,
    unit,
    without_self,
)

# Seen from row 0: cosines .995, .707, 1, .707; distances 9.06, 1, .5, 21.9; inner products 10, 1, .5, 16.
ROWS = np.array([[1, 0], [10, 1], [1, 1], [0.5, 0], [16, 16]], np.float32)
FIRST = np.array([0])
ORDERS = {Metric.COSINE: [3, 1, 2, 4], Metric.EUCLIDEAN: [3, 2, 1, 4], Metric.INNER_PRODUCT: [4, 1, 2, 3]}


def test_a_row_gets_length_one_and_nothing_a_direction():
    made = unit(np.array([[3, 4], [0, 0]], np.float32))
    assert made.tolist() == pytest.approx(np.array([[0.6, 0.8], [2**-0.5, 2**-0.5]]))


@pytest.mark.parametrize("metric", Metric)
def test_each_metric_orders_unnormalised_rows_its_own_way(metric):
    assert neighbours(ROWS, FIRST, 4, metric).tolist() == [ORDERS[metric]]


@pytest.mark.parametrize("metric", Metric)
def test_normalised_rows_are_ordered_alike_by_all(metric):
    found = neighbours(unit(ROWS), FIRST, 2, metric).tolist()
    assert found == [ORDERS[Metric.COSINE][:2]]


def test_there_may_be_fewer_neighbours_than_asked_for():
    allowed = np.array([True, False, True, False, True])
    assert neighbours(ROWS, FIRST, 4, Metric.EUCLIDEAN, allowed_N=allowed).tolist() == [[2, 4, -1, -1]]
    assert neighbours(ROWS, FIRST, 6, Metric.EUCLIDEAN).tolist() == [[3, 2, 1, 4, -1, -1]]
    assert neighbours(ROWS, np.zeros(0, np.int64), 3, Metric.COSINE).shape == (0, 3)


def test_more_queries_and_rows_than_one_block_holds():
    rows = np.random.default_rng(0).standard_normal((2500, 3))
    queries = np.arange(0, 2500, 8)
    found = neighbours(rows, queries, 3, Metric.EUCLIDEAN)
    for query, hits in zip(queries[::50], found[::50], strict=True):
        distances = np.linalg.norm(rows - rows[query], axis=1)
        assert hits.tolist() == np.argsort(distances)[1:4].tolist()


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (12, 4), elements=st.integers(-9, 9)))
def test_on_normalised_rows_no_metric_finds_nearer_ones(rows):
    unit_ND = unit(rows)
    cosines = unit_ND @ unit_ND.T
    queries = np.arange(12)
    by_cosine = np.take_along_axis(cosines, neighbours(unit_ND, queries, 4, Metric.COSINE), axis=1)
    for metric in Metric:
        found = np.take_along_axis(cosines, neighbours(unit_ND, queries, 4, metric), axis=1)
        np.testing.assert_allclose(found, by_cosine, atol=1e-12)


def test_overlap_counts_hits_whatever_their_order():
    first = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [-1, -1, -1, -1]])
    second = np.array([[4, 9, 1, 8], [6, -1, -1, -1], [1, 2, 3, 4]])
    assert overlap(first, second).tolist() == [0.5, 0.5, 1.0]
    assert overlap(first, first).tolist() == [1, 1, 1]


def test_the_query_is_taken_out_of_what_a_library_returns():
    found = np.array([[7, 1, 2], [1, 7, 2], [1, 2, 3], [7, 1, -1]])
    kept = without_self(found, np.array([7, 7, 7, 7]), 2)
    assert kept.tolist() == [[1, 2], [1, 2], [1, 2], [1, -1]]


def test_a_paired_difference_keeps_queries_together():
    hard_and_easy = np.array([0.0, 0.0, 1.0, 1.0, np.nan])
    better = hard_and_easy + 0.25
    (found, none) = paired_differences([better, better], [hard_and_easy, better])
    # The values scatter, the difference does not.
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)
    assert (none.mean, none.low, none.high) == (0, 0, 0)
    assert paired_differences([], []) == []


def test_steps_add_up_to_the_whole_way():
    values = np.array([[0.0, 0.25, np.nan], [0.5, 0.25, 0.5], [0.25, 1.0, 1.0]])
    assert telescoped(values).tolist() == [[0.5, 0.0], [-0.25, 0.75], [0.25, 0.75]]


def test_a_mean_cosine_of_one_is_a_collapse():
    assert mean_cosine(np.tile([0.6, 0.8], (5, 1))) == pytest.approx(1)
    # Pairs: two at a right angle (twice), one opposed.
    assert mean_cosine(np.array([[1.0, 0], [0, 1], [-1, 0]])) == pytest.approx(-1 / 3)
    assert mean_cosine(np.array([[1.0, 0]])) == 0
