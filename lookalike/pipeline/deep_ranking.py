"""R-precision where R is larger than any search asks for: the whole gallery ranked exactly, without listing it.

Only which rows are among the first R matters, not their order, so a query costs one pass over the embeddings as a
matrix product; rows too near the R-th similarity for float32 to tell are compared as every search compares
them. Memory does not grow with R or with the number of queries.

Shape suffixes: R rows, Q queries, q queries of one block, D dimension.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.labels import Level
from lookalike.evaluation.relevance import Relevance, relevant_hits
from lookalike.indexes.similarity import cosines, rounding_slack, unit_queries
from lookalike.pipeline.ground import Ground

Kind = tuple[Level, Relevance]
_BLOCK = 2**24  # similarities held at a time, 64 MiB


def r_precision_exactly(ground: Ground, wanted: Mapping[Kind, NDArray[np.int64]]) -> dict[Kind, NDArray[np.float64]]:
    """R-precision of each query, float64 ``[Q]``, the query itself excluded.

    ``wanted`` int64 ``[Q]`` is R for each kind of relevance; where it is 0 nothing is computed and the value is 0.
    Hits are ordered as every search orders them: by cosine, ties by image id.
    """
    values = {kind: np.zeros(ground.num_queries) for kind in wanted}
    deep_Q = np.flatnonzero(np.any([wanted_Q > 0 for wanted_Q in wanted.values()], axis=0))
    step = max(1, _BLOCK // max(1, ground.keys_R.size))
    for start in range(0, deep_Q.size, step):
        queries = deep_Q[start : start + step]
        for kind, counts in _block(ground, queries, [(kind, wanted_Q[queries]) for kind, wanted_Q in wanted.items()]):
            values[kind][queries] = counts / np.maximum(wanted[kind][queries], 1)
    return values


def _block(
    ground: Ground, queries_q: NDArray[np.int64], wanted: Sequence[tuple[Kind, NDArray[np.int64]]]
) -> list[tuple[Kind, NDArray[np.int64]]]:
    """How many of the first R are relevant, int64 ``[q]``, for each kind; 0 where R is 0."""
    unit_qD = unit_queries(ground.queries_QD[queries_q], ground.queries_QD.shape[1])
    similarities_qR = _similarities(ground, unit_qD, ground.rows_Q[queries_q])
    num_rows = similarities_qR.shape[1]
    ranks_qT = np.stack([num_rows - np.maximum(wanted_q, 1) for _, wanted_q in wanted], axis=1)
    # All thresholds of a query from one partition.
    kth_qT = np.stack(
        [
            np.partition(row_R, np.unique(ranks_T))[ranks_T]
            for row_R, ranks_T in zip(similarities_qR, ranks_qT, strict=True)
        ]
    )
    every_row_1R = np.arange(num_rows)[None]
    found = []
    for column, ((level, relevance), wanted_q) in enumerate(wanted):
        asked = np.flatnonzero(wanted_q > 0)
        counts_q = np.zeros(queries_q.size, np.int64)
        if asked.size:
            rows = ground.rows_Q[queries_q[asked]]
            relevant = relevant_hits(ground.labels.at(level), relevance, rows, every_row_1R)
            counts_q[asked] = _count_in_first(
                ground, unit_qD[asked], similarities_qR[asked], relevant, kth_qT[asked, column], wanted_q[asked]
            )
        found.append(((level, relevance), counts_q))
    return found


def _similarities(ground: Ground, unit_qD: NDArray[np.float64], own_rows_q: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosines as float32 products give them, float32 ``[q, R]``; -inf for the query itself and dead rows."""
    num_base = len(ground.base_ND)
    queries = unit_qD.astype(np.float32)
    similarities_qR = np.empty((len(queries), ground.keys_R.size), np.float32)
    np.matmul(queries, ground.base_ND.T, out=similarities_qR[:, :num_base])
    np.matmul(queries, ground.delta_MD.T, out=similarities_qR[:, num_base:])
    similarities_qR[:, ~ground.living_R] = -np.inf
    similarities_qR[np.arange(len(queries)), own_rows_q] = -np.inf
    return similarities_qR


def _count_in_first(
    ground: Ground,
    unit_qD: NDArray[np.float64],
    similarities_qR: NDArray[np.float32],
    relevant_qR: NDArray[np.bool_],
    kth_q: NDArray[np.float32],
    wanted_q: NDArray[np.int64],
) -> NDArray[np.int64]:
    """How many relevant rows are among the first ``wanted_q`` of each query."""
    slack = rounding_slack(unit_qD.shape[1])
    within = similarities_qR > (kth_q + slack)[:, None]
    unsure = (similarities_qR >= (kth_q - slack)[:, None]) & ~within
    counts_q = np.count_nonzero(relevant_qR & within, axis=1)
    places_q = wanted_q - np.count_nonzero(within, axis=1)
    contested = np.count_nonzero(unsure, axis=1) > places_q
    counts_q[~contested] += np.count_nonzero(relevant_qR & unsure, axis=1)[~contested]
    for query in np.flatnonzero(contested):
        rows = np.flatnonzero(unsure[query])
        first = _first_of(ground, unit_qD[query], rows, int(places_q[query]))
        counts_q[query] += np.count_nonzero(relevant_qR[query, first])
    return np.asarray(counts_q, np.int64)


def _first_of(ground: Ground, unit_D: NDArray[np.float64], rows: NDArray[np.int64], places: int) -> NDArray[np.int64]:
    """The best ``places`` of ``rows`` by exact cosine, ties by image id."""
    num_base = len(ground.base_ND)
    in_base = rows < num_base
    similarities = np.empty(rows.size, np.float32)
    for part, embeddings, shift in ((in_base, ground.base_ND, 0), (~in_base, ground.delta_MD, num_base)):
        similarities[part] = cosines(unit_D[None], embeddings, rows[part][None] - shift)[0]
    return rows[np.lexsort((ground.keys_R[rows], -similarities))[:places]]
