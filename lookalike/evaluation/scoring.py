"""The two protocols as scores per query. ``docs/reference/evaluation.md`` has the formulas.

Shape suffixes: Q queries, K hits, M metrics.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation import metrics
from lookalike.evaluation.labels import LevelLabels
from lookalike.evaluation.relevance import Relevance, count_relevant, is_labelled, relevant_hits

PAPER_RETRIEVED = 10
PAPER_K = 4


@dataclass(frozen=True)
class Scores:
    """Values per scored query: float64 ``[Q, M]`` under M names, and how many queries could not be scored."""

    names: tuple[str, ...]
    values_QM: NDArray[np.float64]
    num_unlabelled: int
    num_without_relevant: int


def standard(
    labels: LevelLabels,
    relevance: Relevance,
    query_rows_Q: NDArray[np.int64],
    hit_rows_QK: NDArray[np.int64],
    r_precision_Q: NDArray[np.float64] | None,
    k: int,
) -> Scores:
    """Protocol ``standard``: hits without the query itself, and each query's R-precision where it was computed.

    Unlabelled queries and those with nothing relevant in the gallery are counted, not scored.
    """
    labelled_Q = is_labelled(labels, relevance, query_rows_Q)
    num_relevant_Q = count_relevant(labels, relevance, query_rows_Q, self_counts=False)
    scored_Q = labelled_Q & (num_relevant_Q > 0)
    rows, wanted = query_rows_Q[scored_Q], num_relevant_Q[scored_Q]
    relevant_QK = relevant_hits(labels, relevance, rows, hit_rows_QK[scored_Q])
    values = {
        f"precision@{k}": metrics.precision_at_k(relevant_QK, k),
        f"recall@{k}": metrics.recall_at_k(relevant_QK, wanted, k),
        f"mAP@{k}": metrics.average_precision_at_k(relevant_QK, wanted, k),
        f"nDCG@{k}": metrics.ndcg_at_k(relevant_QK, wanted, k),
        f"hit rate@{k}": metrics.hit_rate_at_k(relevant_QK, k),
    }
    if r_precision_Q is not None:
        values["R-precision"] = r_precision_Q[scored_Q]
    return Scores(
        tuple(values),
        np.stack(list(values.values()), axis=1),
        num_unlabelled=int(np.count_nonzero(~labelled_Q)),
        num_without_relevant=int(np.count_nonzero(labelled_Q & ~scored_Q)),
    )


def paper(labels: LevelLabels, query_rows_Q: NDArray[np.int64], hit_rows_QK: NDArray[np.int64]) -> Scores:
    """Protocol ``paper``, on the ten neighbours that were retrieved, the query among them or not.

    Labelled queries with nothing relevant among their ten are scored, as 0, and counted as well.
    """
    labelled_Q = is_labelled(labels, Relevance.SINGLE_LABEL, query_rows_Q)
    relevant_QK = relevant_hits(
        labels, Relevance.SINGLE_LABEL, query_rows_Q[labelled_Q], hit_rows_QK[labelled_Q][:, :PAPER_RETRIEVED]
    )
    first_Q = np.count_nonzero(relevant_QK[:, :PAPER_K], axis=1)
    among_Q = np.count_nonzero(relevant_QK, axis=1)
    return Scores(
        (f"paper precision@{PAPER_K}", f"paper recall@{PAPER_K}"),
        np.stack([first_Q / PAPER_RETRIEVED, first_Q / np.maximum(among_Q, 1)], axis=1),
        num_unlabelled=int(np.count_nonzero(~labelled_Q)),
        num_without_relevant=int(np.count_nonzero(among_Q == 0)),
    )
