"""A Qdrant server, through ``qdrant-client``.

An index is one collection. Its name is a digest of everything in it, so that building the same again finds it, on
any server that has it; what an interrupted build left is completed. The artifact only names the collection. Point
ids are the images' UUIDs and payloads those of ``qdrant_payload``, so other clients of the server can use it too.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, DependencyUnavailable, MissingExtra
from lookalike.indexes.artifact import FILE_NAME, read_artifact, write_artifact
from lookalike.indexes.port import BuildInput, Index, Params
from lookalike.indexes.qdrant_filters import Vocabulary
from lookalike.indexes.qdrant_index import Hits, QdrantIndex
from lookalike.indexes.qdrant_params import DEFAULT_OVERSAMPLING, FULL_SCAN_KB, METRICS, capabilities, compression_of
from lookalike.indexes.qdrant_payload import PayloadFields, payloads

_FORMAT = "1"
_UPSERTED_VALUES = 2**18  # values of embeddings in one request: about 5 MB of JSON, of 32 MB that a server takes
_ASKED_VALUES = 2**18  # values of queries in one request
_INDEXING_KB = 10_000  # segments beyond this get their graph; the server's default
_POLL_S = 0.2
_BUILD_LIMIT_S = 3600.0


def _models() -> Any:
    try:
        from qdrant_client import models
    except ImportError as error:
        raise MissingExtra("qdrant-client", "qdrant") from error
    return models


class ClientVocabulary:
    """The client's conditions."""

    def __init__(self) -> None:
        self._models = _models()

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


