"""Whether an index returns the neighbours that exact search returns: the check before promotion.

Shape suffixes: Q queries, K neighbours, N embeddings, D dimension.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ParityFailed
from lookalike.indexes.exact_scan import ExactNeighbours, exact_neighbours
from lookalike.indexes.living import LivingIndex
from lookalike.indexes.port import NO_PARAMS, Index, Params
from lookalike.indexes.similarity import cosines, unit_queries

_NOISE = 0.1


@dataclass(frozen=True)
class ParityReport:
    """How well an index agrees with exact search by cosine.

    ``knn_recall`` is the mean over the queries, ``worst_query`` the lowest of one query.
    ``max_similarity_error`` is the largest difference between a similarity that the index reported and the
    cosine computed anew; None for an index that reports only its own distances.
    """

    knn_recall: float
    worst_query: float
    num_queries: int
    k: int
    max_similarity_error: float | None

    def require(self, min_knn_recall: float, max_similarity_error: float = 1e-6) -> None:
        """Raises ParityFailed, naming the figures, when this is worse than asked."""
        if self.knn_recall < min_knn_recall:
            raise ParityFailed(
                f"knn recall@{self.k} is {self.knn_recall:.4f} over {self.num_queries} queries, "
                f"at least {min_knn_recall:.4f} is wanted",
                knn_recall=self.knn_recall,
                wanted=min_knn_recall,
                k=self.k,
            )
        if self.max_similarity_error is not None and self.max_similarity_error > max_similarity_error:
            raise ParityFailed(
                f"a similarity is wrong by {self.max_similarity_error:.2g}, {max_similarity_error:.2g} is allowed",
                max_similarity_error=self.max_similarity_error,
                allowed=max_similarity_error,
            )


def knn_recall(
    rows_QK: NDArray[np.int64],
    queries_QD: NDArray[np.floating],
    embeddings_ND: NDArray[np.float32],
    exact: ExactNeighbours,
) -> NDArray[np.float64]:
    """The share of its exact neighbours that each query was given, float64 [Q].

    Ties count: any row that is as similar as the k-th exact neighbour is as good as it. A row returned twice
    counts once. 1 where there is nothing to find.
    """
    unit_QD = unit_queries(queries_QD, embeddings_ND.shape[1])
    similarities_QK = cosines(unit_QD, embeddings_ND, rows_QK)
    num_exact_Q = np.count_nonzero(exact.rows_QK >= 0, axis=1)
    kth_Q = np.min(exact.similarities_QK, axis=1, initial=np.inf, where=exact.rows_QK >= 0)
    order = np.argsort(rows_QK, axis=1, kind="stable")
    sorted_QK = np.take_along_axis(rows_QK, order, axis=1)
    new_QK = np.ones(rows_QK.shape, np.bool_)
    new_QK[:, 1:] = sorted_QK[:, 1:] != sorted_QK[:, :-1]
    found_QK = (sorted_QK >= 0) & new_QK & (np.take_along_axis(similarities_QK, order, axis=1) >= kth_Q[:, None])
    num_found_Q = np.minimum(np.count_nonzero(found_QK, axis=1), num_exact_Q)
    return np.where(num_exact_Q > 0, num_found_Q / np.maximum(num_exact_Q, 1), 1.0)


def sample_queries(embeddings_ND: NDArray[np.float32], num_queries: int, seed: int) -> NDArray[np.float32]:
    """At most ``num_queries`` rows drawn without replacement, each with noise of a tenth of its length.

    Rows themselves would flatter graph indexes, whose links start at them; the noise makes them new images
    that resemble the gallery. The same seed draws the same.
    """
    rng = np.random.default_rng(seed)
    num_rows, dimension = embeddings_ND.shape
    rows = np.sort(rng.choice(num_rows, size=min(num_queries, num_rows), replace=False))
    noise = rng.standard_normal((len(rows), dimension), dtype=np.float32) * np.float32(_NOISE / dimension**0.5)
    queries: NDArray[np.float32] = embeddings_ND[rows] + noise
    return queries


def check_parity(
    searched: LivingIndex | Index,
    embeddings_ND: NDArray[np.float32],
    *,
    k: int = 10,
    num_queries: int = 200,
    seed: int = 0,
    queries_QD: NDArray[np.floating] | None = None,
    allowed_N: NDArray[np.bool_] | None = None,
    params: Params = NO_PARAMS,
) -> ParityReport:
    """Compares ``searched`` with exact search over the same rows.

    Args:
        searched: an index as opened, or as callers see it.
        embeddings_ND: its rows (of a living index: base, then delta).
        k: neighbours of each query.
        num_queries: how many are drawn with :func:`sample_queries`, and ``seed`` its seed.
        queries_QD: asked instead of drawn ones.
        allowed_N: rows that can be found; name the living ones of an index with deleted rows.
        params: of the backend, validated and complete.
    """
    embeddings = np.asarray(embeddings_ND)
    queries = sample_queries(embeddings, num_queries, seed) if queries_QD is None else queries_QD
    unit_QD = unit_queries(queries, embeddings.shape[1])
    exact = exact_neighbours(queries, embeddings, k, allowed_N=allowed_N)
    error: float | None = None
    if isinstance(searched, LivingIndex):
        ranked = searched.search(queries, k, allowed_N=allowed_N, params=params)
        rows_QK, hits_QK = ranked.rows_QK, ranked.rows_QK >= 0
        true_QK = cosines(unit_QD, embeddings, rows_QK)
        differences = np.abs(ranked.similarities_QK[hits_QK] - true_QK[hits_QK])
        error = float(differences.max(initial=0.0))
    else:
        rows_QK = searched.search(unit_QD.astype(np.float32), k, allowed_N=allowed_N, params=params).rows_QK
    recall_Q = knn_recall(rows_QK, queries, embeddings, exact)
    return ParityReport(
        knn_recall=float(recall_Q.mean()) if len(recall_Q) else 1.0,
        worst_query=float(recall_Q.min(initial=1.0)),
        num_queries=len(recall_Q),
        k=k,
        max_similarity_error=error,
    )
