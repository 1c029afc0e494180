"""Searching a collection on a Qdrant server."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.port import Params
from lookalike.indexes.qdrant_filters import Vocabulary
from lookalike.indexes.qdrant_index import Hits
from lookalike.indexes.qdrant_params import DEFAULT_OVERSAMPLING
from lookalike.indexes.qdrant_server_connection import Connection, models

_ASKED_VALUES = 2**18  # values of queries in one request


class ClientVocabulary:
    """The client's conditions."""

    def __init__(self) -> None:
        self._models = models()

    def filter(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        """See :class:`~lookalike.indexes.qdrant_filters.Vocabulary`, also for the others."""
        given = {"must": must, "should": should, "must_not": must_not}
        return self._models.Filter(**{name: list(conditions) for name, conditions in given.items() if conditions})

    def texts(self, path: str, values: Sequence[str]) -> Any:
        one = len(values) == 1
        match = self._models.MatchValue(value=values[0]) if one else self._models.MatchAny(any=list(values))
        return self._models.FieldCondition(key=path, match=match)

    def between(self, path: str, bounds: dict[str, float]) -> Any:
        return self._models.FieldCondition(key=path, range=self._models.Range(**bounds))

    def ids(self, identifiers: Sequence[UUID]) -> Any:
        return self._models.HasIdCondition(has_id=[str(identifier) for identifier in identifiers])


class OpenedCollection:
    """An opened collection. Implements :class:`lookalike.indexes.qdrant_index.Engine`."""

    def __init__(self, connection: Connection, name: str, quantization: str) -> None:
        self._connection = connection
        self._name = name
        self.quantization = quantization
        self._vocabulary = ClientVocabulary()

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def nearest(
        self, queries_QD: NDArray[np.float32], limit: int, condition: Any, params: Params, *, exact: bool
    ) -> Sequence[Hits]:
        """See :class:`~lookalike.indexes.qdrant_index.Engine`. Raises DependencyUnavailable, DamagedArtifact.

        Nothing is tried again: whoever searches waits no longer than the connection's timeout for one request.
        """
        made = models()
        exact = exact or bool(params.get("exact", False))
        quantized = made.QuantizationSearchParams(
            ignore=exact,
            rescore=bool(params.get("rescore", True)),
            oversampling=float(params.get("oversampling", DEFAULT_OVERSAMPLING.get(self.quantization, 1.0))),
        )
        options = made.SearchParams(
            hnsw_ef=max(int(params.get("ef_search", 128)), limit),
            exact=exact,
            quantization=None if self.quantization == "none" else quantized,
        )
        found: list[Hits] = []
        step = max(1, _ASKED_VALUES // queries_QD.shape[1])
        for start in range(0, len(queries_QD), step):
            requests = [
                made.QueryRequest(query=query, limit=limit, filter=condition, params=options)
                for query in queries_QD[start : start + step].tolist()
            ]
            with self._connection.reached(self._name) as clients:
                answers = clients.points.query_batch_points(self._name, requests=requests)
            found.extend(_hits(answer.points) for answer in answers)
        return found


def _hits(points: list[Any]) -> Hits:
    return b"".join(UUID(str(point.id)).bytes for point in points), [point.score for point in points]
