"""How the FAISS backend uses its library: parameters that act, short answers, repeatable builds."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.indexes.faiss_backend import FaissBackend
from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput, Index
from lookalike.indexes.scan import scan

BACKEND = FaissBackend()


def _embeddings(num: int, dimension: int = 16, seed: int = 0) -> NDArray[np.float32]:
    points = np.random.default_rng(seed).standard_normal((num, dimension))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def _index(directory: Path, embeddings_ND: NDArray[np.float32], **params: object) -> Index:
    directory.mkdir(exist_ok=True)
    ids = np.zeros((len(embeddings_ND), 16), np.uint8)
    BACKEND.build(BuildInput(embeddings_ND, ids), directory, complete(BACKEND.capabilities.build_params, params))
    return BACKEND.open(directory, embeddings_ND, ids)


def _recall(index: Index, embeddings_ND: NDArray[np.float32], **params: object) -> float:
    queries = _embeddings(50, embeddings_ND.shape[1], seed=9)
    given = complete(index.search_params, params)
    found = index.search(queries, 10, params=given).rows_QK
    exact = scan(index.metric, queries, embeddings_ND, 10).rows_QK
    return float(np.mean([len(set(one) & set(other)) / 10 for one, other in zip(found, exact, strict=True)]))


def test_more_candidates_find_more(tmp_path: Path) -> None:
    embeddings = _embeddings(6000)
    graph = _index(tmp_path / "HNSW", embeddings, kind="HNSW", m=4, ef_construction=8)
    assert _recall(graph, embeddings, ef_search=10) + 0.1 < _recall(graph, embeddings, ef_search=400)
    cells = _index(tmp_path / "IVF", embeddings, kind="IVF", nlist=100)
    assert _recall(cells, embeddings, nprobe=2) + 0.1 < _recall(cells, embeddings, nprobe=50)
    assert _recall(cells, embeddings, nprobe=1_000_000) == 1
    codes = _index(tmp_path / "IVFPQ", embeddings, kind="IVFPQ", nlist=20, pq_m=4)
    everywhere = {"nprobe": 20}
    assert _recall(codes, embeddings, rescore=0, **everywhere) + 0.2 < _recall(codes, embeddings, **everywhere)


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
def test_cells_that_hold_too_few_are_completed_exactly(tmp_path: Path, metric: str) -> None:
    embeddings = _embeddings(4000)
    index = _index(tmp_path, embeddings, kind="IVF", nlist=100, metric=metric)
    allowed = np.arange(4000) != 17
    for mask in (None, allowed):
        one_cell = complete(index.search_params, {"nprobe": 1})
        found = index.search(embeddings[:3], 700, allowed_N=mask, params=one_cell)
        np.testing.assert_array_equal(
            found.rows_QK, scan(index.metric, embeddings[:3], embeddings, 700, allowed_N=mask).rows_QK
        )


def test_equal_seeds_make_equal_indexes(tmp_path: Path) -> None:
    embeddings = _embeddings(3000)
    for number, seed in enumerate((4, 4, 5)):
        _index(tmp_path / str(number), embeddings, kind="IVFPQ", nlist=8, pq_m=4, pq_bits=4, seed=seed)
    first, second, other = ((tmp_path / str(number) / "index.faiss").read_bytes() for number in range(3))
    assert first == second
    assert first != other


def test_building_and_training_write_nothing_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _index(tmp_path, _embeddings(300), kind="IVFPQ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("Flat", set()),
        ("auto", set()),  # so few embeddings are Flat
        ("SQ", {"rescore"}),
        ("HNSW", {"ef_search"}),
        ("IVF", {"nprobe"}),
        ("IVFPQ", {"nprobe", "rescore"}),
    ],
)
def test_an_index_takes_the_parameters_of_its_kind_alone(tmp_path: Path, kind: str, taken: set[str]) -> None:
    assert set(_index(tmp_path, _embeddings(1000), kind=kind).search_params) == taken
