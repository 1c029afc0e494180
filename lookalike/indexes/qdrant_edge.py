"""Qdrant's own engine in this process (``qdrant-edge-py``).

The engine opens files for writing even where it only reads, and two processes must not share a folder, so an
artifact is opened from a private copy that goes away with the index. A point's id is the image's UUID.
"""

import shutil
import tempfile
import uuid
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, MissingExtra
from lookalike.indexes.artifact import FILE_NAME, read_artifact, write_artifact
from lookalike.indexes.port import (
    NO_PARAMS,
    BuildInput,
    Capabilities,
    Index,
    Metric,
    Neighbours,
    Params,
    ParamSpec,
)
from lookalike.indexes.scan import complete_short, no_neighbours
from lookalike.types.filters import Filter
from lookalike.types.ids import as_keys

_UPSERTED = 1000  # points in one operation
_MAX_IDS = 2000  # a filter by ids beyond this costs more than an exact scan of the allowed rows
_METRICS = {"cosine": Metric("cosine"), "dot": Metric("inner_product")}
_CAPABILITIES = Capabilities(
    metrics=tuple(_METRICS),
    filters_natively=False,
    updates_in_place=False,
    build_params={
        "metric": ParamSpec(str, "cosine", "Distance of the points.", choices=tuple(_METRICS)),
        "m": ParamSpec(int, 16, "Edges of a node of the HNSW graph.", 2, 128),
        "ef_construct": ParamSpec(int, 100, "Candidates while the graph is built.", 4, 2000),
        "quantization": ParamSpec(str, "none", "8-bit copies for the graph search.", choices=("none", "scalar")),
    },
    search_params={
        "ef_search": ParamSpec(int, 128, "Candidates of the graph search (hnsw_ef).", 1, 10_000),
        "exact": ParamSpec(bool, False, "Every point is compared instead of the graph searched."),
    },
)


def _engine() -> ModuleType:
    try:
        import qdrant_edge
    except ImportError as error:
        raise MissingExtra("qdrant-edge-py", "qdrant") from error
    module: ModuleType = qdrant_edge
    return module


class QdrantShard:
    """An opened shard. Implements :class:`lookalike.indexes.port.Index`."""

    def __init__(
        self,
        engine: ModuleType,
        shard: Any,
        metric: Metric,
        embeddings_ND: NDArray[np.float32],
        ids_N16: NDArray[np.uint8],
    ) -> None:
        self._engine = engine
        self._shard = shard
        self._metric = metric
        self._embeddings_ND = embeddings_ND
        keys = as_keys(ids_N16)
        self._order = np.argsort(keys)
        self._sorted_keys = keys[self._order]
        self._ids_N16 = ids_N16

    @property
    def metric(self) -> Metric:
        return self._metric

    @property
    def num_embeddings(self) -> int:
        return len(self._embeddings_ND)

    @property
    def dimension(self) -> int:
        return int(self._embeddings_ND.shape[1])

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        *,
        allowed_N: NDArray[np.bool_] | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        """See the port. A mask that the engine is not given as ids is answered by an exact scan."""
        found = no_neighbours(len(queries_QD), k)
        condition = self._condition(allowed_N)
        if self.num_embeddings and (allowed_N is None or condition is not None):
            q = self._engine
            # The engine refuses an ef below the number of hits only by returning fewer.
            options = q.SearchParams(
                hnsw_ef=max(int(params.get("ef_search", 128)), k), exact=bool(params.get("exact", False))
            )
            for row, query_D in enumerate(queries_QD):
                request = q.QueryRequest(
                    limit=min(k, self.num_embeddings),
                    query=q.Query.Nearest(query_D.tolist()),
                    filter=condition,
                    params=options,
                )
                self._fill(found, row, self._shard.query(request))
        return complete_short(found, self._metric, queries_QD, self._embeddings_ND, allowed_N)

    def close(self) -> None:
        """The shard is closed when the index is collected, so that no search under way loses it."""

    def _condition(self, allowed_N: NDArray[np.bool_] | None) -> Any:
        if allowed_N is None:
            return None
        for name, chosen in (("must", allowed_N), ("must_not", ~allowed_N)):
            rows = np.flatnonzero(chosen)
            if 0 < rows.size <= _MAX_IDS:
                identifiers = {uuid.UUID(bytes=self._ids_N16[row].tobytes()) for row in rows}
                return self._engine.Filter(**{name: [self._engine.HasIdCondition(identifiers)]})
        return None

    def _fill(self, found: Neighbours, row: int, points: list[Any]) -> None:
        if not points:
            return
        packed = np.frombuffer(b"".join(uuid.UUID(str(point.id)).bytes for point in points), np.uint8).reshape(-1, 16)
        rows = self._order[np.searchsorted(self._sorted_keys, as_keys(packed))]
        scores = np.array([point.score for point in points], np.float32)
        distances = 1 - scores if self._metric.name == "cosine" else -scores
        order = np.lexsort((rows, distances))
        found.rows_QK[row, : len(rows)] = rows[order]
        found.distances_QK[row, : len(rows)] = distances[order]


