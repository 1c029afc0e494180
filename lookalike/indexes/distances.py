"""The figure that each metric gives to pairs of embeddings, accurate down to near duplicates.

Shape suffixes: Q queries, K candidates of each, D dimension.
"""

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import CapabilityMissing
from lookalike.indexes.port import Metric


def pair_distances(
    metric: Metric, queries_QD: NDArray[np.float32], candidates_QKD: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The distance under ``metric`` of every query to each of its own candidates, float32 [Q, K].

    Sums are taken in float64 over differences, never as ``|x|^2 + |y|^2 - 2xy``, which loses all digits where
    two embeddings nearly agree: equal embeddings are at 0 (cosine included), and equal candidates get equal
    distances. The cosine distance divides by both lengths; an embedding of length 0 is at 1 from all others.
    Raises CapabilityMissing for a metric of another name.
    """
    queries_Q1D = queries_QD[:, None, :]
    match metric.name:
        case "inner_product":
            return _float32(-_products(queries_Q1D, candidates_QKD))
        case "cosine":
            # 1 - cos(x, y) = |x/|x| - y/|y||^2 / 2
            of_units_QKD = _unit(queries_Q1D) - _unit(candidates_QKD)
            return _float32(_products(of_units_QKD, of_units_QKD) / 2)
        case "euclidean" | "squared_euclidean":
            difference_QKD = queries_Q1D - candidates_QKD
            squared_QK = _products(difference_QKD, difference_QKD)
            return _float32(squared_QK if metric.name == "squared_euclidean" else np.sqrt(squared_QK))
        case "minkowski":
            return _float32(_minkowski(np.abs(queries_Q1D - candidates_QKD, dtype=np.float64), metric.p))
    raise CapabilityMissing(f"unknown metric {metric.name!r}", metric=metric.name)


def _products(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("...d,...d->...", left, right, dtype=np.float64), dtype=np.float64)


def _unit(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    length = np.sqrt(_products(embeddings, embeddings))[..., None]
    return np.divide(embeddings, length, out=np.zeros(embeddings.shape), where=length > 0)


def _minkowski(absolute_QKD: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    # Divided by the largest term first, so that a high power neither overflows nor loses small differences.
    largest_QK = absolute_QKD.max(axis=-1, initial=0.0)
    scaled_QKD = absolute_QKD / np.where(largest_QK > 0, largest_QK, 1.0)[..., None]
    result: NDArray[np.float64] = largest_QK * np.sum(scaled_QKD**p, axis=-1) ** (1 / p)
    return result


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
