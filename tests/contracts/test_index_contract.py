"""What every backend promises (lookalike/indexes/port.py), on every configuration of index_cases.py."""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from index_cases import CASES, Case, built, clustered, image_ids, records_of, search, search_elsewhere
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, ParameterOutOfRange, UnknownParameter
from lookalike.indexes.distances import pair_distances
from lookalike.indexes.params import complete
from lookalike.indexes.port import Index, Neighbours
from lookalike.types.filters import matches, parse_filter

DIMENSION = 16
K = 10

# qdrant-client's local mode says that it has no payload indexes and takes no search parameters.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@dataclass(frozen=True)
class Main:
    case: Case
    index: Index
    embeddings_ND: NDArray[np.float32]
    queries_QD: NDArray[np.float32]  # 12 that are in the gallery (rows 0..11), then 12 that are not
    directory: Path


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    chosen.make()  # skips the case, and says why, where its library or server is missing
    return chosen


@pytest.fixture(scope="module")
def main(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Main]:
    directory = tmp_path_factory.mktemp("main") / "index"
    embeddings_ND = clustered(case.num_embeddings, DIMENSION, seed=2)
    queries_QD = np.concatenate([embeddings_ND[:12], clustered(12, DIMENSION, seed=3)])
    index = built(case, directory, embeddings_ND)
    yield Main(case, index, embeddings_ND, queries_QD, directory)
    index.close()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def _check_form(found: Neighbours, num_queries: int, k: int, num_expected: int) -> None:
    assert found.rows_QK.shape == found.distances_QK.shape == (num_queries, k)
    assert found.rows_QK.dtype == np.int64
    assert found.distances_QK.dtype == np.float32
    assert (found.rows_QK[:, :num_expected] >= 0).all()
    assert np.isfinite(found.distances_QK[:, :num_expected]).all()
    assert (found.rows_QK[:, num_expected:] == -1).all()
    assert np.isposinf(found.distances_QK[:, num_expected:]).all()
    assert all(len(set(rows)) == num_expected for rows in found.rows_QK[:, :num_expected].tolist())
    with np.errstate(invalid="ignore"):  # inf - inf in the padding
        assert not (np.diff(found.distances_QK) < 0).any()


def _check_recall(main: Main, found: Neighbours, allowed_N: NDArray[np.bool_]) -> None:
    """The share of the exact ten nearest by the index's own metric, found in float64 without the library."""
    allowed = np.flatnonzero(allowed_N)
    x, y = main.queries_QD.astype(np.float64)[:, None], main.embeddings_ND[allowed].astype(np.float64)
    if main.index.metric.name == "minkowski":
        exact_QN = (np.abs(x - y) ** main.index.metric.p).sum(-1)
    else:
        exact_QN = -(x @ y.T)[:, 0]  # all others order embeddings of length 1 as the inner product does
    kth_Q = np.partition(exact_QN, K - 1)[:, K - 1]
    position = np.full(len(allowed_N), -1)
    position[allowed] = np.arange(len(allowed))
    distances_QK = np.take_along_axis(exact_QN, position[found.rows_QK], -1)
    assert (distances_QK <= kth_Q[:, None] + 1e-6).mean() >= main.case.recall_floor


def test_k_neighbours_come_in_order_of_distance(main: Main) -> None:
    assert main.index.num_embeddings == len(main.embeddings_ND)
    assert main.index.dimension == DIMENSION
    _check_form(search(main.case, main.index, main.queries_QD, K), 24, K, K)
    _check_form(search(main.case, main.index, main.queries_QD[:1], 1), 1, 1, 1)
    _check_form(search(main.case, main.index, main.queries_QD[:0], K), 0, K, K)


def test_distances_are_the_metric_s_own(main: Main) -> None:
    found = search(main.case, main.index, main.queries_QD, K)
    expected = pair_distances(main.index.metric, main.queries_QD, main.embeddings_ND[found.rows_QK])
    np.testing.assert_allclose(found.distances_QK, expected, rtol=1e-4, atol=main.case.distance_atol)


def test_the_nearest_are_found(main: Main) -> None:
    found = search(main.case, main.index, main.queries_QD, K)
    _check_recall(main, found, np.ones(len(main.embeddings_ND), bool))


