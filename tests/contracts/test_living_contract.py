"""What callers of a living index rely on, the same on every backend of the registry.

Small galleries of random embeddings, where every backend's candidates include all rows: hits must then be
bit-equal to those of exact search, whatever was deleted, added or filtered.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import InvalidEmbedding, MissingExtra
from lookalike.indexes.batching import BatchingIndex
from lookalike.indexes.exact_scan import exact_neighbours
from lookalike.indexes.living import Embeddings, LivingIndex
from lookalike.indexes.params import complete
from lookalike.indexes.parity import check_parity
from lookalike.indexes.port import Backend, BuildInput, Index
from lookalike.indexes.qdrant_server import QdrantServerBackend
from lookalike.indexes.registry import BACKEND_NAMES
from lookalike.indexes.registry import backend as named
from lookalike.types.ids import unpack_ids
from lookalike.types.images import ImageRecord

BUILDS = [(name, {}) for name in BACKEND_NAMES] + [
    ("exact", {"metric": "euclidean"}),
    ("faiss", {"kind": "HNSW"}),
    ("faiss", {"kind": "IVF", "metric": "l2"}),
    ("faiss", {"kind": "SQ"}),
    ("annoy", {"metric": "euclidean"}),
    ("annoy", {"metric": "dot"}),
    ("qdrant-local", {}),
]

# qdrant-client's local mode says that it has no payload indexes and takes no search parameters.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@pytest.fixture(params=BUILDS, ids=lambda build: "-".join([build[0], *map(str, build[1].values())]))
def build(request: pytest.FixtureRequest) -> tuple[Backend, dict[str, object]]:
    name, given = request.param
    if name == "qdrant-local":
        qdrant_client = pytest.importorskip("qdrant_client", reason="pip install 'lookalike[qdrant]'")
        return QdrantServerBackend(qdrant_client.QdrantClient(":memory:")), given
    try:
        return named(name), given
    except MissingExtra as error:
        pytest.skip(f"{name}: {error}")
    except ModuleNotFoundError as error:
        if error.name != "lookalike.indexes.qdrant_edge":
            raise
        pytest.skip(f"{name}: not written yet")


def embeddings_of(num_rows: int, dimension: int, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((num_rows, dimension))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Embeddings(rows.astype(np.float32), rng.integers(0, 256, (num_rows, 16)).astype(np.uint8))


def records_of(base: Embeddings) -> Iterator[ImageRecord]:
    for number, image_id in enumerate(unpack_ids(base.ids_N16)):
        yield ImageRecord(
            image_id=image_id, key=str(number), sha256="0" * 64, size_bytes=1, width=1, height=1, format="PNG"
        )


def opened(build: tuple[Backend, dict[str, object]], base: Embeddings, directory: Path) -> Index:
    backend, given = build
    source = BuildInput(base.embeddings_ND, base.ids_N16, lambda: records_of(base))
    backend.build(source, directory, complete(backend.capabilities.build_params, given))
    return backend.open(directory, base.embeddings_ND, base.ids_N16)


@pytest.mark.parametrize("dimension", [1, 3, 24])
@pytest.mark.parametrize("num_base", [0, 1, 25])
@pytest.mark.parametrize("num_delta", [0, 4])
def test_hits_are_those_of_exact_search(
    build: tuple[Backend, dict[str, object]], dimension: int, num_base: int, num_delta: int, tmp_path: Path
) -> None:
    base, delta = embeddings_of(num_base, dimension), embeddings_of(num_delta, dimension, seed=1)
    if num_base > 6:
        base.embeddings_ND[3:6] = base.embeddings_ND[0]
    rng = np.random.default_rng(2)
    alive, allowed = rng.random(num_base) < 0.8, rng.random(num_base + num_delta) < 0.7
    index = opened(build, base, tmp_path)
    queries = embeddings_of(6, dimension, seed=3).embeddings_ND
    every = np.concatenate([base.embeddings_ND, delta.embeddings_ND])
    living_rows = np.concatenate([alive, np.ones(num_delta, bool)])
    for searched in (index, BatchingIndex(index)):
        living = LivingIndex(searched, base, delta, alive)
        for mask in (None, allowed):
            wanted = exact_neighbours(queries, every, 40, allowed_N=living_rows if mask is None else living_rows & mask)
            found = living.search(queries, 40, allowed_N=mask)
            assert (found.similarities_QK == wanted.similarities_QK).all()
            assert ((found.rows_QK >= 0) == np.isfinite(found.distances_QK)).all()
            for rows, exact_rows, values in zip(found.rows_QK, wanted.rows_QK, wanted.similarities_QK, strict=True):
                count = int((exact_rows >= 0).sum())
                in_order = sorted(
                    range(count), key=lambda place: (-values[place], living.ids_N16[exact_rows[place]].tobytes())
                )
                assert rows[:count].tolist() == exact_rows[in_order].tolist()
            page = living.search(queries, 5, offset=3, allowed_N=mask)
            assert (page.rows_QK == found.rows_QK[:, 3:8]).all()
    living.close()


def test_the_query_itself_is_left_out_without_costing_a_hit(
    build: tuple[Backend, dict[str, object]], tmp_path: Path
) -> None:
    base = embeddings_of(60, 8)
    living = LivingIndex(opened(build, base, tmp_path), base, Embeddings.none(8))
    found = living.search(base.embeddings_ND, 10, exclude_ids_Q16=base.ids_N16)
    assert (found.rows_QK >= 0).all()
    assert not (found.rows_QK == np.arange(60)[:, None]).any()
    own = living.search(base.embeddings_ND, 1)
    assert (own.rows_QK[:, 0] == np.arange(60)).all()
    assert (own.similarities_QK == 1).all()
    living.close()


def test_distances_of_added_images_are_in_line_with_those_of_the_index(
    build: tuple[Backend, dict[str, object]], tmp_path: Path
) -> None:
    """The same embeddings once as base and once as delta: equal figures, but for quantisation."""
    base = embeddings_of(50, 8)
    added = Embeddings(base.embeddings_ND, embeddings_of(50, 8, seed=5).ids_N16)
    living = LivingIndex(opened(build, base, tmp_path), base, added)
    query = embeddings_of(1, 8, seed=6).embeddings_ND
    found = living.search(query, 100)
    of_row = dict(zip(found.rows_QK[0].tolist(), found.distances_QK[0].tolist(), strict=True))
    for row in range(50):
        assert of_row[row] == pytest.approx(of_row[row + 50], abs=2e-2)
    living.close()


def test_a_gallery_of_thousands_is_at_parity(build: tuple[Backend, dict[str, object]], tmp_path: Path) -> None:
    """Images resemble each other in groups, as those of real galleries do; default parameters."""
    groups, noise = embeddings_of(60, 16), embeddings_of(3000, 16, seed=1)
    rows = np.repeat(groups.embeddings_ND, 50, axis=0) + np.float32(0.5) * noise.embeddings_ND
    base = Embeddings(rows / np.linalg.norm(rows, axis=1, keepdims=True), noise.ids_N16)
    living = LivingIndex(opened(build, base, tmp_path), base, Embeddings.none(16))
    check_parity(living, base.embeddings_ND, num_queries=50).require(0.9)
    living.close()


def test_wrong_queries_are_refused(build: tuple[Backend, dict[str, object]], tmp_path: Path) -> None:
    base = embeddings_of(5, 4)
    living = LivingIndex(opened(build, base, tmp_path), base, Embeddings.none(4))
    for wrong in (np.zeros((1, 4)), np.ones((1, 3)), np.full((1, 4), np.inf)):
        with pytest.raises(InvalidEmbedding):
            living.search(wrong, 1)
    living.close()
