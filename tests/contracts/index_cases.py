"""The backend configurations that the index contract runs on, and the galleries that it builds."""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.indexes.params import complete
from lookalike.indexes.port import Backend, BuildInput, Index, Neighbours
from lookalike.indexes.registry import backend
from lookalike.types.filters import Filter
from lookalike.types.ids import pack_ids, unpack_ids
from lookalike.types.images import ImageRecord, Labels


@dataclass(frozen=True)
class Case:
    """One configuration of a backend.

    ``num_embeddings`` is the size of its main gallery; ``recall_floor`` the least knn recall@10 on it against
    exact search in float64; ``distance_atol`` how far its distances may be from its metric's own figures.
    ``filters_natively`` says what its capabilities must say.
    """

    name: str
    make: Callable[[], Backend]
    build: Mapping[str, object] = field(default_factory=dict)
    search: Mapping[str, object] = field(default_factory=dict)
    num_embeddings: int = 12_000
    recall_floor: float = 1.0
    distance_atol: float = 2e-5
    is_artifact: bool = True
    filters_natively: bool = False


def _registered(name: str) -> Backend:
    if name == "annoy":
        pytest.importorskip("annoy", reason="annoy is not installed: pip install 'lookalike[annoy]'")
    return backend(name)


def _qdrant(module: str, class_name: str, *arguments: Any) -> Backend:
    if find_spec(f"lookalike.indexes.{module}") is None:
        pytest.skip(f"lookalike.indexes.{module} is not written yet")
    made: Backend = getattr(import_module(f"lookalike.indexes.{module}"), class_name)(*arguments)
    return made


@cache  # one client holds the collections that one adapter makes
def _qdrant_local() -> Backend:
    from qdrant_client import QdrantClient

    return _qdrant("qdrant_server", "QdrantServerBackend", QdrantClient(":memory:"))


@cache  # a server for the whole session; its thread ends with the process
def _qdrant_rest_double() -> Backend:
    from doubles.qdrant_rest import QdrantDouble

    double = QdrantDouble()
    double.start()
    return _qdrant("qdrant_server", "QdrantServerBackend", double.url)


@cache
def _qdrant_grpc_double() -> Backend:
    from doubles.qdrant_grpc import QdrantGrpcDouble
    from doubles.qdrant_rest import QdrantDouble

    from lookalike.indexes.qdrant_server_options import ServerOptions

    double = QdrantDouble()
    double.start()
    grpc_double = QdrantGrpcDouble(double.points)
    grpc_double.start()
    return _qdrant("qdrant_server", "QdrantServerBackend", double.url, ServerOptions(grpc_port=grpc_double.port))


def _qdrant_server() -> Backend:
    url = os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip("a Qdrant server: runs where QDRANT_URL names one")
    return _qdrant("qdrant_server", "QdrantServerBackend", url)


def _cases() -> Iterator[Case]:
    exact, faiss, annoy = (partial(_registered, name) for name in ("exact", "faiss", "annoy"))
    for metric in ("cosine", "euclidean"):
        yield Case(f"exact-{metric}", exact, {"metric": metric})
    for p in (1.0, 2.0, 3.0):
        yield Case(f"exact-minkowski-{p:.0f}", exact, {"metric": "minkowski", "p": p}, num_embeddings=3000)
    yield Case("faiss-auto", faiss)
    for metric in ("inner_product", "l2"):
        yield Case(f"faiss-Flat-{metric}", faiss, {"kind": "Flat", "metric": metric})
        yield Case(f"faiss-HNSW-{metric}", faiss, {"kind": "HNSW", "metric": metric}, recall_floor=0.95)
        yield Case(f"faiss-IVF-{metric}", faiss, {"kind": "IVF", "metric": metric}, recall_floor=0.95)
        yield Case(f"faiss-IVFPQ-{metric}", faiss, {"kind": "IVFPQ", "metric": metric}, recall_floor=0.9)
        yield Case(f"faiss-SQ-{metric}", faiss, {"kind": "SQ", "metric": metric}, recall_floor=0.99)
    for kind, floor, tolerance in (("SQ", 0.9, 0.05), ("IVFPQ", 0.5, 0.5)):
        yield Case(f"faiss-{kind}-codes", faiss, {"kind": kind}, {"rescore": 0}, 12_000, floor, tolerance)
    for metric in ("angular", "euclidean", "dot"):
        # Annoy takes 2 - 2 cos in float32, whose root loses half of the digits near 0.
        tolerance = 1e-3 if metric == "angular" else 2e-5
        yield Case(f"annoy-{metric}", annoy, {"metric": metric, "n_trees": 20}, {}, 12_000, 0.95, tolerance)
    edge = partial(_qdrant, "qdrant_edge", "QdrantEdgeBackend")
    native = partial(Case, filters_natively=True)
    yield native("qdrant-edge", edge, recall_floor=0.95)
    yield native("qdrant-edge-dot", edge, {"metric": "dot"}, recall_floor=0.95)
    for quantization, floor in (("scalar", 0.95), ("product", 0.8), ("binary", 0.4)):
        build = {"quantization": quantization, **({"compression": "x4"} if quantization == "product" else {})}
        yield native(f"qdrant-edge-{quantization}", edge, build, {"oversampling": 20.0}, recall_floor=floor)
    codes = {"rescore": False, "oversampling": 1.0}
    yield native("qdrant-edge-codes", edge, {"quantization": "scalar"}, codes, 12_000, 0.8, 0.05)
    yield native("qdrant-local", _qdrant_local, num_embeddings=600, is_artifact=False)
    yield native("qdrant-rest-test-double", _qdrant_rest_double, num_embeddings=600, is_artifact=False)
    yield native("qdrant-grpc-test-double", _qdrant_grpc_double, num_embeddings=600, is_artifact=False)
    yield native("qdrant-server", _qdrant_server, recall_floor=0.95, is_artifact=False)


