"""One backend's index as callers see it: with deletes, adds, filters, offsets and one order of hits.

Decision 4 of the design: indexes are immutable, galleries live. What the backends do differently ends here.

Shape suffixes: N base rows, M delta rows, R = N + M, Q queries, C candidates, K hits, D dimension.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookalike.errors import DamagedArtifact, InvalidRequest
from lookalike.indexes.candidates import CandidateSource, IndexCandidates, ScanCandidates
from lookalike.indexes.port import NO_PARAMS, Index, Metric, Params, ParamSpec
from lookalike.indexes.ranking import Ranked, below, beside, best, nothing, page, without
from lookalike.indexes.rows import Embeddings, Rows
from lookalike.indexes.similarity import cosines, rounding_slack, unit_queries
from lookalike.types.filters import Filter
from lookalike.types.ids import as_keys, pack_ids

__all__ = ["MARGIN", "MAX_TIES", "Embeddings", "LivingIndex", "Ranked"]

MARGIN = 16  # candidates beyond those needed: against rounding, ties at the last place, and for the excluded one
MAX_TIES = 4096  # candidates beyond those needed that are fetched at most to resolve such ties
_SCANNED = 2**21  # values of embeddings: filters that leave no more are answered by an exact scan
_BLOCK = 2**22  # values of queries, and candidates, handled at a time


class _Part(NamedTuple):
    """Rows that one search looks at."""

    first_row: int  # what is added to the source's rows
    embeddings_ND: NDArray[np.float32]  # the source's rows
    source: CandidateSource


class LivingIndex:
    """An opened index over a base embedding set, less the deleted rows, plus a delta that is searched exactly.

    Callers cannot tell which backend can delete, add or filter. Immutable, and safe to search from several
    threads when its index is.

    Similarity is recomputed from the stored embeddings, so it is bit-equal for the same pair on every backend,
    and alone decides the order. The candidates are the backend's: a quantised index, or one of a metric that
    orders otherwise than cosine (minkowski with p other than 2), may miss a better row, never misplace one.
    ``MARGIN`` more candidates than needed are fetched; while the last of them ties with the last hit the number
    is doubled, up to ``MAX_TIES`` more: beyond that, which of the tied rows are hits is the backend's choice.

    Args:
        index: opened over ``base``.
        base: the embedding set that was indexed; may be empty.
        delta: embeddings added since; may be empty. A few thousand at most: each search reads all of them.
        alive_N: which base rows still exist; None: all.

    Raises:
        DamagedArtifact: the index is not one of ``base``.
    """

    def __init__(
        self, index: Index, base: Embeddings, delta: Embeddings, alive_N: NDArray[np.bool_] | None = None
    ) -> None:
        num_base, dimension = base.embeddings_ND.shape
        if (index.num_embeddings, index.dimension) != (num_base, dimension):
            raise DamagedArtifact(
                f"an index of {index.num_embeddings} x {index.dimension} beside {num_base} x {dimension} embeddings"
            )
        if delta.embeddings_ND.shape[1] != dimension:
            raise DamagedArtifact(f"a delta of dimension {delta.embeddings_ND.shape[1]}, not {dimension}")
        if alive_N is not None and alive_N.shape != (num_base,):
            raise ValueError(f"alive_N must have shape [{num_base}], not {list(alive_N.shape)}")
        self._index = index
        self._dimension: int = dimension
        self._base, self._delta = base.plain(), delta.plain()
        self._num_alive = num_base if alive_N is None else int(np.count_nonzero(alive_N))
        self._alive_N = None if alive_N is None or self._num_alive == num_base else alive_N.copy()
        self._rows = Rows(self._base, self._delta, self._alive_N)
        self._slack = rounding_slack(dimension)
        self._all_parts = self._parts(None, None)

    @property
    def metric(self) -> Metric:
        """What the distances are."""
        return self._index.metric

    @property
    def search_params(self) -> Mapping[str, ParamSpec]:
        """What :meth:`search` takes as ``params``."""
        return self._index.search_params

    @property
    def dimension(self) -> int:
        """Of every embedding and query."""
        return self._dimension

    @property
    def num_images(self) -> int:
        """How many can be found: living base rows and delta rows."""
        return self._num_alive + len(self._delta.ids_N16)

    @property
    def num_rows(self) -> int:
        """R: base rows, deleted ones included, and delta rows; what masks and ``ids_N16`` are as long as."""
        return len(self._base.ids_N16) + len(self._delta.ids_N16)

    @property
    def is_whole(self) -> bool:
        """Whether there are neither deleted nor delta rows: what is served is what was indexed."""
        return self.num_rows == len(self._base.ids_N16) == self._num_alive

    @property
    def ids_N16(self) -> NDArray[np.uint8]:
        """Image ids of base rows, deleted ones included, and then delta rows, uint8 [R, 16]."""
        return self._rows.ids_N16

    def search(
        self,
        queries_QD: ArrayLike,
        k: int,
        *,
        offset: int = 0,
        allowed_N: NDArray[np.bool_] | None = None,
        native_filter: Filter | None = None,
        exclude_ids_Q16: NDArray[np.uint8] | None = None,
        min_similarity: float | None = None,
        params: Params = NO_PARAMS,
    ) -> Ranked:
        """Hits ``offset`` to ``offset + k`` of each query, [Q, k].

        Args:
            queries_QD: floating-point; normalised here.
            k: at least 1; may exceed the number of images.
            offset: hits to leave out at the front, after ordering.
            allowed_N: bool [R]; only rows where it is true can be hits.
            native_filter: for backends that filter natively; ``allowed_N`` must say the same, and may be left out
                where the index ``is_whole``.
            exclude_ids_Q16: one image id for each query that is no hit of it.
            min_similarity: hits below it, as float32, are left out.
            params: of the backend, validated and complete.

        Raises:
            InvalidEmbedding: see :func:`~lookalike.indexes.similarity.unit_queries`.
            InvalidRequest: ``k`` below 1 or ``offset`` below 0.
        """
        if k < 1 or offset < 0:
            raise InvalidRequest(
                f"k must be at least 1 and offset at least 0, not {k} and {offset}", k=k, offset=offset
            )
        parts = self._all_parts
        if allowed_N is not None or native_filter is not None:
            parts = self._parts(allowed_N, native_filter)
        queries = np.asarray(queries_QD)
        num_queries = len(queries) if queries.ndim == 2 else 1  # anything else is refused with the first block
        if exclude_ids_Q16 is not None and exclude_ids_Q16.shape != (num_queries, 16):
            raise ValueError(f"exclude_ids_Q16 must have shape [{num_queries}, 16]")
        needed = min(offset + k, self.num_rows)
        step = max(1, _BLOCK // max(self._dimension, needed + MARGIN))
        blocks = []
        for start in range(0, max(1, num_queries), step):
            unit_qD = unit_queries(queries[start : start + step] if queries.ndim == 2 else queries, self._dimension)
            excluded = None if exclude_ids_Q16 is None else as_keys(exclude_ids_Q16[start : start + step])
            ranked = self._rank(unit_qD, excluded, needed, needed + MARGIN, parts, params)
            blocks.append(page(ranked, k, offset, min_similarity))
        return below(blocks)

    def rows_of(self, ids_I16: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The row of each image id, int64 [I]; -1 for those that are not here or deleted."""
        return self._rows.rows_of(ids_I16)

    def embedding(self, image_id: str) -> NDArray[np.float32] | None:
        """The stored embedding [D] of an image, or None when it is not here or deleted."""
        row = self.rows_of(pack_ids([image_id]))
        return None if row[0] < 0 else self.embeddings_of(row)[0]

    def embeddings_of(self, rows_I: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored embeddings of rows (base, then delta), float32 [I, D], a copy."""
        return self._rows.embeddings_of(rows_I)

    def close(self) -> None:
        """Closes the index."""
        self._index.close()

    def _parts(self, allowed_N: NDArray[np.bool_] | None, native_filter: Filter | None) -> list[_Part]:
        num_base = len(self._base.ids_N16)
        if allowed_N is None:
            if native_filter is not None and not self.is_whole:
                raise ValueError("with deleted or delta rows native_filter needs allowed_N beside it")
            of_base: CandidateSource = IndexCandidates(
                self._index, self._alive_N, self._num_alive, native_filter=native_filter
            )
            of_delta = ScanCandidates(self._index.metric, self._delta.embeddings_ND)
        else:
            if allowed_N.shape != (self.num_rows,):
                raise ValueError(f"allowed_N must have shape [{self.num_rows}], not {list(allowed_N.shape)}")
            # The caller's very object where possible: searches with the same one can be joined.
            mask_N = allowed_N if self.num_rows == num_base else allowed_N[:num_base]
            of_base = self._masked(mask_N if self._alive_N is None else mask_N & self._alive_N, native_filter)
            rows = np.flatnonzero(allowed_N[num_base:])
            of_delta = ScanCandidates(self._index.metric, self._delta.embeddings_ND, rows)
        parts = [
            _Part(0, self._base.embeddings_ND, of_base),
            _Part(num_base, self._delta.embeddings_ND, of_delta),
        ]
        return [part for part in parts if part.source.num_rows]

    def _masked(self, mask_N: NDArray[np.bool_], native_filter: Filter | None) -> CandidateSource:
        num_allowed = int(np.count_nonzero(mask_N))
        if num_allowed * self._dimension <= _SCANNED:
            return ScanCandidates(self._index.metric, self._base.embeddings_ND, np.flatnonzero(mask_N))
        return IndexCandidates(self._index, self._alive_N, self._num_alive, mask_N, num_allowed, native_filter)

    def _rank(
        self,
        unit_QD: NDArray[np.float64],
        excluded_Q: NDArray[np.bytes_] | None,
        needed: int,
        num_candidates: int,
        parts: list[_Part],
        params: Params,
    ) -> Ranked:
        """The best ``needed``, or all there are; padding and the excluded ones last."""
        queries_QD = unit_QD.astype(np.float32)
        found, lowest = [], []
        for part in parts:
            near = part.source.nearest(queries_QD, num_candidates, params)
            rows_QC, distances_QC = near.rows_QK, near.distances_QK
            similarities_QC = cosines(unit_QD, part.embeddings_ND, rows_QC)
            if part.first_row:
                rows_QC = np.where(rows_QC >= 0, rows_QC + part.first_row, -1)
            found.append(Ranked(rows_QC, similarities_QC, distances_QC))
            if part.source.num_rows > num_candidates:
                lowest.append(similarities_QC[:, -1])
        if not found:
            return nothing(len(unit_QD), 0)
        candidates = beside(found)
        keys_R = self._rows.keys_R
        if excluded_Q is not None:
            candidates = without(candidates, keys_R[candidates.rows_QK] == excluded_Q[:, None])
        ranked = best(candidates, needed, keys_R)
        if not lowest or num_candidates >= needed + MAX_TIES:
            return ranked
        # Padding in kth's or last's place is -inf, and then there is nothing more to fetch.
        kth = ranked.similarities_QK[:, -1]
        tied = np.zeros(len(unit_QD), np.bool_)
        for last in lowest:
            tied |= (kth > -np.inf) & (last <= kth + self._slack) & (last >= kth - self._slack)
        again = np.flatnonzero(tied)
        more = min(2 * num_candidates, needed + MAX_TIES)
        step = max(1, _BLOCK // max(self._dimension, more))
        for start in range(0, len(again), step):
            some = again[start : start + step]
            excluded = None if excluded_Q is None else excluded_Q[some]
            ranked.put(some, self._rank(unit_QD[some], excluded, needed, more, parts, params))
        return ranked
