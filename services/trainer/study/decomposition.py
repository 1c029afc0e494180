"""Where the difference between two search backends comes from: metric, normalisation, approximation.

All of it is arithmetic on embeddings and on lists of hits, in NumPy, so that each part can be computed by hand.

Of two embeddings x and y, the study's backends compare

* the cosine ``x·y / (|x| |y|)`` (scikit-learn, and Annoy's angular ``sqrt(2 - 2 cos)``),
* the Euclidean distance, ``|x - y|² = |x|² + |y|² - 2 x·y`` (FAISS ``IndexFlatL2``),
* or the inner product ``x·y``.

For a query x the term |x|² is the same for all y. With |x| = |y| = 1 it follows that ``|x - y|² = 2 - 2 cos``: all
three order the images alike, and between backends only the approximation is left. Without normalisation they do not:
the Euclidean distance prefers a short y, the inner product a long one.

Shape suffixes: N images, D dimension, Q queries, K hits.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.bootstrap import Interval, intervals

_QUERIES = 256  # at a time
_ROWS = 2048
NOTHING = -1  # in place of a hit


class Metric(StrEnum):
    """What orders the images; each turned so that larger is nearer."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    INNER_PRODUCT = "inner product"


def unit(embeddings_ND: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of length 1: x / |x|. A row of length 0 becomes ``1 / sqrt(D)`` everywhere, as in a model archive."""
    rows_ND = np.array(embeddings_ND, np.float64)  # the one copy: flattened features are large
    length_N = np.sqrt(np.einsum("nd,nd->n", rows_ND, rows_ND))
    rows_ND /= np.where(length_N > 0, length_N, 1)[:, None]
    rows_ND[length_N == 0] = rows_ND.shape[1] ** -0.5
    return rows_ND


def neighbours(
    embeddings_ND: NDArray[np.floating],
    rows_Q: NDArray[np.int64],
    k: int,
    metric: Metric,
    *,
    allowed_N: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """The ``k`` nearest rows of the queries ``rows_Q`` by ``metric``, nearest first: int64 ``[Q, k]``.

    The query itself is not among them; ties come in row order; only rows where ``allowed_N`` is true are found, and
    where there are fewer than ``k`` the rest is -1. The order is that of ``x·y / (|x| |y|)``, ``2 x·y - |y|²`` or
    ``x·y`` in float64, so that Euclidean distances which differ by less than about 1e-15 |y|² count as ties.
    """
    num_rows = len(embeddings_ND)
    found_QK = np.full((len(rows_Q), k), NOTHING, np.int64)
    for start in range(0, len(rows_Q), _QUERIES):
        some = rows_Q[start : start + _QUERIES]
        queries_QD = np.asarray(embeddings_ND[some], np.float64)
        nearness_QN = np.empty((len(some), num_rows))
        for first in range(0, num_rows, _ROWS):
            block = np.s_[first : first + _ROWS]
            nearness_QN[:, block] = _nearness(queries_QD, np.asarray(embeddings_ND[block], np.float64), metric)
        nearness_QN[np.arange(len(some)), some] = -np.inf
        if allowed_N is not None:
            nearness_QN[:, ~allowed_N] = -np.inf
        order_QK = np.argsort(-nearness_QN, axis=1, kind="stable")[:, :k]
        there_QK = np.take_along_axis(nearness_QN, order_QK, axis=1) > -np.inf
        found_QK[start : start + len(some), : order_QK.shape[1]] = np.where(there_QK, order_QK, NOTHING)
    return found_QK


def overlap(first_QK: NDArray[np.int64], second_QK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each query's hits in ``first_QK``, the share that is also in ``second_QK``, whatever the order: ``[Q]``.

    With exact neighbours first this is knn recall@k. A query without hits in ``first_QK`` has 1.
    """
    there_QK = first_QK != NOTHING
    shared_QK = (first_QK[:, :, None] == second_QK[:, None, :]).any(axis=2) & there_QK
    wanted_Q = there_QK.sum(axis=1)
    return np.where(wanted_Q > 0, shared_QK.sum(axis=1) / np.maximum(wanted_Q, 1), 1.0)


def without_self(found_QK: NDArray[np.int64], rows_Q: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The first ``k`` hits of each query that are not the query, in their order: int64 ``[Q, k]``, -1 at the end.

    ``found_QK`` needs k + 1 columns for k hits to be left: a library that is asked for k + 1 neighbours of an image
    it holds returns that image as one of them, an approximate one not always.
    """
    dropped_QK = (found_QK == rows_Q[:, None]) | (found_QK == NOTHING)
    order_QK = np.argsort(dropped_QK, axis=1, kind="stable")[:, :k]
    kept_QK = np.where(dropped_QK, NOTHING, found_QK)
    return np.take_along_axis(kept_QK, order_QK, axis=1)


def paired_differences(
    of_MQ: Sequence[NDArray[np.float64]], against_MQ: Sequence[NDArray[np.float64]], *, seed: int = 0
) -> list[Interval]:
    """For each of M pairs the mean of ``of_q - against_q`` over queries, with its 95 % bootstrap interval.

    The queries are resampled, each with both its values: what makes a query hard for both alike cancels. Values that
    are NaN are of queries that were not scored; a query counts where all pairs have both.
    """
    if not of_MQ:
        return []
    differences_MQ = np.stack(of_MQ) - np.stack(against_MQ)
    return intervals(differences_MQ[:, np.isfinite(differences_MQ).all(axis=0)].T, seed=seed)


def telescoped(values_SQ: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way from the first of S systems to the last, step by step: float64 ``[S, q]``.

    Of the queries that all systems scored (not NaN), row s is ``values[s + 1] - values[s]``, and the last row is the
    whole way, ``values[S - 1] - values[0]``, which the steps add up to query by query, and so do their means.
    """
    scored_SQ = values_SQ[:, np.isfinite(values_SQ).all(axis=0)]
    return np.concatenate([np.diff(scored_SQ, axis=0), scored_SQ[-1:] - scored_SQ[:1]])


def mean_cosine(unit_ND: NDArray[np.floating]) -> float:
    """The mean cosine of all pairs of different rows of length 1: ``(|sum of rows|² - N) / (N (N - 1))``.

    Near 1 all images look alike to the model: it has collapsed. 0 with fewer than two rows.
    """
    num_rows = len(unit_ND)
    if num_rows < 2:
        return 0.0
    total_D: NDArray[np.float64] = np.sum(unit_ND, axis=0, dtype=np.float64)
    return float((np.square(total_D).sum() - num_rows) / (num_rows * (num_rows - 1)))


def _nearness(queries_QD: NDArray[np.float64], rows_nD: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    if metric is Metric.COSINE:
        return np.asarray(unit(queries_QD) @ unit(rows_nD).T)
    products_Qn = np.asarray(queries_QD @ rows_nD.T)
    if metric is Metric.INNER_PRODUCT:
        return products_Qn
    return np.asarray(2 * products_Qn - np.einsum("nd,nd->n", rows_nD, rows_nD))
