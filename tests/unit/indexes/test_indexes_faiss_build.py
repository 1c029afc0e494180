"""Which FAISS index is built for which N, D and parameters."""

import numpy as np
import pytest

from lookalike.errors import ParameterOutOfRange, UnknownParameter
from lookalike.indexes.faiss_build import BUILD_PARAMS, Plan, plan, training_sample
from lookalike.indexes.params import complete


def _plan(num_embeddings: int, dimension: int = 512, **params: object) -> Plan:
    return plan(num_embeddings, dimension, complete(BUILD_PARAMS, params))


@pytest.mark.parametrize(
    ("num_embeddings", "wanted", "built"),
    [
        (0, "auto", "Flat"),
        (19_999, "auto", "Flat"),
        (20_000, "auto", "HNSW"),
        (0, "HNSW", "HNSW"),
        (39, "IVF", "Flat"),
        (40, "IVF", "IVF"),
        (39, "IVFPQ", "Flat"),
        (255, "IVFPQ", "IVF"),
        (256, "IVFPQ", "IVFPQ"),
        (0, "SQ", "Flat"),
        (1, "SQ", "SQ"),
    ],
)
def test_the_kind_follows_the_number_of_embeddings(num_embeddings: int, wanted: str, built: str) -> None:
    assert _plan(num_embeddings, kind=wanted).kind == built


def test_cells_are_filled() -> None:
    assert _plan(100_000, kind="IVF").nlist == 4 * 316
    assert _plan(100_000, kind="IVF", nlist=100).nlist == 100
    assert _plan(400, kind="IVF", nlist=100).nlist == 10
    assert _plan(100_000, kind="IVF", nlist=100).num_training == 4000
    assert _plan(100_000, kind="IVFPQ", nlist=100).num_training == 40 * 256


@pytest.mark.parametrize(
    ("dimension", "pq_m"), [(512, 128), (1280, 128), (50_176, 128), (96, 24), (100, 25), (514, 2), (7, 1), (1, 1)]
)
def test_codes_divide_the_dimension(dimension: int, pq_m: int) -> None:
    assert _plan(1000, dimension, kind="IVFPQ").pq_m == pq_m


def test_a_number_of_codes_that_does_not_divide_names_those_that_do() -> None:
    assert _plan(1000, 512, kind="IVFPQ", pq_m=16).pq_m == 16
    for num_embeddings in (0, 1000):  # refused whatever would be built
        with pytest.raises(ParameterOutOfRange, match=r"512, not 9; near it: 2, 4, 8$"):
            _plan(num_embeddings, 512, kind="IVFPQ", pq_m=9)


def test_the_sample_is_seeded_ordered_and_without_repeats() -> None:
    embeddings = np.arange(100, dtype=np.float32).reshape(100, 1)
    sample = training_sample(embeddings, 30, seed=5)[:, 0]
    assert len(set(sample.tolist())) == 30
    assert (np.diff(sample) > 0).all()
    np.testing.assert_array_equal(sample, training_sample(embeddings, 30, seed=5)[:, 0])
    assert not np.array_equal(sample, training_sample(embeddings, 30, seed=6)[:, 0])
    assert training_sample(embeddings, 100, seed=5) is embeddings


@pytest.mark.parametrize(
    "given", [{"kind": "IVF", "pq_m": 8}, {"kind": "Flat", "m": 8}, {"kind": "HNSW", "nlist": 10}, {"nlist": 10}]
)
def test_a_parameter_of_another_kind_is_refused(given: dict[str, object]) -> None:
    """Decision 5 of the design: what would have no effect is never accepted silently."""
    with pytest.raises(UnknownParameter, match="no parameter of an index of kind"):
        _plan(1000, **given)
