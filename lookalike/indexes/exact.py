"""The exact backend: brute force by scikit-learn over the embedding set itself.

Embeddings have length 1, so cosine, euclidean and minkowski with p = 2 order them as the inner product does:
one matrix product serves a whole batch of queries, where scikit-learn's own neighbour search would convert
(euclidean) or normalise (cosine) all embeddings again for each call. Other p go through its
``NearestNeighbors``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, MissingExtra
from lookalike.indexes.artifact import read_artifact, write_artifact
from lookalike.indexes.port import NO_PARAMS, BuildInput, Capabilities, Index, Metric, Neighbours, Params, ParamSpec
from lookalike.indexes.scan import nearest_of, no_neighbours, scan
from lookalike.types.filters import Filter

_METRICS = ("cosine", "euclidean", "minkowski")
_BLOCK_FLOATS = 16 * 2**20  # 64 MiB of allowed rows gathered at a time
_CAPABILITIES = Capabilities(
    metrics=_METRICS,
    filters_natively=False,
    updates_in_place=False,
    build_params={
        "metric": ParamSpec(
            str, "cosine", "The distance that is reported and orders the neighbours.", choices=_METRICS
        ),
        "p": ParamSpec(float, 2.0, "Exponent of the minkowski distance; others ignore it.", minimum=1, maximum=100),
    },
    search_params={},
    joins_queries=True,
)


def _sklearn() -> ModuleType:
    try:
        import sklearn
        import sklearn.metrics.pairwise
        import sklearn.neighbors
    except ImportError as error:
        raise MissingExtra("scikit-learn", "exact") from error
    module: ModuleType = sklearn
    return module


def _products(queries_QD: NDArray[np.float32], rows_nD: NDArray[np.float32]) -> NDArray[np.float32]:
    sklearn = _sklearn()
    # Embeddings were checked for NaN when they were stored; checking again would cost more than the product.
    with sklearn.config_context(assume_finite=True):
        return np.asarray(sklearn.metrics.pairwise.linear_kernel(queries_QD, rows_nD), dtype=np.float32)


@dataclass(frozen=True)
class ExactIndex:
    """All embeddings of a set, compared with every query."""

    metric: Metric
    _embeddings_ND: NDArray[np.float32]

    @property
    def num_embeddings(self) -> int:
        return len(self._embeddings_ND)

    @property
    def dimension(self) -> int:
        return int(self._embeddings_ND.shape[1])

    @property
    def search_params(self) -> Mapping[str, ParamSpec]:
        return _CAPABILITIES.search_params

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        *,
        allowed_N: NDArray[np.bool_] | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        """The exact neighbours by distance, then by row."""
        if self.metric.name != "minkowski" or self.metric.p == 2:
            return scan(self.metric, queries_QD, self._embeddings_ND, k, allowed_N=allowed_N, products=_products)
        return self._search_minkowski(queries_QD, k, allowed_N)

    def _search_minkowski(
        self, queries_QD: NDArray[np.float32], k: int, allowed_N: NDArray[np.bool_] | None
    ) -> Neighbours:
        found = no_neighbours(len(queries_QD), k)
        if len(queries_QD) == 0:
            return found
        rows_n = np.arange(self.num_embeddings) if allowed_N is None else np.flatnonzero(allowed_N)
        step = self.num_embeddings if allowed_N is None else max(1, _BLOCK_FLOATS // self.dimension)
        candidates: list[list[NDArray[np.int64]]] = [[] for _ in queries_QD]
        for start in range(0, len(rows_n), max(1, step)):
            block_rows = rows_n[start : start + step]
            block = self._embeddings_ND if allowed_N is None else self._embeddings_ND[block_rows]
            for into, columns in zip(candidates, self._nearest_columns(block, queries_QD, k), strict=True):
                into.append(block_rows[columns])
        for number, (query_D, parts) in enumerate(zip(queries_QD, candidates, strict=True)):
            if parts:
                rows, distances = nearest_of(self.metric, query_D, self._embeddings_ND, np.concatenate(parts), k)
                found.rows_QK[number, : len(rows)] = rows
                found.distances_QK[number, : len(rows)] = distances
        return found

    def _nearest_columns(
        self, block_nD: NDArray[np.float32], queries_QD: NDArray[np.float32], k: int
    ) -> list[NDArray[np.int64]]:
        sklearn = _sklearn()
        with sklearn.config_context(assume_finite=True):
            searcher: Any = sklearn.neighbors.NearestNeighbors(algorithm="brute", metric="minkowski", p=self.metric.p)
            searcher.fit(block_nD)
            wanted = min(k + 1, len(block_nD))
            distances_QK, columns_QK = searcher.kneighbors(queries_QD, wanted)
            nearest: list[NDArray[np.int64]] = list(columns_QK)
            if wanted <= k:
                return nearest
            # Among equal distances at the k-th place scikit-learn keeps any: take all, the lowest rows win later.
            limits_Q = distances_QK[:, k - 1] * (1 + 1e-5)
            for number in np.flatnonzero(distances_QK[:, k] <= limits_Q):
                query_1D = queries_QD[number : number + 1]
                within = searcher.radius_neighbors(query_1D, limits_Q[number], return_distance=False)
                nearest[number] = np.union1d(nearest[number], within[0])
        return nearest

    def close(self) -> None:
        """Nothing is held besides the caller's embeddings."""


class ExactBackend:
    """Compares every embedding: slower than the others on large galleries, and never wrong."""

    name = "exact"
    capabilities = _CAPABILITIES

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Writes which metric to use; the embeddings are those of the set."""
        _sklearn()
        num_embeddings, dimension = source.embeddings_ND.shape
        write_artifact(directory, self.name, (num_embeddings, dimension), dict(params))

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Opens it over ``embeddings_ND``, which it keeps. Raises DamagedArtifact."""
        num_embeddings, dimension = embeddings_ND.shape
        built = read_artifact(directory, self.name, (num_embeddings, dimension)).built
        metric, p = built.get("metric"), built.get("p")
        if metric not in _METRICS or not isinstance(p, float):
            raise DamagedArtifact(f"an exact index of metric {metric!r}, p {p!r}")
        _sklearn()
        return ExactIndex(Metric(str(metric), p if metric == "minkowski" else 2.0), np.asarray(embeddings_ND))