def test_an_embedding_of_the_gallery_finds_itself(main: Main) -> None:
    found = search(main.case, main.index, main.queries_QD[:12], K)
    assert all(row in rows for row, rows in enumerate(found.rows_QK.tolist()))
    if main.case.distance_atol < 1e-2:  # whose own codes do not blur it
        assert found.rows_QK[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize("share", [0.002, 0.3, 0.7, 1.0])
def test_only_allowed_rows_are_returned_and_as_many_as_exist(main: Main, share: float) -> None:
    allowed_N = np.random.default_rng(4).permutation(len(main.embeddings_ND)) < share * len(main.embeddings_ND)
    found = search(main.case, main.index, main.queries_QD, K, allowed_N)
    num_expected = min(K, int(allowed_N.sum()))
    _check_form(found, 24, K, num_expected)
    assert allowed_N[found.rows_QK[:, :num_expected]].all()
    if num_expected == K:
        _check_recall(main, found, allowed_N)


FILTERS = [
    {"field": "subcategory", "equals": "dog"},  # a third
    {"field": "metadata.tens", "equals": "3"},  # ten
    {"field": "key", "any_of": ["7.png", "8.png", "none.png"]},
    {"field": "metadata.row", "range": {"gte": 100, "lt": 350}},
    {"not": {"field": "metadata.row", "range": {"lt": 20}}},  # nearly all
    {"all": [{"field": "metadata.even", "equals": True}, {"field": "label", "any_of": ["cat", "cow"]}]},
    {"any": [{"field": "metadata.row", "equals": 5}, {"field": "supercategory", "equals": "animal"}]},  # all
    {"field": "metadata.row", "equals": "5"},  # none: a string is no number
]


NATIVE = {name: case for name, case in CASES.items() if case.filters_natively}
natively = pytest.mark.parametrize("case", NATIVE.values(), ids=NATIVE.keys(), indirect=True)


def test_whether_it_filters_natively_is_declared(case: Case) -> None:
    assert case.make().capabilities.filters_natively == case.filters_natively


@natively
@pytest.mark.parametrize("beside", ["no mask", "the same mask", "a mask of fewer"])
@pytest.mark.parametrize("said", FILTERS, ids=lambda said: json.dumps(said))
def test_a_native_filter_gives_what_its_mask_would(main: Main, said: object, beside: str) -> None:
    """Only rows that match, as many as there are up to k, and as near as those of any search."""
    condition = parse_filter(said)
    records = records_of(image_ids(len(main.embeddings_ND)))
    allowed_N = np.array([matches(condition, record) for record in records])
    if beside == "a mask of fewer":
        allowed_N &= np.random.default_rng(12).random(len(allowed_N)) < 0.6
    given = None if beside == "no mask" else allowed_N
    found = search(main.case, main.index, main.queries_QD, K, given, condition)
    num_expected = min(K, int(allowed_N.sum()))
    _check_form(found, 24, K, num_expected)
    assert allowed_N[found.rows_QK[:, :num_expected]].all()
    if num_expected == K:
        _check_recall(main, found, allowed_N)


@natively
def test_a_native_filter_finds_more_than_a_graph_search_looks_at(main: Main) -> None:
    """All that match are found, however many are asked for."""
    condition = parse_filter({"field": "subcategory", "equals": "cat"})
    num_expected = -(-len(main.embeddings_ND) // 3)
    found = search(main.case, main.index, main.queries_QD[:1], len(main.embeddings_ND), None, condition)
    _check_form(found, 1, len(main.embeddings_ND), num_expected)
    assert (found.rows_QK[0, :num_expected] % 3 == 0).all()


@pytest.mark.parametrize("allowed_rows", [[], [7], [5, 6, 7]])
def test_of_few_allowed_rows_all_are_returned(main: Main, allowed_rows: list[int]) -> None:
    allowed_N = np.zeros(len(main.embeddings_ND), bool)
    allowed_N[allowed_rows] = True
    found = search(main.case, main.index, main.queries_QD, K, allowed_N)
    _check_form(found, 24, K, len(allowed_rows))
    assert (np.sort(found.rows_QK[:, : len(allowed_rows)]) == allowed_rows).all()


def test_a_mask_that_excludes_a_whole_neighbourhood_still_gives_k(main: Main) -> None:
    near = search(main.case, main.index, main.queries_QD[:1], len(main.embeddings_ND) // 3)
    allowed_N = np.ones(len(main.embeddings_ND), bool)
    allowed_N[near.rows_QK[0]] = False
    found = search(main.case, main.index, main.queries_QD[:1], K, allowed_N)
    _check_form(found, 1, K, K)
    assert allowed_N[found.rows_QK].all()


def test_threads_get_what_one_caller_gets(main: Main) -> None:
    allowed_N = np.arange(len(main.embeddings_ND)) % 2 == 0
    calls = [(query[None], mask) for query in main.queries_QD for mask in (None, allowed_N)]
    alone = [search(main.case, main.index, query, K, mask) for query, mask in calls]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda call: search(main.case, main.index, call[0], K, call[1]), calls))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.rows_QK, other.rows_QK)
        # faiss may add up in another order beside other libraries' threads; the hits are the same.
        np.testing.assert_allclose(one.distances_QK, other.distances_QK, rtol=1e-5, atol=1e-6)


