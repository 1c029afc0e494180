"""How the Annoy backend makes up for what Annoy cannot do."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.indexes import annoy_backend
from lookalike.indexes.annoy_backend import AnnoyBackend
from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput, Index
from lookalike.indexes.scan import scan

pytest.importorskip("annoy", reason="annoy is not installed: pip install 'lookalike[annoy]'")
BACKEND = AnnoyBackend()


def _embeddings(num: int) -> NDArray[np.float32]:
    points = np.random.default_rng(0).standard_normal((num, 16))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def _index(directory: Path, embeddings_ND: NDArray[np.float32], **params: object) -> Index:
    directory.mkdir(exist_ok=True)
    ids = np.zeros((len(embeddings_ND), 16), np.uint8)
    BACKEND.build(BuildInput(embeddings_ND, ids), directory, complete(BACKEND.capabilities.build_params, params))
    return BACKEND.open(directory, embeddings_ND, ids)


@pytest.mark.parametrize("metric", ["angular", "euclidean", "dot"])
def test_answers_that_fall_short_are_completed_exactly(tmp_path: Path, metric: str) -> None:
    embeddings = _embeddings(6000)
    index = _index(tmp_path, embeddings, metric=metric, n_trees=1)
    found = index.search(embeddings[:2], 1500, params={"search_k": 1})
    expected = scan(index.metric, embeddings[:2], embeddings, 1500)
    np.testing.assert_array_equal(found.rows_QK, expected.rows_QK)
    np.testing.assert_allclose(found.distances_QK, expected.distances_QK, atol=1e-3)


def test_a_mask_is_met_by_asking_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = _embeddings(8000)
    index = _index(tmp_path, embeddings, n_trees=10)
    nearest = scan(index.metric, embeddings[:1], embeddings, 1000).rows_QK[0]
    allowed = np.ones(8000, bool)
    allowed[nearest] = False
    monkeypatch.setattr(annoy_backend, "complete_short", lambda found, *_: found)
    found = index.search(embeddings[:1], 10, allowed_N=allowed)
    assert (found.rows_QK >= 0).all()
    assert allowed[found.rows_QK].all()


def test_equal_seeds_and_threads_make_equal_answers(tmp_path: Path) -> None:
    embeddings = _embeddings(6000)
    answers = []
    for number, seed in enumerate((4, 4, 5)):
        index = _index(tmp_path / str(number), embeddings, n_trees=4, seed=seed, num_threads=2)
        answers.append(index.search(embeddings[:50], 10, params={"search_k": 40}).rows_QK)
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])
