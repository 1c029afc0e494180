"""Qdrant's own engine in this process (``qdrant-edge-py``). A point's id is the image's UUID.

Everything goes into one immutable segment with its graph and payload indexes, whatever the size; up to
``FULL_SCAN_KB`` of embeddings the engine compares all instead of using the graph.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, MissingExtra
from lookalike.indexes.artifact import FILE_NAME, read_artifact, write_artifact
from lookalike.indexes.mapped import let_go
from lookalike.indexes.port import BuildInput, Index, Params
from lookalike.indexes.qdrant_files import SHARD, shrink, unfold
from lookalike.indexes.qdrant_filters import Vocabulary
from lookalike.indexes.qdrant_index import Hits, QdrantIndex
from lookalike.indexes.qdrant_params import DEFAULT_OVERSAMPLING, FULL_SCAN_KB, METRICS, capabilities, compression_of
from lookalike.indexes.qdrant_payload import PayloadFields, payloads

_UPSERTED_VALUES = 2**19  # values of embeddings in one operation; each is a Python float for a moment
_ONE_SEGMENT_KB = 2**32


def _engine() -> ModuleType:
    try:
        import qdrant_edge
    except ImportError as error:
        raise MissingExtra("qdrant-edge-py", "qdrant") from error
    module: ModuleType = qdrant_edge
    return module


class EdgeVocabulary:
    """The engine's conditions."""

    def __init__(self, engine: ModuleType) -> None:
        self._q = engine

    def filter(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        """See :class:`~lookalike.indexes.qdrant_filters.Vocabulary`, also for the others."""
        given = {"must": must, "should": should, "must_not": must_not}
        return self._q.Filter(**{name: list(conditions) for name, conditions in given.items() if conditions})

    def texts(self, path: str, values: Sequence[str]) -> Any:
        match = self._q.MatchValue(values[0]) if len(values) == 1 else self._q.MatchAny(list(values))
        return self._q.FieldCondition(path, match=match)

    def between(self, path: str, bounds: dict[str, float]) -> Any:
        return self._q.FieldCondition(path, range=self._q.RangeFloat(**bounds))

    def ids(self, identifiers: Sequence[UUID]) -> Any:
        return self._q.HasIdCondition(set(identifiers))


class _Shard:
    """An opened shard. Implements :class:`lookalike.indexes.qdrant_index.Engine`."""

    def __init__(self, engine: ModuleType, shard: Any, quantization: str) -> None:
        self._q = engine
        self._shard = shard
        self.quantization = quantization
        self._vocabulary = EdgeVocabulary(engine)

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def nearest(
        self, queries_QD: NDArray[np.float32], limit: int, condition: Any, params: Params, *, exact: bool
    ) -> Sequence[Hits]:
        """See :class:`~lookalike.indexes.qdrant_index.Engine`."""
        q = self._q
        exact = exact or bool(params.get("exact", False))
        quantized = q.QuantizationSearchParams(
            ignore=exact,
            rescore=bool(params.get("rescore", True)),
            oversampling=float(params.get("oversampling", DEFAULT_OVERSAMPLING.get(self.quantization, 1.0))),
        )
        # With an ef below the limit the engine returns fewer.
        options = q.SearchParams(
            hnsw_ef=max(int(params.get("ef_search", 128)), limit),
            exact=exact,
            quantization=None if self.quantization == "none" else quantized,
        )
        return [
            _hits(
                self._shard.query(
                    q.QueryRequest(
                        limit=limit, query=q.Query.Nearest(query_D.tolist()), filter=condition, params=options
                    )
                )
            )
            for query_D in queries_QD
        ]


def _hits(points: list[Any]) -> Hits:
    return b"".join(point.id.bytes for point in points), [point.score for point in points]


class _NoShard:
    """What stands for the shard of no embeddings: there is nothing to open, and it is never asked."""

    def __init__(self, vocabulary: Vocabulary, quantization: str) -> None:
        self.vocabulary = vocabulary
        self.quantization = quantization

    def nearest(
        self, queries_QD: NDArray[np.float32], limit: int, condition: Any, params: Params, *, exact: bool
    ) -> Sequence[Hits]:
        """Nothing."""
        return [(b"", [])] * len(queries_QD)


class QdrantEdgeBackend:
    """Qdrant without a server."""

    name = "qdrant"
    capabilities = capabilities("process")

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Upserts in batches, then lets the engine build one segment with its graph and payload indexes."""
        q = _engine()
        compression_of(params)
        num_embeddings, dimension = source.embeddings_ND.shape
        fields = PayloadFields()
        files: tuple[str, ...] = ()
        if num_embeddings:
            shard = q.EdgeShard.create(str(directory / SHARD), _config(q, dimension, params))
            try:
                for points in _points(q, source, fields):
                    shard.update(q.UpdateOperation.upsert_points(points))
                    let_go(source.embeddings_ND)
                kinds = {"keyword": q.PayloadSchemaType.Keyword, "float": q.PayloadSchemaType.Float}
                for path, kind in fields.indexed.items():
                    shard.update(q.UpdateOperation.create_field_index(path, kinds[kind]))
                shard.optimize()
                shard.flush()
            finally:
                shard.close()
            files = shrink(directory)
        built = {**params, "filterable": source.records is not None, "inexact": " ".join(sorted(fields.inexact))}
        write_artifact(directory, self.name, (num_embeddings, dimension), built, files)

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Opens a private view of the artifact: its large files are mapped, not copied. Raises DamagedArtifact."""
        q = _engine()
        artifact = read_artifact(directory, self.name, (embeddings_ND.shape[0], embeddings_ND.shape[1]))
        built = artifact.built
        metric = METRICS.get(str(built.get("metric")))
        if metric is None:
            raise DamagedArtifact(f"{FILE_NAME} names an unknown metric", metric=built.get("metric"))
        if built.get("location") != "process":
            raise DamagedArtifact("an index on a Qdrant server, or of an older format: build it again")
        inexact = frozenset(str(built.get("inexact", "")).split()) if built.get("filterable") else None
        quantization = str(built.get("quantization"))
        if not len(embeddings_ND):
            return QdrantIndex(_NoShard(EdgeVocabulary(q), quantization), metric, embeddings_ND, ids_N16, inexact)
        shard = _load(q, directory)
        if shard.info().points_count != len(embeddings_ND):
            shard.close()
            raise DamagedArtifact(f"the shard does not hold {len(embeddings_ND)} points")
        engine = _Shard(q, shard, quantization)
        # Closed when the index is collected, so that no search under way loses it.
        weakref.finalize(engine, shard.close)
        return QdrantIndex(engine, metric, embeddings_ND, ids_N16, inexact)


def _points(q: ModuleType, source: BuildInput, fields: PayloadFields) -> Iterator[list[Any]]:
    num_embeddings, dimension = source.embeddings_ND.shape
    step = max(1, _UPSERTED_VALUES // dimension)
    said = None if source.records is None else payloads(source.records(), fields)
    for start in range(0, num_embeddings, step):
        rows = zip(source.ids_N16[start : start + step], source.embeddings_ND[start : start + step], strict=True)
        yield [
            q.Point(UUID(bytes=identifier.tobytes()), embedding.tolist(), None if said is None else next(said))
            for identifier, embedding in rows
        ]


def _config(q: ModuleType, dimension: int, params: Params) -> Any:
    distance = q.Distance.Cosine if params["metric"] == "cosine" else q.Distance.Dot
    return q.EdgeConfig(
        vectors=q.EdgeVectorParams(size=dimension, distance=distance),
        hnsw_config=q.HnswIndexConfig(
            m=int(params["m"]), ef_construct=int(params["ef_construct"]), full_scan_threshold=FULL_SCAN_KB
        ),
        quantization_config=_quantization(q, params),
        optimizers=q.EdgeOptimizersConfig(
            default_segment_number=1, max_segment_size=_ONE_SEGMENT_KB, indexing_threshold=1
        ),
        wal_enabled=False,  # an artifact is complete or not there: nothing is ever replayed
    )


def _quantization(q: ModuleType, params: Params) -> Any:
    match params["quantization"]:
        case "scalar":
            return q.ScalarQuantizationConfig(type=q.ScalarType.Int8)
        case "product":
            ratio = getattr(q.CompressionRatio, compression_of(params).upper())
            return q.ProductQuantizationConfig(compression=ratio)
        case "binary":
            return q.BinaryQuantizationConfig()
        case _:
            return None


def _load(q: ModuleType, directory: Path) -> Any:
    private = Path(tempfile.mkdtemp(prefix="lookalike-qdrant-"))
    try:
        shard = unfold(directory, private)
        try:
            return q.EdgeShard.load(str(shard))
        except Exception as error:  # the engine has no class of its own
            raise DamagedArtifact("qdrant cannot read the index", reason=str(error)[:500]) from error
    finally:
        # What is mapped stays mapped; without its folder nothing is left behind, however this process ends.
        shutil.rmtree(private, ignore_errors=True)
