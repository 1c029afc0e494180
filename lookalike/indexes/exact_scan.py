"""Exact neighbours by cosine in NumPy: what indexes are measured against.

Shape suffixes: Q queries, N embeddings, D dimension, K neighbours, F candidates (K and a margin).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.indexes.similarity import cosines, rounding_slack, unit_queries

_BLOCK = 2**22  # float32 products held at a time, 16 MiB; and as many values of a block of embeddings
_MARGIN = 16


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
    true are looked at. Reads ``embeddings_ND`` (may be memory-mapped) in blocks: memory stays at tens of MiB
    beside the result. Raises InvalidEmbedding.
    """
    embeddings = np.asarray(embeddings_ND)
    queries = np.asarray(queries_QD)
    allowed_rows = None if allowed_N is None else np.flatnonzero(allowed_N)
    num_queries = len(queries) if queries.ndim == 2 else 1
    step = max(1, min(1024, _BLOCK // max(1, embeddings.shape[1])))
    blocks = []
    for start in range(0, max(1, num_queries), step):
        unit_qD = unit_queries(queries[start : start + step] if queries.ndim == 2 else queries, embeddings.shape[1])
        excluded = np.full(len(unit_qD), -1, np.int64) if exclude_rows is None else exclude_rows[start : start + step]
        blocks.append(_nearest(unit_qD, embeddings, allowed_rows, k, excluded, k + 1 + _MARGIN))
    return ExactNeighbours(
        np.concatenate([block.rows_QK for block in blocks]),
        np.concatenate([block.similarities_QK for block in blocks]),
    )


def _nearest(
    unit_QD: NDArray[np.float64],
    embeddings_ND: NDArray[np.float32],
    allowed_rows: NDArray[np.int64] | None,
    k: int,
    excluded_Q: NDArray[np.int64],
    num_candidates: int,
) -> ExactNeighbours:
    rows_QF = nearest_by_product(unit_QD.astype(np.float32), embeddings_ND, num_candidates, allowed_rows)
    similarities_QF = cosines(unit_QD, embeddings_ND, rows_QF)
    lowest_Q = similarities_QF.min(axis=1, initial=np.inf)  # -inf where all there are have been found
    left_out = (rows_QF == excluded_Q[:, None]) & (rows_QF >= 0)
    rows_QF, similarities_QF = np.where(left_out, -1, rows_QF), np.where(left_out, -np.inf, similarities_QF)
    order = np.lexsort((rows_QF, -similarities_QF), axis=-1)[:, :k]
    width = order.shape[1]
    found = ExactNeighbours(np.full((len(unit_QD), k), -1, np.int64), np.full((len(unit_QD), k), -np.inf, np.float32))
    found.rows_QK[:, :width] = np.take_along_axis(rows_QF, order, axis=1)
    found.similarities_QK[:, :width] = np.take_along_axis(similarities_QF, order, axis=1)
    # A row that was not fetched is at most at the lowest fetched one's cosine, give or take the rounding.
    unsure = found.similarities_QK[:, -1] <= lowest_Q + rounding_slack(embeddings_ND.shape[1])
    num_rows = len(embeddings_ND) if allowed_rows is None else len(allowed_rows)
    again = np.flatnonzero(unsure & np.isfinite(lowest_Q)) if num_candidates < num_rows else np.empty(0, np.int64)
    step = max(1, _BLOCK // (2 * num_candidates))
    for start in range(0, len(again), step):
        part = again[start : start + step]
        more = _nearest(unit_QD[part], embeddings_ND, allowed_rows, k, excluded_Q[part], 2 * num_candidates)
        found.rows_QK[part], found.similarities_QK[part] = more.rows_QK, more.similarities_QK
    return found


def nearest_by_product(
    queries_QD: NDArray[np.float32],
    embeddings_ND: NDArray[np.float32],
    num_candidates: int,
    allowed_rows: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The rows of the largest float32 inner products, largest first; int64 [Q, F].

    F is the smaller of ``num_candidates`` and the number of (allowed) rows; when that is all of them they come
    in row order.
    """
    num_rows = len(embeddings_ND) if allowed_rows is None else len(allowed_rows)
    width = min(num_candidates, num_rows)
    num_queries = len(queries_QD)
    if width == num_rows:
        every = np.arange(num_rows) if allowed_rows is None else allowed_rows
        return np.repeat(every[None], num_queries, axis=0)
    step = max(2 * width, min(_BLOCK // max(1, num_queries), _BLOCK // embeddings_ND.shape[1]))
    best_rows = np.empty((num_queries, 0), np.int64)
    best_products = np.empty((num_queries, 0), np.float32)
    for start in range(0, num_rows, step):
        stop = min(start + step, num_rows)
        rows = np.arange(start, stop) if allowed_rows is None else allowed_rows[start:stop]
        block_nD = embeddings_ND[start:stop] if allowed_rows is None else embeddings_ND[rows]
        products = queries_QD @ block_nD.T
        kept = min(width, stop - start)
        columns = np.argpartition(products, stop - start - kept, axis=1)[:, stop - start - kept :]
        best_rows = np.concatenate([best_rows, rows[columns]], axis=1)
        best_products = np.concatenate([best_products, np.take_along_axis(products, columns, axis=1)], axis=1)
        if best_rows.shape[1] > width:
            columns = np.argpartition(best_products, -width, axis=1)[:, -width:]
            best_rows = np.take_along_axis(best_rows, columns, axis=1)
            best_products = np.take_along_axis(best_products, columns, axis=1)
    return np.take_along_axis(best_rows, np.argsort(-best_products, axis=1), axis=1)
