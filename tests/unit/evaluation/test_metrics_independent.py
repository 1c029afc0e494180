"""Agreement with ranx and scikit-learn, to 1e-9, wherever they define the same thing."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from lookalike.evaluation import metrics

NUM_QUERIES, NUM_IMAGES, K = 60, 120, 10


@pytest.fixture(scope="module")
def ranked():
    """A ranking of all images for each query, which are relevant, and R (never 0: ranx refuses such queries)."""
    rng = np.random.default_rng(7)
    order = rng.permuted(np.tile(np.arange(NUM_IMAGES), (NUM_QUERIES, 1)), axis=1)
    relevant = rng.random((NUM_QUERIES, NUM_IMAGES)) < rng.uniform(0.01, 0.6, (NUM_QUERIES, 1))
    relevant[np.arange(NUM_QUERIES), rng.integers(0, NUM_IMAGES, NUM_QUERIES)] = True
    hits = np.take_along_axis(relevant, order, axis=1)
    return order, relevant, hits, np.count_nonzero(relevant, axis=1)


@pytest.fixture(scope="module")
def by_ranx(ranked):
    order, relevant, _, _ = ranked
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ranx's and numba's own
        from ranx import Qrels, Run, evaluate

        qrels = Qrels({f"q{q}": {f"d{d}": 1 for d in np.flatnonzero(row)} for q, row in enumerate(relevant)})
        run = Run(
            {f"q{q}": {f"d{d}": float(NUM_IMAGES - rank) for rank, d in enumerate(row)} for q, row in enumerate(order)}
        )
        names = [f"{name}@{K}" for name in ("precision", "recall", "map", "ndcg", "hit_rate", "mrr")]
        evaluate(qrels, run, [*names, "r-precision", "map"], make_comparable=True)
        return {name: np.array([scores[f"q{q}"] for q in range(NUM_QUERIES)]) for name, scores in run.scores.items()}


def test_ranx_finds_the_same(ranked, by_ranx):
    _, _, hits, wanted = ranked
    ours = {
        f"precision@{K}": metrics.precision_at_k(hits, K),
        f"recall@{K}": metrics.recall_at_k(hits, wanted, K),
        f"map@{K}": metrics.average_precision_at_k(hits, wanted, K),
        f"ndcg@{K}": metrics.ndcg_at_k(hits, wanted, K),
        f"hit_rate@{K}": metrics.hit_rate_at_k(hits, K),
        f"mrr@{K}": metrics.reciprocal_rank_at_k(hits, K),
        "r-precision": metrics.r_precision(hits, wanted),
        "map": metrics.average_precision_at_k(hits, wanted, NUM_IMAGES),
    }
    assert ours.keys() == by_ranx.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(values, by_ranx[name], rtol=0, atol=1e-9, err_msg=name)


def test_scikit_learn_finds_the_same(ranked):
    order, relevant, hits, wanted = ranked
    scores = np.empty(order.shape)
    np.put_along_axis(scores, order, np.arange(NUM_IMAGES, 0, -1.0)[None], axis=1)
    ndcg = [ndcg_score(row[None], score[None], k=K) for row, score in zip(relevant, scores, strict=True)]
    whole = [average_precision_score(row, score) for row, score in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(metrics.ndcg_at_k(hits, wanted, K), ndcg, rtol=0, atol=1e-9)
    np.testing.assert_allclose(metrics.average_precision_at_k(hits, wanted, NUM_IMAGES), whole, rtol=0, atol=1e-9)
