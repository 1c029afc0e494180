"""The exact scan against a float64 sort, with ties, masks and near duplicates."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.indexes import products as products_module
from lookalike.indexes import scan as scan_module
from lookalike.indexes.port import Metric, Neighbours
from lookalike.indexes.scan import complete_short, no_neighbours, scan, scan_is_cheaper

METRICS = [Metric("cosine"), Metric("euclidean"), Metric("squared_euclidean"), Metric("inner_product")]


def _unit(random: np.random.Generator, num: int, dimension: int) -> NDArray[np.float32]:
    points = random.standard_normal((num, dimension))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    num=st.integers(1, 120),
    num_queries=st.integers(1, 7),
    dimension=st.integers(1, 24),
    k=st.integers(1, 40),
    share=st.sampled_from([None, 0.0, 0.1, 0.6, 1.0]),
    metric=st.sampled_from(METRICS),
)
def test_the_nearest_in_float64_and_ties_by_row(
    seed: int, num: int, num_queries: int, dimension: int, k: int, share: float | None, metric: Metric
) -> None:
    random = np.random.default_rng(seed)
    embeddings = np.repeat(_unit(random, num, dimension), 2, axis=0)[random.permutation(2 * num)]  # every row twice
    queries = _unit(random, num_queries, dimension)
    allowed = None if share is None else random.random(2 * num) < share
    found = scan(metric, queries, embeddings, k, allowed_N=allowed)
    rows = np.arange(2 * num) if allowed is None else np.flatnonzero(allowed)
    num_expected = min(k, len(rows))
    assert (found.rows_QK[:, num_expected:] == -1).all()
    assert np.isposinf(found.distances_QK[:, num_expected:]).all()
    for query, found_rows in zip(queries.astype(np.float64), found.rows_QK[:, :num_expected], strict=True):
        # Distances that differ by less than float32 can say are ties as well: compare products, not rows.
        products = embeddings.astype(np.float64) @ query
        best = np.sort(products[rows])[::-1][:num_expected]
        np.testing.assert_allclose(products[found_rows], best, atol=1e-6)
        for first, second in itertools.pairwise(found_rows):
            assert first < second or not np.array_equal(embeddings[first], embeddings[second])


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_come_lowest_first(metric: Metric) -> None:
    random = np.random.default_rng(0)
    embeddings = _unit(random, 2000, 512)
    embeddings[300:1900] = embeddings[300]
    for queries in (embeddings[300:301], embeddings[300:306]):
        found = scan(metric, queries, embeddings, 50)
        assert (found.rows_QK == np.arange(300, 350)).all()
        if metric.name != "inner_product":
            assert (found.distances_QK == 0).all()


def test_near_duplicates_are_told_apart() -> None:
    query = np.zeros((1, 512), np.float32)
    query[0, 0] = 1
    embeddings = np.repeat(query, 300, axis=0)
    embeddings[:, 1] = np.arange(300, 0, -1) * 1e-6  # the last row is the nearest; products are all 1 in float32
    found = scan(Metric("euclidean"), query, embeddings, 5)
    assert found.rows_QK[0].tolist() == [299, 298, 297, 296, 295]
    np.testing.assert_allclose(found.distances_QK[0], np.arange(1, 6) * 1e-6, rtol=1e-5)


def test_order_below_the_rounding_of_products_is_right() -> None:
    random = np.random.default_rng(2)
    query = _unit(random, 1, 512)
    steps = _unit(random, 300, 512) * np.arange(300, 0, -1, dtype=np.float32)[:, None] * 1e-6
    near = (query + steps).astype(np.float64)  # each row is nearer than the one before
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    embeddings = np.concatenate([_unit(random, 700, 512), near.astype(np.float32)])
    found = scan(Metric("euclidean"), query, embeddings, 10)
    assert found.rows_QK[0].tolist() == list(range(999, 989, -1))


def test_small_buffers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    embeddings, queries, allowed = _unit(random, 500, 8), _unit(random, 9, 8), random.random(500) < 0.3
    whole = [scan(METRICS[1], queries, embeddings, 20, allowed_N=mask) for mask in (None, allowed)]
    for module in (scan_module, products_module):
        monkeypatch.setattr(module, "_BUFFER_FLOATS", 1100)
    for mask, expected in zip((None, allowed), whole, strict=True):
        found = scan(METRICS[1], queries, embeddings, 20, allowed_N=mask)
        np.testing.assert_array_equal(found.rows_QK, expected.rows_QK)
        np.testing.assert_array_equal(found.distances_QK, expected.distances_QK)


def test_only_short_answers_are_replaced() -> None:
    embeddings = np.eye(4, dtype=np.float32)
    found = Neighbours(np.array([[3, 2], [1, -1]]), np.array([[7, 8], [0, np.inf]], np.float32))
    completed = complete_short(found, Metric("euclidean"), embeddings[:2], embeddings, None)
    assert completed.rows_QK.tolist() == [[3, 2], [1, 0]]
    np.testing.assert_allclose(completed.distances_QK, [[7, 8], [0, 2**0.5]])
    nothing = complete_short(no_neighbours(2, 3), METRICS[0], embeddings[:2], embeddings, np.zeros(4, bool))
    assert (nothing.rows_QK == -1).all()


@pytest.mark.parametrize(
    ("num_allowed", "num_embeddings", "k", "expected"),
    [
        (0, 0, 1, True),
        (1000, 1000, 10, False),  # no filter
        (1000, 1000, 500, True),
        (14_000, 100_000, 10, True),  # 14 000 rows against 2000 / 0.14
        (15_000, 100_000, 10, False),
        (140_000, 10_000_000, 10, True),
        (142_000, 10_000_000, 10, False),
    ],
)
def test_a_scan_is_chosen_where_it_looks_at_fewer_rows(
    num_allowed: int, num_embeddings: int, k: int, expected: bool
) -> None:
    assert scan_is_cheaper(num_allowed, num_embeddings, k) is expected
