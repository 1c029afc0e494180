"""Searching a Qdrant index: rows and masks on our side, points and conditions on Qdrant's.

The engine in process and the server differ in how they are asked (:class:`Engine`); everything else is here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import CapabilityMissing, DamagedArtifact
from lookalike.indexes.port import NO_PARAMS, Metric, Neighbours, Params, ParamSpec
from lookalike.indexes.qdrant_filters import Vocabulary, compile_filter
from lookalike.indexes.qdrant_params import search_params_of
from lookalike.indexes.scan import complete_short, no_neighbours
from lookalike.types.filters import Filter
from lookalike.types.ids import as_keys

_MAX_IDS = 2000  # a filter by ids beyond this costs more than an exact scan of the allowed rows
_SPARE = 32  # points beyond k that are asked for when some that match the filter may not be allowed

Hits: TypeAlias = tuple[bytes, list[float]]  # 16 bytes of identifier after the other, and scores


class Engine(Protocol):
    """One opened shard or collection."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def quantization(self) -> str:
        """As the index was built with."""
        ...

    def nearest(
        self, queries_QD: NDArray[np.float32], limit: int, condition: Any, params: Params, *, exact: bool
    ) -> Sequence[Hits]:
        """At most ``limit`` points of each query that satisfy ``condition`` (None: all), best first.

        ``params`` are those of a search; with ``exact`` every point is compared, whatever they say, and as many
        are returned as there are.
        """
        ...


class QdrantIndex:
    """An opened index. Implements :class:`lookalike.indexes.port.Index`.

    Args:
        inexact: fields for :func:`~lookalike.indexes.qdrant_filters.compile_filter`; None for an index that was
            built without records, which cannot filter by itself.
        close: called when the index is closed.
    """

    def __init__(
        self,
        engine: Engine,
        metric: Metric,
        embeddings_ND: NDArray[np.float32],
        ids_N16: NDArray[np.uint8],
        inexact: frozenset[str] | None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._metric = metric
        self._embeddings_ND = np.asarray(embeddings_ND)
        self._ids_N16 = np.asarray(ids_N16)
        keys = as_keys(self._ids_N16)
        self._order = np.argsort(keys)
        self._sorted_keys = keys[self._order]
        self._inexact = inexact
        self._close = close

    @property
    def metric(self) -> Metric:
        """See the port."""
        return self._metric

    @property
    def num_embeddings(self) -> int:
        """See the port."""
        return len(self._embeddings_ND)

    @property
    def dimension(self) -> int:
        """See the port."""
        return int(self._embeddings_ND.shape[1])

    @property
    def search_params(self) -> Mapping[str, ParamSpec]:
        """See the port."""
        return search_params_of(self._engine.quantization)

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        *,
        allowed_N: NDArray[np.bool_] | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        """See the port.

        A filter alone is Qdrant's; where its graph finds fewer than k, every point that matches is compared. A
        mask of few (or all but few) rows is given to Qdrant as ids; another one is applied to the points that
        match the filter beside it, and without a filter answered by an exact scan of its rows.

        Raises CapabilityMissing for a filter alone when the index was built without records.
        """
        found = no_neighbours(len(queries_QD), k)
        limit = min(k, self.num_embeddings)
        if not limit or not len(queries_QD):
            return found
        if allowed_N is None:
            condition = None if native_filter is None else self._compiled(native_filter)
            self._ask(found, np.arange(len(queries_QD)), queries_QD, limit, condition, params)
            if condition is None:
                return complete_short(found, self._metric, queries_QD, self._embeddings_ND, None)
            short = np.flatnonzero(found.rows_QK[:, limit - 1] < 0)
            if len(short):
                self._ask(found, short, queries_QD[short], limit, condition, params, exact=True)
            return found
        condition, spare = self._of_mask(allowed_N, native_filter)
        if condition is not None:
            limit = min(limit + spare, self.num_embeddings)
            self._ask(found, np.arange(len(queries_QD)), queries_QD, limit, condition, params, allowed_N)
        return complete_short(found, self._metric, queries_QD, self._embeddings_ND, allowed_N)

    def close(self) -> None:
        """See the port."""
        self._close()

    def _compiled(self, native_filter: Filter) -> Any:
        if self._inexact is None:
            raise CapabilityMissing("this index was built without records and cannot filter by itself")
        return compile_filter(native_filter, self._engine.vocabulary, self._inexact)

    def _of_mask(self, allowed_N: NDArray[np.bool_], native_filter: Filter | None) -> tuple[Any, int]:
        """A condition that the allowed rows satisfy, and how many more points than k it wants; or None."""
        say = self._engine.vocabulary
        for side, chosen_N in (("must", allowed_N), ("must_not", ~allowed_N)):
            rows = np.flatnonzero(chosen_N)
            if rows.size <= _MAX_IDS:
                identifiers = [UUID(bytes=self._ids_N16[row].tobytes()) for row in rows]
                return say.filter(**{side: [say.ids(identifiers)]}), 0
        if native_filter is None or self._inexact is None:
            return None, 0
        return self._compiled(native_filter), _SPARE

    def _ask(
        self,
        found: Neighbours,
        places: NDArray[np.int64],
        queries_QD: NDArray[np.float32],
        limit: int,
        condition: Any,
        params: Params,
        allowed_N: NDArray[np.bool_] | None = None,
        *,
        exact: bool = False,
    ) -> None:
        """Fills ``found`` at ``places``, one for each query."""
        answers = self._engine.nearest(queries_QD, limit, condition, params, exact=exact)
        width = found.rows_QK.shape[1]
        for place, (identifiers, scores) in zip(places, answers, strict=True):
            rows = self._rows_of(identifiers)
            distances = np.array(scores, np.float32)
            distances = 1 - distances if self._metric.name == "cosine" else -distances
            if allowed_N is not None:
                rows, distances = rows[allowed_N[rows]], distances[allowed_N[rows]]
            order = np.lexsort((rows, distances))[:width]
            found.rows_QK[place, : len(order)] = rows[order]
            found.distances_QK[place, : len(order)] = distances[order]

    def _rows_of(self, identifiers: bytes) -> NDArray[np.int64]:
        keys = as_keys(np.frombuffer(identifiers, np.uint8).reshape(-1, 16))
        places = np.minimum(np.searchsorted(self._sorted_keys, keys), self.num_embeddings - 1)
        if not (self._sorted_keys[places] == keys).all():
            raise DamagedArtifact("qdrant returned a point that is not in the embedding set")
        return self._order[places]
