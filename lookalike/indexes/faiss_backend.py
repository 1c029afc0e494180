"""The FAISS backend: Flat, HNSW, IVF, IVF-PQ and 8-bit scalar-quantised indexes, memory-mapped."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, MissingExtra
from lookalike.indexes.artifact import read_artifact, write_artifact
from lookalike.indexes.faiss_build import BUILD_PARAMS, KINDS, METRICS, Plan, plan, training_sample
from lookalike.indexes.port import NO_PARAMS, BuildInput, Capabilities, Index, Metric, Neighbours, Params, ParamSpec
from lookalike.indexes.scan import complete_short, nearest_of, no_neighbours, scan, scan_is_cheaper
from lookalike.types.filters import Filter

_FILE = "index.faiss"
_METRICS = {"inner_product": Metric("inner_product"), "l2": Metric("squared_euclidean")}
_APPROXIMATE = ("HNSW", "IVF", "IVFPQ")
_RESCORE = {"IVFPQ": 10, "SQ": 2}
_TAKEN = {"HNSW": ("ef_search",), "IVF": ("nprobe",), "IVFPQ": ("nprobe", "rescore"), "SQ": ("rescore",)}
_CAPABILITIES = Capabilities(
    metrics=METRICS,
    filters_natively=False,
    updates_in_place=False,
    build_params=BUILD_PARAMS,
    search_params={
        "ef_search": ParamSpec(int, 64, "HNSW: candidates kept; others refuse it.", minimum=1, maximum=100_000),
        "nprobe": ParamSpec(
            int,
            None,
            "IVF, IVFPQ: cells visited, at most nlist; others refuse it. A sixteenth, and at least 8, if not given.",
            minimum=1,
            maximum=1_000_000,
        ),
        "rescore": ParamSpec(
            int,
            None,
            "IVFPQ, SQ: this many times k candidates are measured again on the embeddings themselves; 0: codes decide; "
            "others refuse it. 10 for IVFPQ and 2 for SQ if not given.",
            minimum=0,
            maximum=1000,
        ),
    },
    joins_queries=True,
)


def _faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtra("faiss-cpu", "faiss") from error
    module: ModuleType = faiss
    return module


@dataclass(frozen=True)
class FaissIndex:
    """A FAISS index. Queries that it answers with too few neighbours are answered by an exact scan.

    Parameters travel with each call and never change the index, so threads do not disturb each other.
    """

    metric: Metric
    _kind: str
    _nlist: int
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
        """Those of its kind."""
        return {name: spec for name, spec in _CAPABILITIES.search_params.items() if name in _TAKEN.get(self._kind, ())}

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        *,
        allowed_N: NDArray[np.bool_] | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        """Neighbours by distance, then by row; all ``k`` that exist, whatever the kind and the mask."""
        num_rows = self.num_embeddings if allowed_N is None else int(np.count_nonzero(allowed_N))
        if num_rows == 0 or len(queries_QD) == 0:
            return no_neighbours(len(queries_QD), k)
        share = num_rows / self.num_embeddings
        if self._kind in _APPROXIMATE and scan_is_cheaper(num_rows, self.num_embeddings, k):
            return scan(self.metric, queries_QD, self._embeddings_ND, k, allowed_N=allowed_N)
        rescore = int(params.get("rescore", _RESCORE.get(self._kind, 0))) if self._kind in _RESCORE else 0
        found = self._search_library(queries_QD, min(k * max(1, rescore), num_rows), allowed_N, share, params)
        if rescore:
            found = self._rescored(queries_QD, found, k)
        return complete_short(_fit(found, k), self.metric, queries_QD, self._embeddings_ND, allowed_N)

    def _search_library(
        self,
        queries_QD: NDArray[np.float32],
        num_wanted: int,
        allowed_N: NDArray[np.bool_] | None,
        share: float,
        params: Params,
    ) -> Neighbours:
        faiss = _faiss()
        selection: dict[str, Any] = {}
        if allowed_N is not None:
            selection["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed_N, bitorder="little"))
        # A filtered search meets allowed rows at the rate of their share: look through as many more.
        if self._kind == "HNSW":
            ef_search = max(num_wanted, int(params.get("ef_search", 64)))
            given = faiss.SearchParametersHNSW(efSearch=min(self.num_embeddings, round(ef_search / share)), **selection)
        elif self._kind in ("IVF", "IVFPQ"):
            nprobe = int(params.get("nprobe", max(8, self._nlist // 16)))
            kind = faiss.IVFPQSearchParameters if self._kind == "IVFPQ" else faiss.SearchParametersIVF
            given = kind(nprobe=min(self._nlist, round(nprobe / share)), **selection)
        else:
            given = faiss.SearchParameters(**selection)
        queries = np.ascontiguousarray(queries_QD, dtype=np.float32)
        distances_QK, rows_QK = self._index.search(queries, num_wanted, params=given)
        if self.metric.name == "inner_product":
            distances_QK = -distances_QK
        order = np.lexsort((rows_QK, distances_QK), axis=-1)
        return Neighbours(np.take_along_axis(rows_QK, order, -1), np.take_along_axis(distances_QK, order, -1))

    def _rescored(self, queries_QD: NDArray[np.float32], candidates: Neighbours, k: int) -> Neighbours:
        found = no_neighbours(len(queries_QD), k)
        for number, (query_D, rows_K) in enumerate(zip(queries_QD, candidates.rows_QK, strict=True)):
            rows, distances = nearest_of(self.metric, query_D, self._embeddings_ND, rows_K[rows_K >= 0], k)
            found.rows_QK[number, : len(rows)], found.distances_QK[number, : len(rows)] = rows, distances
        return found

    def close(self) -> None:
        """The mapping ends with the last search that uses it, when the object is collected."""


def _fit(found: Neighbours, k: int) -> Neighbours:
    fitted = no_neighbours(len(found.rows_QK), k)
    width = min(k, found.rows_QK.shape[1])
    fitted.rows_QK[:, :width], fitted.distances_QK[:, :width] = found.rows_QK[:, :width], found.distances_QK[:, :width]
    return fitted


class FaissBackend:
    """Meta's library of exact, graph, cell and quantised indexes."""

    name = "faiss"
    capabilities = _CAPABILITIES

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Trains on a seeded sample, adds all embeddings and writes one file.

        Raises ParameterOutOfRange when ``pq_m`` does not divide the dimension.
        """
        faiss = _faiss()
        num_embeddings, dimension = source.embeddings_ND.shape
        chosen = plan(num_embeddings, dimension, params)
        seed = int(params["seed"])
        index = _new_index(faiss, dimension, chosen, seed)
        if chosen.num_training:
            index.train(training_sample(source.embeddings_ND, chosen.num_training, seed))
        # In one call: the library then allocates its storage once; chunks would make it grow by copying.
        # It reads the memory-mapped rows in place.
        index.add(source.embeddings_ND)
        faiss.write_index(index, str(directory / _FILE))
        built = {**params, **dataclasses.asdict(chosen)}
        write_artifact(directory, self.name, (num_embeddings, dimension), built, (_FILE,))

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Maps the file; pages are read when a search touches them. Raises DamagedArtifact."""
        faiss = _faiss()
        num_embeddings, dimension = embeddings_ND.shape
        built = read_artifact(directory, self.name, (num_embeddings, dimension)).built
        kind, metric, nlist = built.get("kind"), built.get("metric"), built.get("nlist")
        if kind not in KINDS or metric not in METRICS or not isinstance(nlist, int):
            raise DamagedArtifact(f"a faiss index of kind {kind!r}, metric {metric!r}, nlist {nlist!r}")
        try:
            index = faiss.read_index(str(directory / _FILE), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise DamagedArtifact("faiss cannot read the index file", reason=str(error)[:500]) from error
        if (index.ntotal, index.d) != (num_embeddings, dimension):
            raise DamagedArtifact(f"the index file holds {index.ntotal} x {index.d} embeddings")
        return FaissIndex(_METRICS[str(metric)], str(kind), nlist, index, np.asarray(embeddings_ND))


def _new_index(faiss: ModuleType, dimension: int, chosen: Plan, seed: int) -> Any:
    metric = faiss.METRIC_INNER_PRODUCT if chosen.metric == "inner_product" else faiss.METRIC_L2
    match chosen.kind:
        case "Flat":
            return faiss.IndexFlat(dimension, metric)
        case "SQ":
            return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, metric)
        case "HNSW":
            graph = faiss.IndexHNSWFlat(dimension, chosen.m, metric)
            graph.hnsw.efConstruction = chosen.ef_construction
            return graph
    cells = faiss.IndexFlat(dimension, metric)
    if chosen.kind == "IVF":
        index = faiss.IndexIVFFlat(cells, dimension, chosen.nlist, metric)
    else:
        index = faiss.IndexIVFPQ(cells, dimension, chosen.nlist, chosen.pq_m, chosen.pq_bits, metric)
        _quiet_clustering(index.pq.cp, seed)
    _quiet_clustering(index.cp, seed)
    return index


def _quiet_clustering(clustering: Any, seed: int) -> None:
    clustering.seed = seed
    clustering.min_points_per_centroid = 1  # the plan keeps to the advice; its warnings would go to stderr
