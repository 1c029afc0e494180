"""Which images are relevant to a query.

At one level of the taxonomy an image is relevant to a query

- single-label: when both have a label and it is the same (the study's rule);
- multi-label: when they share at least one of all their labels.

An image without a label is relevant to nothing.

Shape suffixes: Q queries, K hits, N images of the gallery, S distinct label sets.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.labels import NO_LABEL, LevelLabels

_PAIRS_PER_CHUNK = 1 << 22  # label-set pairs compared at once: 4 MB of flags, 32 MB of words


class Relevance(StrEnum):
    """From which labels relevance follows."""

    SINGLE_LABEL = "single-label"
    MULTI_LABEL = "multi-label"


def is_labelled(labels: LevelLabels, relevance: Relevance, rows_Q: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool ``[Q]``: whether the images in these rows have a label."""
    if relevance is Relevance.SINGLE_LABEL:
        return np.asarray(labels.codes_N[rows_Q] != NO_LABEL)
    has_label_S = np.asarray(labels.bits_SW.any(axis=1))
    return np.asarray(has_label_S[labels.sets_N[rows_Q]], dtype=np.bool_)


def relevant_hits(
    labels: LevelLabels, relevance: Relevance, query_rows_Q: NDArray[np.int64], hit_rows_QK: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """bool ``[Q, K]``: whether each hit is relevant; false where the hit row is -1."""
    # Padding reads the last image and is masked below.
    if relevance is Relevance.SINGLE_LABEL:
        wanted_Q1 = labels.codes_N[query_rows_Q][:, None]
        relevant_QK = (labels.codes_N[hit_rows_QK] == wanted_Q1) & (wanted_Q1 != NO_LABEL)
    else:
        relevant_QK = _share_label(labels, labels.sets_N[query_rows_Q], labels.sets_N[hit_rows_QK])
    return np.asarray(relevant_QK & (hit_rows_QK >= 0), dtype=np.bool_)


def count_relevant(
    labels: LevelLabels, relevance: Relevance, query_rows_Q: NDArray[np.int64], *, self_counts: bool
) -> NDArray[np.int64]:
    """int64 ``[Q]``: how many images of the whole gallery are relevant to each query.

    The query itself is one of them only with ``self_counts`` and if it has a label.
    """
    if relevance is Relevance.SINGLE_LABEL:
        codes_Q = labels.codes_N[query_rows_Q]
        images_per_code = np.bincount(labels.codes_N[labels.codes_N != NO_LABEL], minlength=len(labels.names) + 1)
        counts_Q = images_per_code[codes_Q]  # NO_LABEL reads the added last element, which is 0
    else:
        counts_Q = _count_sharing(labels, labels.sets_N[query_rows_Q])
    if not self_counts:
        counts_Q = counts_Q - is_labelled(labels, relevance, query_rows_Q)
    return counts_Q.astype(np.int64)


def _share_label(labels: LevelLabels, sets_Q: NDArray[np.int32], other_sets: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Sets ``[Q]`` against sets ``[Q, K]`` or ``[1, K]`` -> bool ``[Q, K]``: whether they have a label in common."""
    shared = np.zeros((sets_Q.size, other_sets.shape[1]), dtype=np.bool_)
    for bits_S in labels.bits_SW.T:
        shared |= (bits_S[sets_Q][:, None] & bits_S[other_sets]) != 0
    return shared


def _count_sharing(labels: LevelLabels, sets_Q: NDArray[np.int32]) -> NDArray[np.int64]:
    num_sets = labels.bits_SW.shape[0]
    images_per_set = np.bincount(labels.sets_N, minlength=num_sets)
    all_sets_1S = np.arange(num_sets, dtype=np.int32)[None, :]
    asked, position_Q = np.unique(sets_Q, return_inverse=True)
    counts = np.zeros(asked.size, dtype=np.int64)
    step = max(1, _PAIRS_PER_CHUNK // max(1, num_sets))
    for start in range(0, asked.size, step):
        # A product of bool and int64 would convert the matrix first; float64 counts exactly below 2**53.
        shared = _share_label(labels, asked[start : start + step], all_sets_1S)
        counts[start : start + step] = np.rint(shared.astype(np.float64) @ images_per_set)
    return counts[position_Q]
