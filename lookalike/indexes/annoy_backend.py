"""The Annoy backend: a forest of random-projection trees in one memory-mapped file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, MissingExtra
from lookalike.indexes.artifact import read_artifact, write_artifact
from lookalike.indexes.port import NO_PARAMS, BuildInput, Capabilities, Index, Metric, Neighbours, Params, ParamSpec
from lookalike.indexes.scan import complete_short, no_neighbours, scan, scan_is_cheaper
from lookalike.types.filters import Filter

_FILE = "index.ann"
# Annoy's angular distance is sqrt(2 - 2 cos): the euclidean distance of embeddings of length 1.
_METRICS = {"angular": Metric("euclidean"), "euclidean": Metric("euclidean"), "dot": Metric("inner_product")}
_CAPABILITIES = Capabilities(
    metrics=tuple(_METRICS),
    filters_natively=False,
    updates_in_place=False,
    build_params={
        "metric": ParamSpec(str, "angular", "The distance that trees and results use.", choices=tuple(_METRICS)),
        "n_trees": ParamSpec(int, 50, "Trees: more find more and take more space.", minimum=1, maximum=10_000),
        "seed": ParamSpec(int, 0, "Of the random splits.", minimum=0, maximum=2**31 - 1),
        "num_threads": ParamSpec(
            int,
            None,
            "Threads that build; one a core if not given. Equal seed and number of threads make equal trees.",
            minimum=1,
            maximum=1024,
        ),
    },
    search_params={
        "search_k": ParamSpec(
            int,
            None,
            "Candidates looked at; n_trees * max(k, 100) if not given.",
            minimum=1,
            maximum=100_000_000,
        )
    },
)


def _new_index(dimension: int, metric: str) -> Any:
    try:
        from annoy import AnnoyIndex
    except ImportError as error:
        raise MissingExtra("annoy", "annoy") from error
    index_class: Any = AnnoyIndex  # its stub wants the metric as a literal
    return index_class(dimension, metric)


@dataclass(frozen=True)
class AnnoyForest:
    """A loaded forest. Queries that it answers with too few neighbours are answered by an exact scan."""

    metric: Metric
    _n_trees: int
    _index: Any
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
        """Neighbours by Annoy's distance, then by row; all ``k`` that exist, whatever the mask.

        Annoy cannot filter: it is asked for twice as many until enough of them are allowed.
        """
        num_rows = self.num_embeddings if allowed_N is None else int(np.count_nonzero(allowed_N))
        if scan_is_cheaper(num_rows, self.num_embeddings, k):
            return scan(self.metric, queries_QD, self._embeddings_ND, k, allowed_N=allowed_N)
        share = num_rows / self.num_embeddings
        search_k = round(int(params.get("search_k", self._n_trees * max(k, 100))) / share)
        found = no_neighbours(len(queries_QD), k)
        sign = -1 if self.metric.name == "inner_product" else 1
        for number, query_D in enumerate(queries_QD):
            rows, distances = self._nearest(query_D.tolist(), k, allowed_N, round(k / share), search_k)
            found.rows_QK[number, : len(rows)] = rows
            found.distances_QK[number, : len(rows)] = sign * distances
        return complete_short(found, self.metric, queries_QD, self._embeddings_ND, allowed_N)

    def _nearest(
        self, query: list[float], k: int, allowed_N: NDArray[np.bool_] | None, num_wanted: int, search_k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        while True:
            found = self._index.get_nns_by_vector(query, num_wanted, search_k, include_distances=True)
            rows, distances = np.array(found[0], np.int64), np.array(found[1], np.float32)
            if allowed_N is not None:
                is_allowed = allowed_N[rows]
                rows, distances = rows[is_allowed], distances[is_allowed]
            if len(rows) >= k or 2 * num_wanted > self.num_embeddings:
                return rows[:k], distances[:k]
            num_wanted, search_k = 2 * num_wanted, 2 * search_k

    def close(self) -> None:
        """The mapping ends when the object is collected; ending it now could pull it from under a search."""


class AnnoyBackend:
    """Spotify's library of random-projection trees."""

    name = "annoy"
    capabilities = _CAPABILITIES

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Grows the trees in the file itself, so that memory holds pages of it and no second copy."""
        num_embeddings, dimension = source.embeddings_ND.shape
        index = _new_index(dimension, str(params["metric"]))
        files: tuple[str, ...] = ()
        if num_embeddings:  # Annoy can neither build nor map an empty file
            files = (_FILE,)
            index.set_seed(int(params["seed"]))
            index.on_disk_build(str(directory / _FILE))
            for row, embedding_D in enumerate(source.embeddings_ND):
                index.add_item(row, embedding_D.tolist())
            index.build(int(params["n_trees"]), int(params.get("num_threads", -1)))
            index.unload()
        write_artifact(directory, self.name, (num_embeddings, dimension), dict(params), files)

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Maps the file; pages are read when a search touches them. Raises DamagedArtifact."""
        num_embeddings, dimension = embeddings_ND.shape
        built = read_artifact(directory, self.name, (num_embeddings, dimension)).built
        metric, n_trees = built.get("metric"), built.get("n_trees")
        if metric not in _METRICS or not isinstance(n_trees, int):
            raise DamagedArtifact(f"an annoy index of metric {metric!r}, n_trees {n_trees!r}")
        index = _new_index(dimension, str(metric))
        if num_embeddings:
            try:
                index.load(str(directory / _FILE))
            except OSError as error:
                raise DamagedArtifact("annoy cannot read the index file", reason=str(error)[:500]) from error
            if index.get_n_items() != num_embeddings:
                raise DamagedArtifact(f"the index file holds {index.get_n_items()} embeddings, not {num_embeddings}")
        return AnnoyForest(_METRICS[str(metric)], n_trees, index, np.asarray(embeddings_ND))