def test_k_may_exceed_the_gallery(case: Case, tmp_path: Path) -> None:
    embeddings_ND = clustered(5, DIMENSION, seed=5)
    index = built(case, tmp_path / "index", embeddings_ND)
    found = search(case, index, embeddings_ND, 9)
    index.close()
    _check_form(found, 5, 9, 5)
    assert (np.sort(found.rows_QK[:, :5]) == np.arange(5)).all()


@pytest.mark.parametrize(("num_embeddings", "dimension"), [(0, 8), (1, 8), (1, 1), (3, 50_176)])
def test_galleries_of_any_shape(case: Case, tmp_path: Path, num_embeddings: int, dimension: int) -> None:
    embeddings_ND = clustered(num_embeddings, dimension, seed=6)
    index = built(case, tmp_path / "index", embeddings_ND)
    assert (index.num_embeddings, index.dimension) == (num_embeddings, dimension)
    found = search(case, index, clustered(2, dimension, seed=7), 4)
    masked = search(case, index, clustered(2, dimension, seed=7), 4, np.ones(num_embeddings, bool))
    own = search(case, index, embeddings_ND, 1)
    index.close()
    _check_form(found, 2, 4, num_embeddings)
    _check_form(masked, 2, 4, num_embeddings)
    assert own.rows_QK[:, 0].tolist() == list(range(num_embeddings))


def test_one_dimension_has_two_directions(case: Case, tmp_path: Path) -> None:
    embeddings_ND = np.array([[1], [-1], [-1], [1], [1], [-1], [1]], np.float32)
    index = built(case, tmp_path / "index", embeddings_ND)
    found = search(case, index, np.array([[1], [-1]], np.float32), 3)
    index.close()
    assert set(found.rows_QK[0].tolist()) < {0, 3, 4, 6}
    assert set(found.rows_QK[1].tolist()) == {1, 2, 5}


def test_duplicates_all_count(case: Case, tmp_path: Path) -> None:
    others = clustered(100, DIMENSION, seed=8)
    embeddings_ND = np.concatenate([others, np.repeat(clustered(1, DIMENSION, seed=9), 400, axis=0)])
    index = built(case, tmp_path / "index", embeddings_ND)
    found = search(case, index, embeddings_ND[-1:], 60)
    index.close()
    _check_form(found, 1, 60, 60)
    assert (found.rows_QK >= 100).all()


def test_another_process_gets_the_same_answers(case: Case, tmp_path: Path, elsewhere: ProcessPoolExecutor) -> None:
    if not case.is_artifact:
        pytest.skip("the index is held by a server, not by files")
    queries_QD = clustered(8, DIMENSION, seed=11)
    index = built(case, tmp_path / "index", clustered(300, DIMENSION, seed=10))
    here = search(case, index, queries_QD, K)
    index.close()
    rows_QK, distances_QK = elsewhere.submit(search_elsewhere, case.name, tmp_path / "index", queries_QD, K).result()
    np.testing.assert_array_equal(rows_QK, here.rows_QK)
    np.testing.assert_array_equal(distances_QK, here.distances_QK)


def test_what_is_written_is_no_pickle(main: Main) -> None:
    files = [path for path in main.directory.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix not in {".pkl", ".pickle", ".joblib", ".pt", ".npz"}
        with path.open("rb") as file:
            head = file.read(2)
        assert not (head[:1] == b"\x80" and head[1:] in {b"\x02", b"\x03", b"\x04", b"\x05"}), path


@pytest.mark.parametrize("damage", ["nothing there", "cut short", "emptied", "another gallery's"])
def test_a_damaged_index_is_refused(case: Case, tmp_path: Path, damage: str) -> None:
    embeddings_ND = clustered(300, DIMENSION, seed=10)
    directory = tmp_path / "index"
    built(case, directory, embeddings_ND).close()
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        if damage == "nothing there":
            path.unlink()
        elif damage == "cut short":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif damage == "emptied":
            path.write_bytes(b"")
    if damage == "another gallery's":
        embeddings_ND = embeddings_ND[:-1]
    with pytest.raises(DamagedArtifact):
        case.make().open(directory, embeddings_ND, image_ids(len(embeddings_ND)))


def test_parameters_are_declared_and_held_to(main: Main) -> None:
    capabilities = main.case.make().capabilities
    assert capabilities.metrics
    assert main.index.search_params.items() <= capabilities.search_params.items()
    for specs in (capabilities.build_params, capabilities.search_params):
        with pytest.raises(UnknownParameter):
            complete(specs, {"no_such_parameter": 1})
        for name, spec in specs.items():
            assert spec.description.endswith(".")
            if spec.type in (int, float):
                assert spec.minimum is not None
                assert spec.maximum is not None
                for wrong in (spec.type(spec.minimum - 1), spec.type(spec.maximum + 1), "1", True):
                    with pytest.raises(ParameterOutOfRange):
                        complete(specs, {name: wrong})
            if spec.default is not None:
                assert complete(specs, {name: spec.default})[name] == spec.default
