"""Where the candidates of a living search come from: a backend's index, or a scan of a few rows.

Both give the asked number of living, allowed rows, or all there are. Shape suffixes: Q queries, C candidates,
N rows, D dimension.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.distances import pair_distances
from lookalike.indexes.exact_scan import nearest_by_product
from lookalike.indexes.port import Index, Metric, Neighbours, Params
from lookalike.types.filters import Filter

# With more than this share of rows deleted the index is given the mask at once.
_MAX_SHARE_OF_DEAD = 0.25
_GATHERED = 2**21  # values of embeddings gathered at a time for their distances, 8 MiB


class CandidateSource(Protocol):
    """Rows that may be hits."""

    @property
    def num_rows(self) -> int:
        """How many there are at most."""
        ...

    def nearest(self, queries_QD: NDArray[np.float32], num_candidates: int, params: Params) -> Neighbours:
        """``num_candidates`` rows of each query, or all there are, the last one farthest; padded as in the port."""
        ...


@dataclass(frozen=True)
class IndexCandidates:
    """Candidates from a backend's index.

    Deleted rows are dropped from a slightly larger answer where that suffices, since a mask makes most
    libraries slower; where it does not, the index is asked again with the mask.
    """

    index: Index
    alive_N: NDArray[np.bool_] | None  # None: all
    num_alive: int
    allowed_N: NDArray[np.bool_] | None = None  # None: no filter; otherwise implies alive_N
    num_allowed: int | None = None
    native_filter: Filter | None = None

    @property
    def num_rows(self) -> int:
        return self.num_alive if self.num_allowed is None else self.num_allowed

    def nearest(self, queries_QD: NDArray[np.float32], num_candidates: int, params: Params) -> Neighbours:
        """See :class:`CandidateSource`."""
        num_dead = self.index.num_embeddings - self.num_alive
        if self.allowed_N is not None or self.native_filter is not None:
            return self._ask(queries_QD, num_candidates, self.allowed_N, params)
        if num_dead > _MAX_SHARE_OF_DEAD * self.index.num_embeddings:
            return self._ask(queries_QD, num_candidates, self.alive_N, params)
        share = num_dead / max(1, self.index.num_embeddings)
        spare = min(num_dead, 8 + int(2 * share * num_candidates))
        found = self._ask(queries_QD, num_candidates + spare, None, params)
        if self.alive_N is not None and num_dead:
            found = _only(self.alive_N, found, num_candidates)
        short = np.flatnonzero(np.count_nonzero(found.rows_QK >= 0, axis=1) < min(num_candidates, self.num_alive))
        if len(short):
            alive_N = np.ones(self.index.num_embeddings, np.bool_) if self.alive_N is None else self.alive_N
            more = self._ask(queries_QD[short], num_candidates, alive_N, params)
            rows, distances = found.rows_QK.copy(), found.distances_QK.copy()
            rows[short], distances[short] = more.rows_QK, more.distances_QK
            found = Neighbours(rows, distances)
        return found

    def _ask(
        self, queries_QD: NDArray[np.float32], k: int, mask_N: NDArray[np.bool_] | None, params: Params
    ) -> Neighbours:
        return self.index.search(queries_QD, k, allowed_N=mask_N, native_filter=self.native_filter, params=params)


@dataclass(frozen=True)
class ScanCandidates:
    """Candidates from an exact scan by inner product over some rows; their distances as ``metric`` says."""

    metric: Metric
    embeddings_ND: NDArray[np.float32]
    rows: NDArray[np.int64] | None = None  # None: all

    @property
    def num_rows(self) -> int:
        return len(self.embeddings_ND) if self.rows is None else len(self.rows)

    def nearest(self, queries_QD: NDArray[np.float32], num_candidates: int, params: Params) -> Neighbours:
        """See :class:`CandidateSource`; ``params`` are the index's and mean nothing here."""
        rows_QC = nearest_by_product(queries_QD, self.embeddings_ND, num_candidates, self.rows)
        distances_QC = np.empty(rows_QC.shape, np.float32)
        dimension = queries_QD.shape[1]
        candidate_step = max(1, min(rows_QC.shape[1], _GATHERED // dimension))
        query_step = max(1, _GATHERED // (dimension * candidate_step))
        for first in range(0, len(rows_QC), query_step):
            for start in range(0, rows_QC.shape[1], candidate_step):
                block = np.s_[first : first + query_step, start : start + candidate_step]
                gathered = self.embeddings_ND[rows_QC[block]]
                distances_QC[block] = pair_distances(self.metric, queries_QD[block[0]], gathered)
        return Neighbours(rows_QC, distances_QC)


def _only(alive_N: NDArray[np.bool_], found: Neighbours, width: int) -> Neighbours:
    """``found`` without the rows that are not alive, order kept, ``width`` columns."""
    dead = (found.rows_QK < 0) | ~alive_N[found.rows_QK]
    order = np.argsort(dead, axis=1, kind="stable")[:, :width]
    gone = np.take_along_axis(dead, order, axis=1)
    rows = np.where(gone, -1, np.take_along_axis(found.rows_QK, order, axis=1))
    distances = np.where(gone, np.inf, np.take_along_axis(found.distances_QK, order, axis=1))
    return Neighbours(rows, distances.astype(np.float32, copy=False))