CASES = {case.name: case for case in _cases()}


def clustered(num_embeddings: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Embeddings of length 1 around sixty fixed centres: neighbours are clear, but not trivial."""
    centres = np.random.default_rng(1).standard_normal((60, dimension))
    random = np.random.default_rng(seed)
    points = centres[random.integers(0, 60, num_embeddings)]
    points = points + 0.7 * random.standard_normal((num_embeddings, dimension))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def image_ids(num_embeddings: int) -> NDArray[np.uint8]:
    """Unique identifiers in an order that is not theirs."""
    return pack_ids(str(uuid.uuid5(uuid.NAMESPACE_OID, str(row))) for row in range(num_embeddings))


def records_of(ids_N16: NDArray[np.uint8]) -> Iterator[ImageRecord]:
    """Records of the rows: labels and metadata that leave large and small shares, by row."""
    for row, image_id in enumerate(unpack_ids(ids_N16)):
        yield ImageRecord(
            image_id=image_id,
            key=f"{row}.png",
            sha256="0" * 64,
            size_bytes=1,
            width=1,
            height=1,
            format="png",
            labels=Labels.single(("cat", "dog", "cow")[row % 3], "animal"),
            metadata={"row": row, "even": row % 2 == 0, "tens": str(row // 10)},
        )


def built(case: Case, directory: Path, embeddings_ND: NDArray[np.float32]) -> Index:
    """The case's index of the embeddings, built in ``directory`` and opened; they come memory-mapped, as in use."""
    directory.mkdir(parents=True)
    np.save(directory.with_suffix(".npy"), embeddings_ND)
    mapped_ND = np.load(directory.with_suffix(".npy"), mmap_mode="r")
    ids_N16 = image_ids(len(mapped_ND))
    maker = case.make()
    params = complete(maker.capabilities.build_params, case.build)
    maker.build(BuildInput(mapped_ND, ids_N16, lambda: records_of(ids_N16)), directory, params)
    return maker.open(directory, mapped_ND, ids_N16)


def search(
    case: Case,
    index: Index,
    queries_QD: NDArray[np.float32],
    k: int,
    allowed_N: NDArray[np.bool_] | None = None,
    native_filter: Filter | None = None,
) -> Neighbours:
    """A search with the case's parameters, as far as a gallery of this size takes them: a small one may be Flat."""
    taken = {name: value for name, value in case.search.items() if name in index.search_params}
    params = complete(index.search_params, taken)
    return index.search(queries_QD, k, allowed_N=allowed_N, native_filter=native_filter, params=params)


def search_elsewhere(
    case_name: str, directory: Path, queries_QD: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Opens what another process built and searches it; runs in a process of its own."""
    case = CASES[case_name]
    embeddings_ND = np.load(directory.with_suffix(".npy"), mmap_mode="r")
    index = case.make().open(directory, embeddings_ND, image_ids(len(embeddings_ND)))
    found = search(case, index, queries_QD, k)
    index.close()
    return found.rows_QK, found.distances_QK
