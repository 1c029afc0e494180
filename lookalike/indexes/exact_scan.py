"""Exact neighbours by cosine in NumPy: what indexes are measured against.

Shape suffixes: Q queries, N embeddings, D dimension, K neighbours, C candidates of one query.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.indexes.products import largest_products
from lookalike.indexes.similarity import cosines, rounding_slack, unit_queries

_BLOCK = 2**22  # values of queries at a time


@dataclass(frozen=True)
class ExactNeighbours:
    """Best first by cosine, ties by row; -1 and -inf where there are fewer than K."""

    rows_QK: NDArray[np.int64]
    similarities_QK: NDArray[np.float32]


def exact_neighbours(
    queries_QD: ArrayLike,
    embeddings_ND: NDArray[np.float32],
    k: int,
    *,
    exclude_rows: NDArray[np.int64] | None = None,
    allowed_N: NDArray[np.bool_] | None = None,
) -> ExactNeighbours:
    """The ``k`` rows of highest cosine with each query, ties by the lower row; never approximate, uncapped.

    Rows of ``embeddings_ND`` have length 1; queries any but 0.
    ``exclude_rows`` [Q] names one row for each query to leave out (-1: none); only rows where ``allowed_N`` is
    true are looked at. Reads ``embeddings_ND`` (may be memory-mapped) in place: memory stays at tens of MiB
    beside the result. Raises InvalidEmbedding.
    """
    embeddings = np.asarray(embeddings_ND)
    queries = np.asarray(queries_QD)
    allowed_rows = None if allowed_N is None else np.flatnonzero(allowed_N)
    num_queries = len(queries) if queries.ndim == 2 else 1
    found = ExactNeighbours(np.full((num_queries, k), -1, np.int64), np.full((num_queries, k), -np.inf, np.float32))
    step = max(1, _BLOCK // max(1, embeddings.shape[1]))
    # Everything that rounding may hide behind the k-th product is a candidate; one more for the excluded row.
    slack = np.float32(rounding_slack(embeddings.shape[1]))
    for start in range(0, max(1, num_queries), step):
        unit_qD = unit_queries(queries[start : start + step] if queries.ndim == 2 else queries, embeddings.shape[1])
        slacks_q = np.full(len(unit_qD), slack)
        near = largest_products(unit_qD.astype(np.float32), embeddings, k + 1, slacks_q, rows_n=allowed_rows)
        for number, (rows_C, _) in enumerate(near):
            if exclude_rows is not None:
                rows_C = rows_C[rows_C != exclude_rows[start + number]]
            similarities_C = cosines(unit_qD[number : number + 1], embeddings, rows_C[None])[0]
            order = np.lexsort((rows_C, -similarities_C))[:k]
            found.rows_QK[start + number, : len(order)] = rows_C[order]
            found.similarities_QK[start + number, : len(order)] = similarities_C[order]
    return found


def nearest_by_product(
    queries_QD: NDArray[np.float32],
    embeddings_ND: NDArray[np.float32],
    num_candidates: int,
    allowed_rows: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The rows of the largest float32 inner products, largest first, ties by the lower row; int64 [Q, C].

    C is the smaller of ``num_candidates`` and the number of (allowed) rows; when that is all of them they come
    in row order.
    """
    num_rows = len(embeddings_ND) if allowed_rows is None else len(allowed_rows)
    if num_candidates >= num_rows:
        every = np.arange(num_rows) if allowed_rows is None else allowed_rows
        return np.repeat(every[None], len(queries_QD), axis=0)
    found = np.empty((len(queries_QD), num_candidates), np.int64)
    near = largest_products(queries_QD, embeddings_ND, num_candidates, rows_n=allowed_rows)
    for number, (rows_C, products_C) in enumerate(near):
        found[number] = rows_C[np.argsort(-products_C, kind="stable")[:num_candidates]]
    return found
