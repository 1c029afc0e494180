"""A living index equals a brute-force reference that is written here on its own, one image at a time."""

import math
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import DamagedArtifact, InvalidEmbedding, InvalidRequest
from lookalike.indexes.living import Embeddings, LivingIndex
from lookalike.indexes.params import complete
from lookalike.indexes.port import NO_PARAMS, BuildInput, Metric, Neighbours, Params
from lookalike.indexes.registry import backend
from lookalike.types.filters import Filter
from lookalike.types.ids import pack_ids, unpack_ids


@dataclass(frozen=True)
class Sloppy:
    """An index that does the least the port allows: no order among ties, and too few rows without a mask."""

    embeddings_ND: np.ndarray
    metric: Metric = Metric("inner_product")
    most: int = 1_000_000

    @property
    def num_embeddings(self) -> int:
        return len(self.embeddings_ND)

    @property
    def dimension(self) -> int:
        return self.embeddings_ND.shape[1]

    def search(
        self,
        queries_QD: np.ndarray,
        k: int,
        *,
        allowed_N: np.ndarray | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        rows_QK = np.full((len(queries_QD), k), -1)
        distances_QK = np.full((len(queries_QD), k), np.inf, np.float32)
        for number, query in enumerate(queries_QD):
            rows = np.arange(self.num_embeddings) if allowed_N is None else np.flatnonzero(allowed_N)
            distances = -(self.embeddings_ND[rows] @ query)
            order = np.lexsort((-rows, distances))[: k if allowed_N is not None else min(k, self.most)]
            rows_QK[number, : len(order)] = rows[order]
            distances_QK[number, : len(order)] = distances[order]
        return Neighbours(rows_QK, distances_QK)

    def close(self) -> None:
        pass


def open_index(name: str, base: Embeddings, **build_params: object) -> object:
    if name == "sloppy":
        return Sloppy(base.embeddings_ND, most=3)
    one = backend(name)
    params = complete(one.capabilities.build_params, build_params)
    with tempfile.TemporaryDirectory() as folder:  # what is mapped stays mapped
        one.build(BuildInput(base.embeddings_ND, base.ids_N16), Path(folder), params)
        return one.open(Path(folder), base.embeddings_ND, base.ids_N16)


def unit_rows(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    # Few distinct directions, so that duplicates are common.
    rows = rng.integers(-1, 2, (count, dimension)).astype(np.float64)
    rows[~rows.any(axis=1)] = 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cosine(left: np.ndarray, right: np.ndarray) -> np.float32:
    products = [float(a) * float(b) for a, b in zip(left, right, strict=True)]
    lengths = math.sqrt(math.fsum(float(a) ** 2 for a in left)) * math.sqrt(math.fsum(float(b) ** 2 for b in right))
    return np.float32(round(math.fsum(products) / lengths * 2**32) / 2**32)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", ["sloppy", "exact", "faiss", "annoy"])
def test_search_is_that_of_the_reference(name: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dimension = data.draw(st.integers(1, 5))
    num_base, num_delta = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 12))
    vectors = unit_rows(rng, num_base + num_delta, dimension)
    names = [str(uuid.UUID(bytes=rng.bytes(16))) for _ in vectors]
    ids = pack_ids(names)
    base = Embeddings(vectors[:num_base], ids[:num_base])
    delta = Embeddings(vectors[num_base:], ids[num_base:])
    alive = rng.random(num_base) < data.draw(st.sampled_from([0.0, 0.3, 0.95, 1.0]))
    allowed = rng.random(len(vectors)) < data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    filtered, excluding = data.draw(st.booleans()), data.draw(st.booleans())
    k, offset = data.draw(st.integers(1, 80)), data.draw(st.integers(0, 5))
    least = data.draw(st.sampled_from([None, -1.0, 0.0, 0.7, 1.0]))
    queries = unit_rows(rng, data.draw(st.integers(0, 4)), dimension)
    excluded = [names[rng.integers(len(names))] if names else str(uuid.uuid4()) for _ in queries]

    living = LivingIndex(open_index(name, base), base, delta, alive)
    found = living.search(
        queries * np.float32(2),
        k,
        offset=offset,
        allowed_N=allowed if filtered else None,
        exclude_ids_Q16=pack_ids(excluded) if excluding else None,
        min_similarity=least,
    )

    assert found.rows_QK.shape == found.similarities_QK.shape == found.distances_QK.shape == (len(queries), k)
    assert living.num_images == int(alive.sum()) + num_delta
    for number, query in enumerate(queries):
        hits = []
        for row, vector in enumerate(vectors):
            is_hit = (row >= num_base or alive[row]) and (not filtered or allowed[row])
            if is_hit and not (excluding and names[row] == excluded[number]):
                hits.append((-cosine(query, vector), names[row], row))
        hits = sorted(hits)[offset : offset + k]
        hits = [hit for hit in hits if least is None or -hit[0] >= np.float32(least)]
        rows = found.rows_QK[number]
        assert rows[: len(hits)].tolist() == [row for _, _, row in hits]
        assert found.similarities_QK[number, : len(hits)].tolist() == [-value for value, _, _ in hits]
        assert np.isfinite(found.distances_QK[number, : len(hits)]).all()
        assert (rows[len(hits) :] == -1).all()
        assert (found.similarities_QK[number, len(hits) :] == -np.inf).all()
        assert (found.distances_QK[number, len(hits) :] == np.inf).all()


def gallery(num_rows: int, dimension: int = 8, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((num_rows, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(vectors.astype(np.float32), rng.integers(0, 256, (num_rows, 16)).astype(np.uint8))


def test_rounding_does_not_order_what_is_equally_similar() -> None:
    """Orthogonal embeddings whose float64 products are not all exactly 0 come in the order of their ids."""
    directions = np.array([[1, 1, 1, 0], [1, -1, 0, 0], [1, 0, -1, 0], [0, 1, -1, 0], [1, 1, -2, 0], [0, 0, 0, 1]])
    vectors = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    base = Embeddings(vectors[1:], gallery(5, 4).ids_N16)
    found = LivingIndex(Sloppy(base.embeddings_ND), base, Embeddings.none(4)).search(vectors[:1] * 3, 5)
    assert found.similarities_QK.tolist() == [[0.0] * 5]
    assert unpack_ids(base.ids_N16[found.rows_QK[0]]) == sorted(unpack_ids(base.ids_N16))


def test_ties_at_the_last_place_are_resolved_by_id_beyond_the_margin() -> None:
    """300 equal embeddings of which 5 are asked: those of the lowest ids, though Sloppy gives the highest rows."""
    base = gallery(300)
    base.embeddings_ND[:] = base.embeddings_ND[0]
    found = LivingIndex(Sloppy(base.embeddings_ND), base, Embeddings.none(8)).search(base.embeddings_ND[:1], 5)
    assert unpack_ids(base.ids_N16[found.rows_QK[0]]) == sorted(unpack_ids(base.ids_N16))[:5]


def test_a_duplicate_in_the_delta_ties_with_its_original() -> None:
    base = gallery(3000, 31)
    delta = Embeddings(base.embeddings_ND[::-1][:100].copy(), gallery(100, 31, seed=1).ids_N16)
    found = LivingIndex(Sloppy(base.embeddings_ND), base, delta).search(delta.embeddings_ND, 2)
    assert (found.similarities_QK == 1).all()
    assert {(2999 - j, 3000 + j) for j in range(100)} == {tuple(sorted(rows)) for rows in found.rows_QK.tolist()}


@pytest.mark.parametrize("num_dead", [1, 40, 900, 1999, 2000])
def test_deleted_neighbours_never_cost_a_hit(num_dead: int) -> None:
    """The nearest rows of the query are the deleted ones: over-fetching by their share is not enough."""
    base = gallery(2000)
    query = base.embeddings_ND[:1]
    nearest_first = np.argsort(-(base.embeddings_ND @ query[0]))
    alive = np.ones(2000, bool)
    alive[nearest_first[:num_dead]] = False
    found = LivingIndex(Sloppy(base.embeddings_ND), base, Embeddings.none(8), alive).search(query, 10)
    assert found.rows_QK[0][found.rows_QK[0] >= 0].tolist() == nearest_first[num_dead : num_dead + 10].tolist()


def test_a_filter_too_wide_for_a_scan_goes_to_the_index() -> None:
    base = gallery(9000, 300)
    allowed = np.arange(9000) % 9 != 0
    found = LivingIndex(Sloppy(base.embeddings_ND), base, Embeddings.none(300)).search(
        base.embeddings_ND[:3], 10, allowed_N=allowed
    )
    similarities = np.where(allowed, base.embeddings_ND[:3] @ base.embeddings_ND.T, -2)
    assert (found.rows_QK == np.argsort(-similarities, axis=1)[:, :10]).all()


def test_distances_of_delta_rows_are_in_the_metric_of_the_index() -> None:
    base = gallery(50, 2)
    delta = Embeddings(np.array([[0.6, 0.8]], np.float32), np.full((1, 16), 7, np.uint8))
    living = LivingIndex(open_index("exact", base, metric="euclidean"), base, delta)
    allowed = np.arange(51) == 50
    found = living.search(np.array([[3.0, 4.0], [4.0, -3.0]]), 1, allowed_N=allowed)
    assert found.distances_QK[:, 0] == pytest.approx([0, math.sqrt(2)], abs=1e-6)


def test_thousands_of_queries_are_answered_as_each_alone() -> None:
    base = gallery(500, 2000)
    living = LivingIndex(open_index("exact", base), base, gallery(30, 2000, seed=2))
    queries = gallery(2500, 2000, seed=3).embeddings_ND  # more than one block
    together = living.search(queries, 3)
    for number in (0, 1, 2096, 2097, 2098, 2499):
        alone = living.search(queries[number : number + 1], 3)
        assert (together.rows_QK[number] == alone.rows_QK[0]).all()
        assert (together.similarities_QK[number] == alone.similarities_QK[0]).all()


def test_images_are_looked_up_by_id() -> None:
    base, delta = gallery(40), gallery(5, seed=9)
    alive = np.arange(40) % 2 == 0
    # A deleted image that was added again: its id stands in both parts.
    delta.ids_N16[0] = base.ids_N16[1]
    living = LivingIndex(Sloppy(base.embeddings_ND), base, delta, alive)
    rows = living.rows_of(np.concatenate([base.ids_N16, delta.ids_N16, np.zeros((1, 16), np.uint8)]))
    wanted = [row if row % 2 == 0 else -1 for row in range(40)] + [40, 41, 42, 43, 44, -1]
    wanted[1] = 40
    assert rows.tolist() == wanted
    assert (living.embedding(unpack_ids(base.ids_N16[2:3])[0]) == base.embeddings_ND[2]).all()
    assert (living.embedding(unpack_ids(base.ids_N16[1:2])[0]) == delta.embeddings_ND[0]).all()
    assert living.embedding(unpack_ids(base.ids_N16[3:4])[0]) is None


def test_nothing_to_search_gives_no_hits() -> None:
    none = Embeddings.none(3)
    living = LivingIndex(Sloppy(none.embeddings_ND), none, none)
    assert living.search(np.ones((2, 3)), 4).rows_QK.tolist() == [[-1] * 4] * 2
    assert living.search(np.ones((0, 3)), 4).rows_QK.shape == (0, 4)
    assert living.rows_of(np.zeros((1, 16), np.uint8)).tolist() == [-1]


@pytest.mark.parametrize("num_base", [0, 5])
def test_wrong_queries_are_refused_whatever_is_searched(num_base: int) -> None:
    base = gallery(num_base, 3)
    living = LivingIndex(Sloppy(base.embeddings_ND), base, Embeddings.none(3))
    for wrong in (np.zeros((1, 3)), np.ones((1, 2)), np.ones(3), np.full((1, 3), np.nan), np.ones((1, 3), int)):
        with pytest.raises(InvalidEmbedding):
            living.search(wrong, 1)
    for k, offset in ((0, 0), (1, -1)):
        with pytest.raises(InvalidRequest):
            living.search(np.ones((1, 3)), k, offset=offset)


def test_an_index_of_other_embeddings_is_refused() -> None:
    with pytest.raises(DamagedArtifact):
        LivingIndex(Sloppy(gallery(5).embeddings_ND), gallery(6), Embeddings.none(8))
    with pytest.raises(DamagedArtifact):
        LivingIndex(Sloppy(gallery(5).embeddings_ND), gallery(5), Embeddings.none(9))


def test_masks_and_native_filters_that_cannot_be_meant_are_refused() -> None:
    from lookalike.types.filters import parse_filter

    base = gallery(5)
    living = LivingIndex(Sloppy(base.embeddings_ND), base, gallery(1, seed=4))
    query = base.embeddings_ND[:1]
    with pytest.raises(ValueError, match="allowed_N"):
        living.search(query, 1, allowed_N=np.ones(5, bool))
    with pytest.raises(ValueError, match="native_filter"):
        living.search(query, 1, native_filter=parse_filter({"field": "label", "equals": "dog"}))
    with pytest.raises(ValueError, match="exclude_ids"):
        living.search(query, 1, exclude_ids_Q16=base.ids_N16)
