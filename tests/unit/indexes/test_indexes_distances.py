"""The metrics' own figures, by hand and near zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.errors import CapabilityMissing
from lookalike.indexes.distances import pair_distances
from lookalike.indexes.port import Metric

QUERY = np.array([[3, 4]], np.float32)
CANDIDATES = np.array([[[3, 4], [4, 3], [-3, -4], [0, 0]]], np.float32)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Metric("cosine"), [0, 1 - 24 / 25, 2, 0.5]),
        (Metric("euclidean"), [0, 2**0.5, 10, 5]),
        (Metric("squared_euclidean"), [0, 2, 100, 25]),
        (Metric("inner_product"), [-25, -24, 25, 0]),
        (Metric("minkowski", 1), [0, 2, 14, 7]),
        (Metric("minkowski", 2), [0, 2**0.5, 10, 5]),
        (Metric("minkowski", 3), [0, 2 ** (1 / 3), (6**3 + 8**3) ** (1 / 3), 91 ** (1 / 3)]),
    ],
)
def test_figures_by_hand(metric: Metric, expected: list[float]) -> None:
    distances_QK = pair_distances(metric, QUERY, CANDIDATES)
    assert distances_QK.dtype == np.float32
    np.testing.assert_allclose(distances_QK, [expected], rtol=1e-6, atol=1e-12)


def test_each_query_has_its_own_candidates() -> None:
    queries = np.array([[1, 0], [0, 1]], np.float32)
    candidates = np.array([[[1, 0], [0, 1]], [[1, 0], [0, 1]]], np.float32)
    np.testing.assert_array_equal(pair_distances(Metric("squared_euclidean"), queries, candidates), [[0, 2], [2, 0]])


@pytest.mark.parametrize("metric", [Metric("cosine"), Metric("euclidean"), Metric("minkowski", 100)])
def test_small_differences_keep_their_digits(metric: Metric) -> None:
    query = np.full((1, 512), 512**-0.5, np.float32)
    near = query[:, None].copy()
    near[..., 0] += np.float32(1e-5)
    step = float(near[0, 0, 0] - query[0, 0])
    expected = step**2 / 2 * (1 - 1 / 512) if metric.name == "cosine" else step
    assert pair_distances(metric, query, near)[0, 0] == pytest.approx(expected, rel=1e-3)
    assert pair_distances(metric, query, query[:, None])[0, 0] == 0


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4)])
@pytest.mark.parametrize("name", ["cosine", "euclidean", "squared_euclidean", "inner_product", "minkowski"])
def test_nothing_has_no_distances(shape: tuple[int, int, int], name: str) -> None:
    num_queries, _, dimension = shape
    assert (
        pair_distances(Metric(name, 3), np.ones((num_queries, dimension), np.float32), np.ones(shape, np.float32)).shape
        == shape[:2]
    )


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(CapabilityMissing, match="hamming"):
        pair_distances(Metric("hamming"), QUERY, CANDIDATES)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), dimension=st.integers(1, 40), p=st.sampled_from([1.0, 1.5, 2.0, 7.0]))
def test_agreement_with_float64_formulas(seed: int, dimension: int, p: float) -> None:
    random = np.random.default_rng(seed)
    x: NDArray[np.float32] = random.standard_normal((3, dimension)).astype(np.float32)
    y: NDArray[np.float32] = random.standard_normal((3, 5, dimension)).astype(np.float32)
    difference = np.abs(x[:, None].astype(np.float64) - y)
    np.testing.assert_allclose(
        pair_distances(Metric("minkowski", p), x, y), (difference**p).sum(-1) ** (1 / p), rtol=1e-5
    )
    lengths = np.linalg.norm(x[:, None], axis=-1) * np.linalg.norm(y, axis=-1)
    cosine = 1 - np.einsum("qd,qkd->qk", x.astype(np.float64), y) / lengths
    np.testing.assert_allclose(pair_distances(Metric("cosine"), x, y), cosine, atol=1e-6)
