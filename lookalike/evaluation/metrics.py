"""Metrics of ranked answers, one value per query, in NumPy alone.

``relevant_QK`` is bool ``[Q, K]``: whether the hit at each rank, best first, is relevant. Ranks at which
nothing was returned are false. ``num_relevant_Q`` is int ``[Q]``: R, how many images of the whole gallery are
relevant to each query. A query with R = 0 scores 0, as in trec_eval; whether it counts is the protocol's
business. Every function returns float64 ``[Q]``, in [0, 1], and raises ValueError when ``relevant_QK`` holds
fewer ranks than the metric looks at.

rel_i is 1 when the hit at rank i (from 1) is relevant, else 0.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]


def precision_at_k(relevant_QK: BoolArray, k: int) -> FloatArray:
    """The relevant share of the first k: (rel_1 + … + rel_k) / k.

    The divisor stays k when fewer were returned. Source: Manning, Raghavan, Schütze, Introduction to
    Information Retrieval, 2008, section 8.4.
    """
    return _num_relevant_in_first(relevant_QK, k) / float(k)


def recall_at_k(relevant_QK: BoolArray, num_relevant_Q: IntArray, k: int) -> FloatArray:
    """The share of all relevant images found in the first k: (rel_1 + … + rel_k) / R.

    At most k / R. Source: Introduction to Information Retrieval, section 8.3.
    """
    return _num_relevant_in_first(relevant_QK, k) / _at_least_one(num_relevant_Q)


def r_precision(relevant_QK: BoolArray, num_relevant_Q: IntArray) -> FloatArray:
    """The relevant share of the first R: (rel_1 + … + rel_R) / R. Needs K >= the largest R.

    Source: Introduction to Information Retrieval, section 8.4.
    """
    _require_ranks(relevant_QK, int(num_relevant_Q.max(initial=0)))
    within_R = np.arange(relevant_QK.shape[1]) < num_relevant_Q[:, None]
    return np.asarray(np.count_nonzero(relevant_QK & within_R, axis=1) / _at_least_one(num_relevant_Q))


def average_precision_at_k(relevant_QK: BoolArray, num_relevant_Q: IntArray, k: int) -> FloatArray:
    """AP@k = (sum over i = 1 … k of rel_i * precision@i) / R; its mean over queries is mAP@k.

    The divisor is R, not min(k, R): relevant images beyond rank k count as missed, as in trec_eval's
    ``map_cut`` and in ranx, so AP@k is at most k / R when R > k. Source: Voorhees and Harman, TREC:
    Experiment and Evaluation in Information Retrieval, 2005, chapter 3.
    """
    first_Qk = _first(relevant_QK, k)
    precision_Qk = np.cumsum(first_Qk, axis=1, dtype=np.int32) / np.arange(1, k + 1)
    return np.asarray(np.einsum("qk,qk->q", precision_Qk, first_Qk) / _at_least_one(num_relevant_Q))


def ndcg_at_k(relevant_QK: BoolArray, num_relevant_Q: IntArray, k: int) -> FloatArray:
    """nDCG@k = DCG@k / IDCG@k, where DCG@k = sum over i = 1 … k of rel_i / log2(i + 1).

    IDCG@k is that of the best order possible, min(k, R) relevant hits first. Source: Järvelin and Kekäläinen,
    Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002, with binary gains and the discount
    from rank 1 on.
    """
    discount_k = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount_k)])[np.minimum(num_relevant_Q, k)]
    gained: FloatArray = _first(relevant_QK, k) @ discount_k
    share = np.divide(gained, ideal, out=np.zeros_like(gained), where=ideal > 0)
    return np.asarray(np.minimum(share, 1.0))  # the two sums may round differently


def hit_rate_at_k(relevant_QK: BoolArray, k: int) -> FloatArray:
    """1 when any of the first k is relevant, else 0; trec_eval calls its mean ``success``."""
    return np.asarray(_first(relevant_QK, k).any(axis=1), dtype=np.float64)


def reciprocal_rank_at_k(relevant_QK: BoolArray, k: int) -> FloatArray:
    """1 / the rank of the first relevant hit, 0 when none is among the first k; its mean is MRR@k.

    Source: Voorhees, The TREC-8 Question Answering Track Report, 1999.
    """
    first_Qk = _first(relevant_QK, k)
    return np.where(first_Qk.any(axis=1), 1.0 / (first_Qk.argmax(axis=1) + 1), 0.0)


def _require_ranks(relevant_QK: BoolArray, depth: int) -> None:
    if relevant_QK.shape[1] < depth:
        raise ValueError(f"{relevant_QK.shape[1]} ranks are given and {depth} needed: pad with false")


def _first(relevant_QK: BoolArray, k: int) -> BoolArray:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    _require_ranks(relevant_QK, k)
    return relevant_QK[:, :k]


def _num_relevant_in_first(relevant_QK: BoolArray, k: int) -> IntArray:
    return np.asarray(np.count_nonzero(_first(relevant_QK, k), axis=1), dtype=np.int64)


def _at_least_one(num_relevant_Q: IntArray) -> IntArray:
    # With R = 0 nothing is relevant, so the numerator is 0 and any divisor gives 0.
    return np.maximum(num_relevant_Q, 1)
