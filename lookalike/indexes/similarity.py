"""Cosine similarity as every hit reports it: the same bits for the same pair, whichever backend found it.

Shape suffixes: Q queries, C candidates of each, N embeddings, D dimension.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.errors import InvalidEmbedding

_GATHERED = 2**18  # embeddings' values gathered at a time, 2 MiB as float64: stays in a processor's cache
# Similarities are multiples of 2**-32: far coarser than float64's rounding errors (2**-53), far finer than float32
# near 1 (2**-24). Without it the errors of sums near 0 would order embeddings that are equally similar.
_STEPS = float(2**32)


def unit_queries(queries_QD: ArrayLike, dimension: int) -> NDArray[np.float64]:
    """Queries of length 1, float64 [Q, D].

    Kept in float64 so that a stored embedding, asked for with itself, has a similarity of exactly 1.

    Raises:
        InvalidEmbedding: not [Q, ``dimension``] of floating-point numbers, or one with NaN, infinity or length 0.
    """
    given = np.asarray(queries_QD)
    if given.ndim != 2 or given.shape[1] != dimension:
        raise InvalidEmbedding(
            f"queries must have shape [Q, {dimension}], not {list(given.shape)}",
            dimension=dimension,
            shape=list(given.shape),
        )
    if given.dtype.kind != "f":
        raise InvalidEmbedding(f"queries must be floating-point numbers, not {given.dtype}", dtype=str(given.dtype))
    queries = given.astype(np.float64)
    # Divided by the largest value first: squares of very large or small ones would leave float64.
    largest_Q1 = np.abs(queries).max(axis=1, initial=0.0, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(largest_Q1) & (largest_Q1 > 0)))
    if len(wrong):
        row = int(wrong[0])
        reason = "is of length 0" if largest_Q1[row, 0] == 0 else "holds NaN or infinity"
        raise InvalidEmbedding(f"query {row} {reason}", query=row)
    queries /= largest_Q1
    queries /= np.sqrt(np.vecdot(queries, queries))[:, None]
    return queries


def cosines(
    unit_QD: NDArray[np.float64], embeddings_ND: NDArray[np.float32], rows_QC: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Cosine of each query with its own rows of ``embeddings_ND``, float32 [Q, C]; -inf where a row is -1.

    Taken in float64 over exactly the stored values, one pair at a time in a fixed order of summation, and
    rounded to multiples of 2**-32 and then to float32: equal embeddings give equal similarities, however they
    are asked for together, and orthogonal ones exactly 0. An embedding of length 0 is at 0 from everything.
    """
    num_queries, num_candidates = rows_QC.shape
    dimension = unit_QD.shape[1]
    similarities_QC = np.full(rows_QC.shape, -np.inf, np.float32)
    if rows_QC.size == 0 or len(embeddings_ND) == 0:
        return similarities_QC
    candidate_step = min(num_candidates, max(1, _GATHERED // dimension))
    query_step = max(1, _GATHERED // (dimension * candidate_step))
    for first in range(0, num_queries, query_step):
        queries_q1D = unit_QD[first : first + query_step, None, :]
        for start in range(0, num_candidates, candidate_step):
            block = np.s_[first : first + query_step, start : start + candidate_step]
            gathered_qcD = embeddings_ND[np.maximum(rows_QC[block], 0)].astype(np.float64)
            products = np.vecdot(gathered_qcD, queries_q1D)
            lengths = np.sqrt(np.vecdot(gathered_qcD, gathered_qcD))
            shares = np.clip(products / np.maximum(lengths, np.finfo(np.float64).tiny), -1, 1)
            similarities_QC[block] = np.rint(shares * _STEPS) / _STEPS + 0.0  # no negative zero
    similarities_QC[rows_QC < 0] = -np.inf
    return similarities_QC


def rounding_slack(dimension: int) -> float:
    """By how much a backend's float32 arithmetic may misplace a cosine; nearer than this counts as a tie.

    Rounding errors of a float32 sum grow like a random walk, with the square root of its length (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.8); doubled for a difference of two.
    """
    return float(np.finfo(np.float32).eps) * (8 + 2 * math.sqrt(dimension))
