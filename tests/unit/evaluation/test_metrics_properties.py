"""What holds for every metric on every answer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lookalike.evaluation import metrics


@st.composite
def answers(draw):
    """Relevance of hits [Q, K], R of at least what was found, and a k."""
    width = draw(st.integers(1, 12))
    relevant = draw(arrays(np.bool_, (draw(st.integers(1, 6)), width)))
    missed = draw(arrays(np.int64, len(relevant), elements=st.integers(0, 5)))
    return relevant, np.count_nonzero(relevant, axis=1) + missed, draw(st.integers(1, width))


def every_metric(relevant, wanted, k):
    return {
        "precision": metrics.precision_at_k(relevant, k),
        "recall": metrics.recall_at_k(relevant, wanted, k),
        "AP": metrics.average_precision_at_k(relevant, wanted, k),
        "nDCG": metrics.ndcg_at_k(relevant, wanted, k),
        "hit rate": metrics.hit_rate_at_k(relevant, k),
        "reciprocal rank": metrics.reciprocal_rank_at_k(relevant, k),
    }


@given(answers())
def test_values_are_between_0_and_1(answer):
    relevant, wanted, _ = answer
    deep = np.pad(relevant, ((0, 0), (0, max(0, int(wanted.max()) - relevant.shape[1]))))
    for name, value in {**every_metric(*answer), "R-precision": metrics.r_precision(deep, wanted)}.items():
        assert value.shape == (len(relevant),), name
        assert value.dtype == np.float64, name
        assert ((value >= 0) & (value <= 1)).all(), name


@given(answers(), st.randoms())
def test_a_relevant_hit_in_place_of_an_irrelevant_one_never_makes_it_worse(answer, random):
    relevant, wanted, k = answer
    better = relevant.copy()
    place = (random.randrange(better.shape[0]), random.randrange(better.shape[1]))
    better[place] = True
    found_more = wanted + (np.count_nonzero(better, axis=1) > wanted)
    before, after = every_metric(relevant, found_more, k), every_metric(better, found_more, k)
    for name in before:
        assert (after[name] >= before[name] - 1e-12).all(), name


@given(answers())
def test_recall_and_hit_rate_grow_with_k(answer):
    relevant, wanted, k = answer
    if k == 1:
        return
    assert (metrics.recall_at_k(relevant, wanted, k) >= metrics.recall_at_k(relevant, wanted, k - 1)).all()
    assert (metrics.hit_rate_at_k(relevant, k) >= metrics.hit_rate_at_k(relevant, k - 1)).all()
    grown = metrics.average_precision_at_k(relevant, wanted, k) - metrics.average_precision_at_k(
        relevant, wanted, k - 1
    )
    assert (grown >= -1e-12).all()


@given(st.integers(1, 8), st.integers(1, 12), st.integers(1, 12))
def test_the_best_answer_scores_the_most_there_is(num_queries, num_relevant, k):
    relevant = np.tile(np.arange(max(k, num_relevant)) < num_relevant, (num_queries, 1))
    wanted = np.full(num_queries, num_relevant)
    assert np.allclose(metrics.ndcg_at_k(relevant, wanted, k), 1)
    assert np.allclose(metrics.r_precision(relevant, wanted), 1)
    assert np.allclose(metrics.recall_at_k(relevant, wanted, k), min(1, k / num_relevant))
    assert np.allclose(metrics.average_precision_at_k(relevant, wanted, k), min(1, k / num_relevant))
    assert np.allclose(metrics.precision_at_k(relevant, k), min(1, num_relevant / k))
