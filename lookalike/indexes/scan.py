"""Exact search over chosen rows: the exact backend's core, and what approximate ones fall back to.

Shape suffixes: N embeddings, n allowed ones, D dimension, Q queries, K neighbours.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.distances import pair_distances
from lookalike.indexes.port import Metric, Neighbours
from lookalike.indexes.products import Products, largest_products, matrix_products

_BUFFER_FLOATS = 8 * 2**20  # 32 MiB of gathered rows at a time
# A filtered graph or tree search looks at some thousand candidates divided by the share that is allowed; a
# scan, at all allowed rows. Below this many rows times their share the scan looks at fewer.
_SCANNED_ROWS = 2000


def no_neighbours(num_queries: int, k: int) -> Neighbours:
    """Neighbours of nothing: -1 and +inf everywhere."""
    return Neighbours(np.full((num_queries, k), -1, np.int64), np.full((num_queries, k), np.inf, np.float32))


def scan_is_cheaper(num_allowed: int, num_embeddings: int, k: int) -> bool:
    """Whether :func:`scan` beats an approximate index that has to find ``k`` of the allowed rows."""
    return 2 * k >= num_allowed or (
        num_allowed < num_embeddings and num_allowed * num_allowed < _SCANNED_ROWS * num_embeddings
    )


def scan(
    metric: Metric,
    queries_QD: NDArray[np.float32],
    embeddings_ND: NDArray[np.float32],
    k: int,
    *,
    allowed_N: NDArray[np.bool_] | None = None,
    products: Products = matrix_products,
) -> Neighbours:
    """The exact ``k`` nearest (allowed) rows of each query, by distance and then by row.

    Rows of ``embeddings_ND`` must have length 1, and ``metric`` be one that then orders them as the inner
    product does: any of Metric but ``minkowski`` with p other than 2. Candidates come from float32 products;
    everything within their rounding error of the k-th is measured again with ``pair_distances``, so that order,
    ties and the distances of near duplicates are right.
    """
    found = no_neighbours(len(queries_QD), k)
    rows_n = None if allowed_N is None else np.flatnonzero(allowed_N)
    slacks_Q = np.array([_rounding(query_D) for query_D in queries_QD], np.float32)
    near = largest_products(queries_QD, embeddings_ND, k, slacks_Q, rows_n=rows_n, products=products)
    for number, (candidates, _) in enumerate(near):
        rows, distances = nearest_of(metric, queries_QD[number], embeddings_ND, candidates, k)
        found.rows_QK[number, : len(rows)] = rows
        found.distances_QK[number, : len(rows)] = distances
    return found


def nearest_of(
    metric: Metric,
    query_D: NDArray[np.float32],
    embeddings_ND: NDArray[np.float32],
    rows: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Up to ``k`` of ``rows``, measured with ``pair_distances`` and sorted by distance, then row."""
    step = max(1, _BUFFER_FLOATS // embeddings_ND.shape[1])
    parts = [
        pair_distances(metric, query_D[None], embeddings_ND[rows[start : start + step]][None])[0]
        for start in range(0, len(rows), step)
    ]
    distances = np.concatenate(parts) if parts else np.empty(0, np.float32)
    order = np.lexsort((rows, distances))[:k]
    return rows[order], distances[order]


def complete_short(
    found: Neighbours,
    metric: Metric,
    queries_QD: NDArray[np.float32],
    embeddings_ND: NDArray[np.float32],
    allowed_N: NDArray[np.bool_] | None,
) -> Neighbours:
    """``found``, where queries with fewer neighbours than exist are answered by :func:`scan` instead."""
    k = found.rows_QK.shape[1]
    num_rows = len(embeddings_ND) if allowed_N is None else int(np.count_nonzero(allowed_N))
    short = np.flatnonzero(np.count_nonzero(found.rows_QK >= 0, axis=1) < min(k, num_rows))
    if len(short):
        exact = scan(metric, queries_QD[short], embeddings_ND, k, allowed_N=allowed_N)
        found.rows_QK[short], found.distances_QK[short] = exact.rows_QK, exact.distances_QK
    return found


def _rounding(query_D: NDArray[np.float32]) -> float:
    # Twice the error of a float32 inner product with a vector of length 1: errors of the D sums add up like a
    # random walk (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.8); the 8 covers
    # rows whose length is only nearly 1.
    length = float(np.linalg.norm(query_D))
    return length * float(np.finfo(np.float32).eps) * (8 + math.sqrt(len(query_D)))
