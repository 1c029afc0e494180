"""What only the exact backend promises: ties by row, and a batch that costs little more than one query."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import DamagedArtifact
from lookalike.indexes.artifact import write_artifact
from lookalike.indexes.distances import pair_distances
from lookalike.indexes.exact import ExactBackend
from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput, Index, Metric


def _index(directory: Path, embeddings_ND: np.ndarray, **params: object) -> Index:
    backend, ids = ExactBackend(), np.zeros((len(embeddings_ND), 16), np.uint8)
    backend.build(BuildInput(embeddings_ND, ids), directory, complete(backend.capabilities.build_params, params))
    return backend.open(directory, embeddings_ND, ids)


@pytest.mark.parametrize("params", [{"metric": "cosine"}, {"metric": "euclidean"}, {"metric": "minkowski", "p": 3}])
@pytest.mark.parametrize("masked", [False, True])
def test_ties_at_the_kth_place_go_to_the_lower_rows(tmp_path: Path, params: dict[str, object], masked: bool) -> None:
    random = np.random.default_rng(0)
    embeddings = random.standard_normal((3000, 24))
    embeddings[1000:2500] = embeddings[1000]
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    allowed = np.arange(3000) >= 1100 if masked else None
    index = _index(tmp_path, embeddings, **params)
    first = 1100 if masked else 1000
    for queries in (embeddings[1000:1001], embeddings[1000:1008]):
        found = index.search(queries, 5, allowed_N=allowed)
        assert (found.rows_QK == np.arange(first, first + 5)).all()
        assert (found.distances_QK == 0).all()


def test_distances_equal_in_float32_are_ties(tmp_path: Path) -> None:
    # Cubes of the differences tell more rows apart than float32 distances do.
    embeddings = np.tile(np.array([0.6, 0.8, 0], np.float32), (1500, 1))
    embeddings[:, 2] = 0.01 * (1 - np.arange(1500) / 1500)
    query = np.eye(1, 3, dtype=np.float32)
    distances = pair_distances(Metric("minkowski", 3), query, embeddings[None])[0]
    expected = np.lexsort((np.arange(1500), distances))
    index = _index(tmp_path, embeddings, metric="minkowski", p=3)
    for k in (5, 100, 700, 1200):
        assert index.search(query, k).rows_QK[0].tolist() == expected[:k].tolist()


def test_the_exponent_matters_and_belongs_to_minkowski(tmp_path: Path) -> None:
    # To the query, row 0 is nearer in the sum of differences, row 1 in the largest one.
    embeddings = np.array([[0.8, 0.6], [0.28, 0.96], [0, 1]], np.float32)
    query = np.array([[1.0, 0.0]], np.float32)
    (tmp_path / "p1").mkdir()
    (tmp_path / "cosine").mkdir()
    p1 = _index(tmp_path / "p1", embeddings, metric="minkowski", p=1)
    assert p1.metric == Metric("minkowski", 1)
    np.testing.assert_allclose(p1.search(query, 3).distances_QK, [[0.8, 1.68, 2.0]], rtol=1e-6)
    cosine = _index(tmp_path / "cosine", embeddings, metric="cosine", p=7)
    assert cosine.metric == Metric("cosine")
    np.testing.assert_allclose(cosine.search(query, 3).distances_QK, [[0.2, 0.72, 1.0]], rtol=1e-5)


def test_a_description_of_another_metric_is_refused(tmp_path: Path) -> None:
    write_artifact(tmp_path, "exact", (1, 2), {"metric": "hamming", "p": 2.0})
    with pytest.raises(DamagedArtifact, match="hamming"):
        ExactBackend().open(tmp_path, np.ones((1, 2), np.float32), np.zeros((1, 16), np.uint8))
