"""The two protocols as scores per query."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation import metrics
from lookalike.evaluation.labels import LevelLabels
from lookalike.evaluation.relevance import Relevance, count_relevant, is_labelled, relevant_hits

PAPER_RETRIEVED = 10
PAPER_K = 4
MAX_R = 1000

POLICIES = {
    "standard": (
        "The query's own image is excluded, from the hits and from R, the number of relevant images.",
        "A query without a label is left out of every mean and counted as unlabelled.",
        "A query with no other relevant image in the gallery (R = 0) is left out and counted as without relevant.",
        f"R-precision comes from a second search as deep as R, where no R is over {MAX_R}.",
        "recall@k and mAP@k are divided by R, not by min(k, R).",
    ),
    "paper": (
        "Ten neighbours are retrieved and the first four are scored: precision@4 is relevant in the first 4 / 10 "
        "(at most 0.4), recall@4 is relevant in the first 4 / relevant among the 10.",
        "recall@4 of a query with nothing relevant among its ten neighbours is 0.",
        "A query without a label is left out of every mean and counted as unlabelled.",
    ),
}


@dataclass(frozen=True)
class Scores:
    """Values per scored query: float64 ``[Q, M]`` under M names."""

    names: tuple[str, ...]
    values_QM: NDArray[np.float64]
    num_unlabelled: int
    num_without_relevant: int


def standard(
    labels: LevelLabels,
    relevance: Relevance,
    query_rows_Q: NDArray[np.int64],
    hit_rows_QK: NDArray[np.int64],
    deep_rows_QR: NDArray[np.int64] | None,
    k: int,
) -> Scores:
    """Protocol ``standard``: hits without the query itself; ``deep_rows_QR`` as deep as R, for R-precision."""
    labelled = is_labelled(labels, relevance, query_rows_Q)
    num_relevant_Q = count_relevant(labels, relevance, query_rows_Q, self_counts=False)
    scored = labelled & (num_relevant_Q > 0)
    rows, wanted = query_rows_Q[scored], num_relevant_Q[scored]
    relevant_QK = relevant_hits(labels, relevance, rows, hit_rows_QK[scored])
    values = {
        f"precision@{k}": metrics.precision_at_k(relevant_QK, k),
        f"recall@{k}": metrics.recall_at_k(relevant_QK, wanted, k),
        f"mAP@{k}": metrics.average_precision_at_k(relevant_QK, wanted, k),
        f"nDCG@{k}": metrics.ndcg_at_k(relevant_QK, wanted, k),
        f"hit rate@{k}": metrics.hit_rate_at_k(relevant_QK, k),
    }
    if deep_rows_QR is not None:
        deep = relevant_hits(labels, relevance, rows, deep_rows_QR[scored])
        values["R-precision"] = metrics.r_precision(deep, wanted)
    return Scores(
        tuple(values),
        np.stack([np.asarray(value, np.float64) for value in values.values()], axis=1),
        int((~labelled).sum()),
        int((labelled & ~scored).sum()),
    )


def paper(labels: LevelLabels, query_rows_Q: NDArray[np.int64], hit_rows_QK: NDArray[np.int64]) -> Scores:
    """Protocol ``paper``, on the ten neighbours that were retrieved, the query among them or not."""
    labelled = is_labelled(labels, Relevance.SINGLE_LABEL, query_rows_Q)
    relevant_QK = relevant_hits(
        labels, Relevance.SINGLE_LABEL, query_rows_Q[labelled], hit_rows_QK[labelled][:, :PAPER_RETRIEVED]
    )
    first_Q = relevant_QK[:, :PAPER_K].sum(axis=1)
    among_Q = relevant_QK.sum(axis=1)
    values_QM = np.stack([first_Q / PAPER_RETRIEVED, first_Q / np.maximum(among_Q, 1)], axis=1)
    names = ("paper precision@4", "paper recall@4")
    return Scores(names, values_QM, int((~labelled).sum()), int((among_Q == 0).sum()))