class _Collection:
    """An opened collection. Implements :class:`lookalike.indexes.qdrant_index.Engine`."""

    def __init__(self, server: "_Server", name: str, quantization: str) -> None:
        self._server = server
        self._name = name
        self.quantization = quantization
        self._vocabulary = ClientVocabulary()

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def nearest(
        self, queries_QD: NDArray[np.float32], limit: int, condition: Any, params: Params, *, exact: bool
    ) -> Sequence[Hits]:
        """See :class:`~lookalike.indexes.qdrant_index.Engine`. Raises DependencyUnavailable, DamagedArtifact."""
        models = _models()
        exact = exact or bool(params.get("exact", False))
        quantized = models.QuantizationSearchParams(
            ignore=exact,
            rescore=bool(params.get("rescore", True)),
            oversampling=float(params.get("oversampling", DEFAULT_OVERSAMPLING.get(self.quantization, 1.0))),
        )
        options = models.SearchParams(
            hnsw_ef=max(int(params.get("ef_search", 128)), limit),
            exact=exact,
            quantization=None if self.quantization == "none" else quantized,
        )
        found: list[Hits] = []
        step = max(1, _ASKED_VALUES // queries_QD.shape[1])
        for start in range(0, len(queries_QD), step):
            requests = [
                models.QueryRequest(query=query, limit=limit, filter=condition, params=options)
                for query in queries_QD[start : start + step].tolist()
            ]
            with self._server.reached(self._name) as client:
                answers = client.query_batch_points(self._name, requests=requests)
            found.extend(_hits(answer.points) for answer in answers)
        return found


def _hits(points: list[Any]) -> Hits:
    return b"".join(UUID(str(point.id)).bytes for point in points), [point.score for point in points]


class _Server:
    """One server and the client to it, made when it is first needed."""

    def __init__(self, url_or_client: Any, api_key: str | None, timeout_s: int) -> None:
        self._lock = threading.Lock()
        self._client: Any = None
        self._connect: Callable[[], Any] = lambda: url_or_client
        self._where = "the Qdrant server"
        if isinstance(url_or_client, str):
            parts = urlsplit(url_or_client)
            self._where += f" at {parts.hostname}" + (f":{parts.port}" if parts.port else "")
            self._connect = lambda: _client(url_or_client, api_key, timeout_s)

    @contextmanager
    def reached(self, collection: str) -> Iterator[Any]:
        """The client, with its failures as ours: no key and no URL with a password gets into a message."""
        _models()
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        with self._lock:
            if self._client is None:
                self._client = self._connect()
        try:
            yield self._client
        except ResponseHandlingException as error:
            reason = type(error.source).__name__
            raise DependencyUnavailable(f"{self._where} does not answer: {reason}", reason=reason) from error
        except UnexpectedResponse as error:
            if error.status_code == 404:
                raise DamagedArtifact(f"{self._where} has no collection {collection}", collection=collection) from error
            raise DependencyUnavailable(
                f"{self._where} answers {error.status_code} {error.reason_phrase}", status=error.status_code
            ) from error


def _client(url: str, api_key: str | None, timeout_s: int) -> Any:
    from qdrant_client import QdrantClient

    return QdrantClient(url=url, api_key=api_key, timeout=timeout_s, check_compatibility=False)


class QdrantServerBackend:
    """Qdrant as a server of its own.

    Args:
        url_or_client: where it is, or a ``QdrantClient``. Nothing is asked before the first build or open.
        api_key: for a URL.
        timeout_s: of one request.
        sleep: waits between two looks at a collection that is being indexed.
    """

    name = "qdrant"
    capabilities = capabilities("server")

    def __init__(
        self,
        url_or_client: Any,
        *,
        api_key: str | None = None,
        timeout_s: int = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = _Server(url_or_client, api_key, timeout_s)
        self._sleep = sleep

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Fills a collection and waits until it is indexed; one that is complete already stays as it is.

        Raises DependencyUnavailable, also when the server takes more than an hour to index.
        """
        compression_of(params)
        fields = PayloadFields()
        encoded = None
        if source.records is not None:
            encoded = [json.dumps(payload).encode() for payload in payloads(source.records(), fields)]
        name = _collection_name(source, encoded, params)
        num_embeddings, dimension = source.embeddings_ND.shape
        with self._server.reached(name) as client:
            if client.collection_exists(name) and client.count(name, exact=True).count > num_embeddings:
                client.delete_collection(name)
            if not client.collection_exists(name):
                client.create_collection(name, **_config(dimension, params))
            if client.count(name, exact=True).count < num_embeddings:
                self._upsert(client, name, source, encoded)
            # All of this does nothing where it was done before.
            for path, kind in fields.indexed.items():
                client.create_payload_index(name, path, field_schema=_models().PayloadSchemaType(kind), wait=True)
            client.update_collection(
                name, optimizers_config=_models().OptimizersConfigDiff(indexing_threshold=_INDEXING_KB)
            )
            self._wait_until_indexed(client, name)
        built = {
            **params,
            "collection": name,
            "filterable": source.records is not None,
            "inexact": " ".join(sorted(fields.inexact)),
        }
        write_artifact(directory, self.name, (num_embeddings, dimension), built)

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Finds the collection and checks its size. Raises DamagedArtifact, DependencyUnavailable."""
        shape = (embeddings_ND.shape[0], embeddings_ND.shape[1])
        built = read_artifact(directory, self.name, shape).built
        metric, name = METRICS.get(str(built.get("metric"))), str(built.get("collection", ""))
        if metric is None or not name:
            raise DamagedArtifact(f"{FILE_NAME} names no collection: an index in process? Build it again")
        with self._server.reached(name) as client:
            if not client.collection_exists(name):
                raise DamagedArtifact(f"the server has no collection {name}: build the index again", collection=name)
            dimension = client.get_collection(name).config.params.vectors.size
            count = client.count(name, exact=True).count
        if (count, dimension) != shape:
            raise DamagedArtifact(
                f"collection {name} holds {count} x {dimension}, not {shape[0]} x {shape[1]}", collection=name
            )
        inexact = frozenset(str(built.get("inexact", "")).split()) if built.get("filterable") else None
        engine = _Collection(self._server, name, str(built.get("quantization")))
        return QdrantIndex(engine, metric, embeddings_ND, ids_N16, inexact)

    def _upsert(self, client: Any, name: str, source: BuildInput, encoded: list[bytes] | None) -> None:
        num_embeddings, dimension = source.embeddings_ND.shape
        step = max(1, _UPSERTED_VALUES // dimension)
        for start in range(0, num_embeddings, step):
            rows = slice(start, start + step)
            points = _models().Batch(
                ids=[str(UUID(bytes=identifier.tobytes())) for identifier in source.ids_N16[rows]],
                vectors=source.embeddings_ND[rows].tolist(),
                payloads=None if encoded is None else [json.loads(text) for text in encoded[rows]],
            )
            client.upsert(name, points=points, wait=True)

    def _wait_until_indexed(self, client: Any, name: str) -> None:
        waited_s = 0.0
        while (status := client.get_collection(name).status.value) != "green":
            if status == "red" or waited_s > _BUILD_LIMIT_S:
                raise DependencyUnavailable(f"collection {name} is {status} after {waited_s:.0f} s", collection=name)
            self._sleep(_POLL_S)
            waited_s += _POLL_S


def _collection_name(source: BuildInput, encoded: list[bytes] | None, params: Params) -> str:
    """Names everything that goes in: equal names, equal collections."""
    digest = hashlib.sha256(json.dumps([_FORMAT, sorted(params.items()), list(source.embeddings_ND.shape)]).encode())
    digest.update(source.ids_N16.tobytes())
    for start in range(0, len(source.embeddings_ND), 4096):
        digest.update(source.embeddings_ND[start : start + 4096].tobytes())
    for text in encoded or ():
        digest.update(text + b"\n")
    return f"lookalike-{digest.hexdigest()[:32]}"


def _config(dimension: int, params: Params) -> dict[str, Any]:
    models = _models()
    quantization = None
    match params["quantization"]:
        case "scalar":
            scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
            quantization = models.ScalarQuantization(scalar=scalar)
        case "product":
            ratio = models.CompressionRatio(compression_of(params))
            quantization = models.ProductQuantization(product=models.ProductQuantizationConfig(compression=ratio))
        case "binary":
            quantization = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    distance = models.Distance.COSINE if params["metric"] == "cosine" else models.Distance.DOT
    return {
        "vectors_config": models.VectorParams(size=dimension, distance=distance),
        "hnsw_config": models.HnswConfigDiff(
            m=params["m"], ef_construct=params["ef_construct"], full_scan_threshold=FULL_SCAN_KB
        ),
        "quantization_config": quantization,
        # Nothing is indexed before everything is there.
        "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=0),
    }