class QdrantEdgeBackend:
    """Qdrant without a server."""

    name = "qdrant"
    capabilities = _CAPABILITIES

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Upserts in batches, then lets the engine build its graph."""
        q = _engine()
        num_embeddings, dimension = source.embeddings_ND.shape
        shard = q.EdgeShard.create(str(directory / "shard"), _config(q, dimension, params))
        try:
            for start in range(0, num_embeddings, _UPSERTED):
                rows = source.embeddings_ND[start : start + _UPSERTED]
                ids_n16 = source.ids_N16[start : start + _UPSERTED]
                points = [
                    q.Point(uuid.UUID(bytes=identifier.tobytes()), embedding.tolist())
                    for identifier, embedding in zip(ids_n16, rows, strict=True)
                ]
                shard.update(q.UpdateOperation.upsert_points(points))
            shard.optimize()
            shard.flush()
        finally:
            shard.close()
        write_artifact(directory, self.name, (num_embeddings, dimension), dict(params))

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Loads a private copy. Raises DamagedArtifact."""
        q = _engine()
        built = read_artifact(directory, self.name, (embeddings_ND.shape[0], embeddings_ND.shape[1])).built
        metric = _METRICS.get(str(built.get("metric")))
        if metric is None:
            raise DamagedArtifact(f"{FILE_NAME} names an unknown metric", metric=built.get("metric"))
        private = Path(tempfile.mkdtemp(prefix="lookalike-qdrant-"))
        try:
            shutil.copytree(directory / "shard", private / "shard")
            shard = q.EdgeShard.load(str(private / "shard"))
        except (OSError, shutil.Error, RuntimeError, ValueError) as error:
            shutil.rmtree(private, ignore_errors=True)
            raise DamagedArtifact("qdrant cannot read the index", reason=str(error)[:500]) from error
        index = QdrantShard(q, shard, metric, np.asarray(embeddings_ND), np.asarray(ids_N16))
        weakref.finalize(index, _drop, shard, private)
        return index


def _config(q: ModuleType, dimension: int, params: Params) -> Any:
    distance = q.Distance.Cosine if params["metric"] == "cosine" else q.Distance.Dot
    quantized = params["quantization"] == "scalar"
    return q.EdgeConfig(
        vectors=q.EdgeVectorParams(size=dimension, distance=distance),
        hnsw_config=q.HnswIndexConfig(
            m=int(params["m"]), ef_construct=int(params["ef_construct"]), full_scan_threshold=10_000
        ),
        quantization_config=q.ScalarQuantizationConfig(type=q.ScalarType.Int8) if quantized else None,
    )


def _drop(shard: Any, folder: Path) -> None:
    shard.close()
    shutil.rmtree(folder, ignore_errors=True)
