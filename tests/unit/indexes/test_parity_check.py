"""Knn recall counted by hand, ties included, and the check that guards promotion."""

import numpy as np
import pytest

from lookalike.errors import ParityFailed
from lookalike.indexes.exact_scan import exact_neighbours
from lookalike.indexes.living import Embeddings, LivingIndex
from lookalike.indexes.parity import ParityReport, check_parity, knn_recall, sample_queries
from lookalike.indexes.port import NO_PARAMS, Metric, Neighbours, Params
from lookalike.types.filters import Filter

# Cosines with [1, 0]: 1, 0.8, 0.8, 0.6, 0, -1.
ROWS = np.array([[1, 0], [0.8, 0.6], [0.8, -0.6], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
QUERY = np.array([[1.0, 0.0]])


@pytest.mark.parametrize(
    ("rows", "recall"),
    [
        ([0, 1], 1.0),
        ([0, 2], 1.0),  # ties with the second
        ([2, 1], 1.0),  # both as similar as the second
        ([0, 3], 0.5),
        ([4, 5], 0.0),
        ([0, 0], 0.5),  # twice the same counts once
        ([0, -1], 0.5),
        ([-1, -1], 0.0),
    ],
)
def test_recall_of_two_neighbours_by_hand(rows: list[int], recall: float) -> None:
    exact = exact_neighbours(QUERY, ROWS, 2)
    assert knn_recall(np.array([rows]), QUERY, ROWS, exact).tolist() == [recall]


def test_recall_is_of_what_there_is() -> None:
    exact = exact_neighbours(QUERY, ROWS, 10)
    rows = np.array([[5, 4, 3, 2, 1, 0, -1, -1, -1, -1]])
    assert knn_recall(rows, QUERY, ROWS, exact).tolist() == [1.0]
    nothing = exact_neighbours(QUERY, ROWS, 10, allowed_N=np.zeros(6, bool))
    assert knn_recall(np.full((1, 10), -1), QUERY, ROWS, nothing).tolist() == [1.0]


def test_more_than_k_ties_are_no_more_than_all() -> None:
    equal = np.repeat(ROWS[:1], 5, axis=0)
    exact = exact_neighbours(QUERY, equal, 2)
    assert knn_recall(np.array([[3, 4, 2]]), QUERY, equal, exact).tolist() == [1.0]


class Forgetful:
    """Exact, but it never finds rows below ``first``."""

    metric = Metric("inner_product")

    def __init__(self, embeddings_ND: np.ndarray, first: int) -> None:
        self.embeddings_ND, self.first = embeddings_ND, first
        self.num_embeddings, self.dimension = embeddings_ND.shape

    def search(
        self,
        queries_QD: np.ndarray,
        k: int,
        *,
        allowed_N: np.ndarray | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        allowed = np.arange(self.num_embeddings) >= self.first
        exact = exact_neighbours(queries_QD, self.embeddings_ND, k, allowed_N=allowed)
        return Neighbours(exact.rows_QK, -exact.similarities_QK)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((2000, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_faultless_index_passes(embeddings: np.ndarray) -> None:
    base = Embeddings(embeddings, np.random.default_rng(1).integers(0, 256, (2000, 16)).astype(np.uint8))
    index = Forgetful(embeddings, 0)
    report = check_parity(index, embeddings)
    assert report == ParityReport(1.0, 1.0, 200, 10, None)
    living = check_parity(LivingIndex(index, base, Embeddings.none(8)), embeddings)
    assert living == ParityReport(1.0, 1.0, 200, 10, 0.0)
    living.require(1.0)


def test_what_is_missing_is_counted(embeddings: np.ndarray) -> None:
    report = check_parity(Forgetful(embeddings, 200), embeddings, k=20, num_queries=300)
    assert report.num_queries == 300
    assert report.knn_recall == pytest.approx(0.9, abs=0.02)  # a tenth of the rows is never found
    assert report.worst_query < report.knn_recall
    with pytest.raises(ParityFailed, match=rf"knn recall@20 is {report.knn_recall:.4f} over 300 queries.*0\.9900"):
        report.require(0.99)
    report.require(0.85)


def test_given_queries_and_allowed_rows_are_used(embeddings: np.ndarray) -> None:
    allowed = np.arange(2000) >= 200
    report = check_parity(Forgetful(embeddings, 200), embeddings, queries_QD=embeddings[:7], allowed_N=allowed)
    assert (report.num_queries, report.knn_recall) == (7, 1.0)


def test_a_wrong_similarity_fails() -> None:
    with pytest.raises(ParityFailed, match=r"wrong by 0\.01"):
        ParityReport(1.0, 1.0, 10, 10, 0.01).require(0.5)


def test_queries_are_drawn_by_seed_and_resemble_rows(embeddings: np.ndarray) -> None:
    one, same, other = (sample_queries(embeddings, 50, seed) for seed in (3, 3, 4))
    assert (one == same).all()
    assert not np.array_equal(one, other)
    unit = one / np.linalg.norm(one, axis=1, keepdims=True)
    nearest = (unit @ embeddings.T).max(axis=1)
    assert 0.9 < nearest.min() <= nearest.max() < 1 - 1e-6
    assert sample_queries(embeddings[:3], 50, 0).shape == (3, 8)
    assert sample_queries(embeddings[:0], 50, 0).shape == (0, 8)


def test_an_empty_index_is_at_parity() -> None:
    report = check_parity(Forgetful(np.empty((0, 4), np.float32), 0), np.empty((0, 4), np.float32))
    assert report == ParityReport(1.0, 1.0, 0, 10, None)
