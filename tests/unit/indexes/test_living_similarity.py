"""Similarity is one figure, whatever is asked for beside it; bad queries are refused by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import InvalidEmbedding
from lookalike.indexes.exact_scan import exact_neighbours, nearest_by_product
from lookalike.indexes.similarity import cosines, rounding_slack, unit_queries


def test_cosines_are_those_computed_by_hand() -> None:
    embeddings = np.array([[1, 0], [0.6, 0.8], [-1, 0], [3, 4], [0, 0]], np.float32)
    found = cosines(unit_queries([[2.0, 0.0]], 2), embeddings, np.array([[0, 1, 2, 3, 4, -1]]))
    assert found.tolist() == [[1.0, np.float32(0.6), -1.0, np.float32(0.6), 0.0, -np.inf]]


def test_a_stored_embedding_is_exactly_one_with_itself() -> None:
    embeddings = np.random.default_rng(1).standard_normal((300, 77)).astype(np.float32)
    found = cosines(unit_queries(embeddings * np.float32(3.7), 77), embeddings, np.arange(300)[:, None])
    assert (found == 1).all()


@pytest.mark.parametrize("dimension", [1, 2, 7, 64, 513, 50_176])
def test_similarity_does_not_depend_on_what_is_asked_beside_it(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    embeddings = rng.standard_normal((12, dimension)).astype(np.float32)
    queries = unit_queries(rng.standard_normal((5, dimension)), dimension)
    rows = rng.integers(0, 12, (5, 9))
    together = cosines(queries, embeddings, rows)
    for query in range(5):
        for place in range(9):
            alone = cosines(
                queries[query : query + 1],
                embeddings[rows[query, place] : rows[query, place] + 1].copy(),
                np.zeros((1, 1), np.int64),
            )
            assert alone[0, 0] == together[query, place]


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1.0, 1e38, 1e300])
def test_length_of_a_query_does_not_matter(scale: float) -> None:
    assert unit_queries(np.array([[3.0, 4.0]]) * scale, 2) == pytest.approx(np.array([[0.6, 0.8]]), abs=1e-15)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.zeros((2, 3)), "query 0 is of length 0"),
        (np.array([[1.0, 2, 3], [0, np.nan, 0]]), "query 1 holds NaN"),
        (np.array([[1.0, 2, np.inf]]), "query 0 holds NaN or infinity"),
        (np.array([[1.0, 2, 3, 4]]), "shape"),
        (np.array([1.0, 2, 3]), "shape"),
        (np.ones((1, 1, 3)), "shape"),
        (np.ones((1, 3), np.int64), "floating-point"),
        (np.array([["a", "b", "c"]]), "floating-point"),
    ],
)
def test_wrong_queries_are_refused(queries: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidEmbedding, match=message):
        unit_queries(queries, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 120), st.integers(1, 6), st.integers(1, 30), st.integers(0, 6), st.integers(0, 2**32), st.booleans()
)
def test_exact_neighbours_are_those_of_a_full_sort(
    num_rows: int, dimension: int, k: int, num_queries: int, seed: int, excluding: bool
) -> None:
    rng = np.random.default_rng(seed)
    # Few distinct values: most rows tie with others.
    embeddings = rng.integers(-1, 2, (num_rows, dimension)).astype(np.float32)
    embeddings[~embeddings.any(axis=1)] = 1
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    queries = rng.integers(-2, 3, (num_queries, dimension)).astype(np.float64)
    queries[~queries.any(axis=1)] = 1
    allowed = rng.random(num_rows) < 0.8
    excluded = rng.integers(-1, max(1, num_rows), num_queries) if excluding else None
    found = exact_neighbours(queries, embeddings, k, exclude_rows=excluded, allowed_N=allowed)
    unit = unit_queries(queries, dimension)
    for query in range(num_queries):
        rows = [row for row in np.flatnonzero(allowed) if excluded is None or row != excluded[query]]
        similarities = cosines(unit[query : query + 1], embeddings, np.array([rows], np.int64).reshape(1, -1))[0]
        wanted = sorted(zip((-similarities).tolist(), rows, strict=True))[:k]
        count = len(wanted)
        assert found.rows_QK[query, :count].tolist() == [row for _, row in wanted]
        assert (-found.similarities_QK[query, :count]).tolist() == [value for value, _ in wanted]
        assert (found.rows_QK[query, count:] == -1).all()
        assert (found.similarities_QK[query, count:] == -np.inf).all()


def test_exact_neighbours_resolve_more_ties_than_they_fetch_at_first() -> None:
    embeddings = np.tile(np.array([[1, 0]], np.float32), (5000, 1))
    embeddings[4000] = [0.8, 0.6]
    found = exact_neighbours(np.array([[1.0, 0.0], [0.8, 0.6]]), embeddings, 4, exclude_rows=np.array([1, -1]))
    assert found.rows_QK.tolist() == [[0, 2, 3, 4], [4000, 0, 1, 2]]


def test_largest_products_come_first_across_blocks() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((9000, 600)).astype(np.float32)  # more than one block
    queries = rng.standard_normal((3, 600)).astype(np.float32)
    found = nearest_by_product(queries, embeddings, 40)
    assert (found == np.argsort(-(queries @ embeddings.T), axis=1)[:, :40]).all()


def test_slack_covers_the_rounding_of_float32_products() -> None:
    rng = np.random.default_rng(0)
    for dimension in (1, 3, 512, 50_176):
        embeddings = unit_queries(rng.standard_normal((64, dimension)), dimension).astype(np.float32)
        true = cosines(embeddings.astype(np.float64), embeddings, np.tile(np.arange(64), (64, 1)))
        assert np.abs(embeddings @ embeddings.T - true).max() < rounding_slack(dimension) / 2
