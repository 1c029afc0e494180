"""Hits in their one order: by similarity, ties by image id.

Shape suffixes: R rows of an index, Q queries, C candidates, K hits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranked:
    """Hits of each query, best first: by similarity, then by image id.

    ``rows_QK`` int64 count base rows and then delta rows (base N + j); ``similarities_QK`` float32 are cosines
    in [-1, 1]; ``distances_QK`` float32 are the backend's own figure. Where there are fewer than K hits they
    are -1, -inf and +inf.
    """

    rows_QK: NDArray[np.int64]
    similarities_QK: NDArray[np.float32]
    distances_QK: NDArray[np.float32]

    def put(self, queries: NDArray[np.int64], better: "Ranked") -> None:
        """Replaces the hits of some queries."""
        self.rows_QK[queries] = better.rows_QK
        self.similarities_QK[queries] = better.similarities_QK
        self.distances_QK[queries] = better.distances_QK


def nothing(num_queries: int, width: int) -> Ranked:
    """Padding only."""
    shape = (num_queries, width)
    return Ranked(np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32), np.full(shape, np.inf, np.float32))


def beside(found: Sequence[Ranked]) -> Ranked:
    """The candidates of several sources for the same queries, in no order."""
    if len(found) == 1:
        return found[0]
    return Ranked(
        np.hstack([part.rows_QK for part in found]),
        np.hstack([part.similarities_QK for part in found]),
        np.hstack([part.distances_QK for part in found]),
    )


def below(blocks: Sequence[Ranked]) -> Ranked:
    """The hits of several blocks of queries, one after the other."""
    if len(blocks) == 1:
        return blocks[0]
    return Ranked(
        np.concatenate([block.rows_QK for block in blocks]),
        np.concatenate([block.similarities_QK for block in blocks]),
        np.concatenate([block.distances_QK for block in blocks]),
    )


def without(candidates: Ranked, dropped_QC: NDArray[np.bool_]) -> Ranked:
    """Padding in place of what is dropped."""
    return Ranked(
        np.where(dropped_QC, -1, candidates.rows_QK),
        np.where(dropped_QC, np.float32(-np.inf), candidates.similarities_QK),
        np.where(dropped_QC, np.float32(np.inf), candidates.distances_QK),
    )


def best(candidates: Ranked, width: int, keys_R: NDArray[np.bytes_]) -> Ranked:
    """The first ``width`` candidates by similarity, then by ``keys_R`` of their rows; padding last; a copy."""
    falling = -candidates.similarities_QK
    order = np.argsort(falling, axis=1, kind="stable")
    ordered = np.take_along_axis(falling, order, axis=1)
    tied = np.flatnonzero(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] < np.inf)).any(axis=1))
    if len(tied):
        order[tied] = np.lexsort((keys_R[candidates.rows_QK[tied]], falling[tied]), axis=-1)
    order = order[:, :width]
    return Ranked(
        np.take_along_axis(candidates.rows_QK, order, axis=1),
        np.take_along_axis(candidates.similarities_QK, order, axis=1),
        np.take_along_axis(candidates.distances_QK, order, axis=1),
    )


def page(ranked: Ranked, k: int, offset: int, min_similarity: float | None) -> Ranked:
    """Hits ``offset`` to ``offset + k`` that are at least as similar as asked, padded to ``k`` columns."""
    shown = np.s_[:, offset : offset + k]
    hits = Ranked(ranked.rows_QK[shown], ranked.similarities_QK[shown], ranked.distances_QK[shown])
    if min_similarity is not None:
        hits = without(hits, hits.similarities_QK < np.float32(min_similarity))
    num_hits = hits.rows_QK.shape[1]
    if num_hits == k:
        return hits
    padded = nothing(len(hits.rows_QK), k)
    padded.rows_QK[:, :num_hits] = hits.rows_QK
    padded.similarities_QK[:, :num_hits] = hits.similarities_QK
    padded.distances_QK[:, :num_hits] = hits.distances_QK
    return padded
