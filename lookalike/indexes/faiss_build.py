"""What a FAISS index is built as: kind, cells, codes and training sample, chosen from N, D and the parameters.

Arithmetic only, without FAISS, so that every choice can be tested by hand.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ParameterOutOfRange, UnknownParameter
from lookalike.indexes.port import Params, ParamSpec

KINDS = ("auto", "Flat", "HNSW", "IVF", "IVFPQ", "SQ")
METRICS = ("inner_product", "l2")
FLAT_BELOW = 20_000  # under this a full scan takes about a millisecond and is exact
_OF_EVERY_KIND = ("kind", "metric", "seed")
_TAKEN = {
    "auto": ("m", "ef_construction"),
    "Flat": (),
    "HNSW": ("m", "ef_construction"),
    "IVF": ("nlist",),
    "IVFPQ": ("nlist", "pq_m", "pq_bits"),
    "SQ": (),
}
POINTS_PER_CELL = 40  # k-means wants at least 39 (faiss.ClusteringParameters.min_points_per_centroid)

BUILD_PARAMS = {
    "kind": ParamSpec(
        str,
        "auto",
        f"Flat is exact, HNSW a graph, IVF cells, IVFPQ cells of product-quantised codes, SQ 8-bit codes; auto is "
        f"Flat below {FLAT_BELOW} embeddings and HNSW from there. IVF and IVFPQ become Flat with fewer embeddings "
        f"than fill one cell ({POINTS_PER_CELL}), and IVFPQ becomes IVF with fewer than 2^pq_bits.",
        choices=KINDS,
    ),
    "metric": ParamSpec(str, "inner_product", "inner_product, or l2 (squared euclidean).", choices=METRICS),
    "m": ParamSpec(int, None, "HNSW: links of a node; 32 if not given.", minimum=2, maximum=256),
    "ef_construction": ParamSpec(
        int, None, "HNSW: candidates kept while inserting; 100 if not given.", minimum=4, maximum=4096
    ),
    "nlist": ParamSpec(
        int,
        None,
        f"IVF, IVFPQ: cells, at most one for {POINTS_PER_CELL} embeddings; 4 sqrt(N) if not given.",
        minimum=1,
        maximum=1_000_000,
    ),
    "pq_m": ParamSpec(
        int,
        None,
        "IVFPQ: codes of an embedding; must divide the dimension. If not given: the largest divisor "
        "up to a quarter of it and 128.",
        minimum=1,
        maximum=65_536,
    ),
    "pq_bits": ParamSpec(int, None, "IVFPQ: bits of a code; 8 if not given.", minimum=4, maximum=8),
    "seed": ParamSpec(
        int,
        0,
        "Of the training sample and of k-means. HNSW inserts from several threads and differs from build to build.",
        minimum=0,
        maximum=2**31 - 1,
    ),
}


@dataclass(frozen=True)
class Plan:
    """What will be built. Fields that its ``kind`` does not use are 0."""

    kind: str
    metric: str
    m: int = 0
    ef_construction: int = 0
    nlist: int = 0
    pq_m: int = 0
    pq_bits: int = 0
    num_training: int = 0


def plan(num_embeddings: int, dimension: int, params: Params) -> Plan:
    """The plan for N x D embeddings.

    Raises ParameterOutOfRange when ``pq_m`` does not divide D, and UnknownParameter for a parameter that the wanted
    kind does not take; ``auto`` takes those of the kinds that it may become.
    """
    _refuse_others(str(params["kind"]), params)
    metric, pq_bits = str(params["metric"]), int(params.get("pq_bits", 8))
    if params["kind"] == "IVFPQ":
        pq_m = _pq_m(dimension, params.get("pq_m"))
    kind = _kind(str(params["kind"]), num_embeddings, pq_bits)
    if kind == "HNSW":
        return Plan(kind, metric, m=int(params.get("m", 32)), ef_construction=int(params.get("ef_construction", 100)))
    if kind == "SQ":
        return Plan(kind, metric, num_training=num_embeddings)  # one pass for the ranges, without a copy
    if kind == "Flat":
        return Plan(kind, metric)
    wanted = int(params.get("nlist") or 4 * math.isqrt(num_embeddings))
    nlist = max(1, min(wanted, num_embeddings // POINTS_PER_CELL))
    num_centroids = nlist if kind == "IVF" else max(nlist, 2**pq_bits)
    num_training = min(num_embeddings, POINTS_PER_CELL * num_centroids)
    if kind == "IVF":
        return Plan(kind, metric, nlist=nlist, num_training=num_training)
    return Plan(kind, metric, nlist=nlist, pq_m=pq_m, pq_bits=pq_bits, num_training=num_training)


def _refuse_others(kind: str, params: Params) -> None:
    refused = sorted(set(params) - set(_OF_EVERY_KIND) - set(_TAKEN[kind]))
    if refused:
        raise UnknownParameter(
            f"{refused[0]} is no parameter of an index of kind {kind}, which takes: "
            f"{', '.join((*_TAKEN[kind], *_OF_EVERY_KIND))}",
            parameters=refused,
        )


def training_sample(embeddings_ND: NDArray[np.float32], num_rows: int, seed: int) -> NDArray[np.float32]:
    """``num_rows`` different rows drawn with ``seed``, in row order; all of them without a copy."""
    if num_rows == len(embeddings_ND):
        return embeddings_ND
    rows = np.random.default_rng(seed).choice(len(embeddings_ND), num_rows, replace=False)
    sample: NDArray[np.float32] = embeddings_ND[np.sort(rows)]
    return sample


def _kind(wanted: str, num_embeddings: int, pq_bits: int) -> str:
    if wanted == "auto":
        return "Flat" if num_embeddings < FLAT_BELOW else "HNSW"
    if wanted in ("IVF", "IVFPQ") and num_embeddings < POINTS_PER_CELL:
        return "Flat"
    if wanted == "SQ" and num_embeddings == 0:
        return "Flat"
    if wanted == "IVFPQ" and num_embeddings < 2**pq_bits:
        return "IVF"
    return wanted


def _pq_m(dimension: int, given: object) -> int:
    divisors = [value for value in range(1, min(dimension, 65_536) + 1) if dimension % value == 0]
    if given is None:
        return max(value for value in divisors if value <= max(1, min(dimension // 4, 128)))
    if not isinstance(given, int) or given not in divisors:
        near = sorted(divisors, key=lambda value: abs(value - int(str(given))))[:3]
        raise ParameterOutOfRange(
            f"pq_m must divide the dimension {dimension}, not {given}; near it: {', '.join(map(str, sorted(near)))}",
            parameter="pq_m",
            dimension=dimension,
        )
    return given
