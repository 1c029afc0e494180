"""Every metric against values worked out by hand."""

import math

import numpy as np
import pytest

from lookalike.evaluation import metrics

# Ranks 1 to 5: relevant at 1, 3 and 4; R = 4, so one relevant image was not found.
HITS = np.array([[True, False, True, True, False]])
FOUR = np.array([4])
NOTHING = np.zeros((1, 5), np.bool_)
NONE = np.array([0])


@pytest.mark.parametrize(("k", "wanted"), [(1, 1.0), (2, 1 / 2), (3, 2 / 3), (4, 3 / 4), (5, 3 / 5)])
def test_precision_is_the_relevant_share_of_the_first_k(k, wanted):
    assert metrics.precision_at_k(HITS, k)[0] == pytest.approx(wanted, abs=1e-15)


@pytest.mark.parametrize(("k", "wanted"), [(1, 1 / 4), (2, 1 / 4), (3, 2 / 4), (5, 3 / 4)])
def test_recall_is_divided_by_all_relevant_images(k, wanted):
    assert metrics.recall_at_k(HITS, FOUR, k)[0] == pytest.approx(wanted, abs=1e-15)


def test_r_precision_looks_at_exactly_the_first_R():
    assert metrics.r_precision(HITS, FOUR)[0] == 3 / 4
    assert metrics.r_precision(HITS, np.array([2]))[0] == 1 / 2
    assert metrics.r_precision(HITS, np.array([1]))[0] == 1


def test_average_precision_sums_precision_at_relevant_ranks():
    # (1/1 + 2/3 + 3/4) / 4, and cut at 3: (1/1 + 2/3) / 4. Divided by R, not by min(k, R).
    assert metrics.average_precision_at_k(HITS, FOUR, 5)[0] == pytest.approx((1 + 2 / 3 + 3 / 4) / 4, abs=1e-15)
    assert metrics.average_precision_at_k(HITS, FOUR, 3)[0] == pytest.approx((1 + 2 / 3) / 4, abs=1e-15)
    assert metrics.average_precision_at_k(HITS, np.array([30]), 3)[0] == pytest.approx((1 + 2 / 3) / 30, abs=1e-15)


def test_ndcg_discounts_by_the_logarithm_of_the_rank():
    gained = 1 + 1 / math.log2(4) + 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4) + 1 / math.log2(5)
    assert metrics.ndcg_at_k(HITS, FOUR, 5)[0] == pytest.approx(gained / ideal, abs=1e-15)
    # Cut at 2 the best order possible has 2 relevant hits.
    assert metrics.ndcg_at_k(HITS, FOUR, 2)[0] == pytest.approx(1 / (1 + 1 / math.log2(3)), abs=1e-15)


def test_hit_rate_and_reciprocal_rank():
    late = np.array([[False, False, True]])
    assert metrics.hit_rate_at_k(late, 2)[0] == 0
    assert metrics.hit_rate_at_k(late, 3)[0] == 1
    assert metrics.reciprocal_rank_at_k(late, 2)[0] == 0
    assert metrics.reciprocal_rank_at_k(late, 3)[0] == 1 / 3


@pytest.mark.parametrize(
    "metric",
    [
        lambda hits: metrics.precision_at_k(hits, 3),
        lambda hits: metrics.recall_at_k(hits, NONE, 3),
        lambda hits: metrics.r_precision(hits, NONE),
        lambda hits: metrics.average_precision_at_k(hits, NONE, 3),
        lambda hits: metrics.ndcg_at_k(hits, NONE, 3),
        lambda hits: metrics.hit_rate_at_k(hits, 3),
        lambda hits: metrics.reciprocal_rank_at_k(hits, 3),
    ],
)
def test_a_query_with_nothing_relevant_scores_zero_and_no_nan(metric):
    assert metric(NOTHING).tolist() == [0.0]


def test_fewer_hits_than_k_count_as_misses():
    """Two images were all there was to return; the divisor of precision stays k."""
    padded = np.array([[True, True, False, False]])
    assert metrics.precision_at_k(padded, 4)[0] == 0.5
    assert metrics.recall_at_k(padded, np.array([2]), 4)[0] == 1
    assert metrics.average_precision_at_k(padded, np.array([2]), 4)[0] == 1
    assert metrics.ndcg_at_k(padded, np.array([2]), 4)[0] == 1


def test_fewer_ranks_than_a_metric_looks_at_are_refused():
    with pytest.raises(ValueError, match="5 ranks are given and 6 needed"):
        metrics.precision_at_k(HITS, 6)
    with pytest.raises(ValueError, match="5 ranks are given and 9 needed"):
        metrics.r_precision(HITS, np.array([9]))
    with pytest.raises(ValueError, match="at least 1"):
        metrics.hit_rate_at_k(HITS, 0)


def test_queries_do_not_influence_each_other():
    many = np.concatenate([HITS, NOTHING, ~NOTHING])
    wanted = np.array([4, 2, 5])
    assert metrics.average_precision_at_k(many, wanted, 5).tolist() == [
        metrics.average_precision_at_k(many[row : row + 1], wanted[row : row + 1], 5)[0] for row in range(3)
    ]
    assert metrics.r_precision(many, wanted).tolist() == [3 / 4, 0, 1]
