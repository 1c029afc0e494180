"""tune: the parameters that it finds reach the target on this gallery, searches use them, explicit ones win."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from labelled_gallery import GALLERY, NO_CHECKS, LabelledGallery, Rows, photo, unit

from lookalike.bootstrap import wire
from lookalike.errors import IndexNotFound, InvalidRequest, TargetOutOfReach
from lookalike.indexes import qdrant_edge
from lookalike.indexes.exact_scan import exact_neighbours
from lookalike.pipeline.index_gallery import build_indexes, promote_indexes
from lookalike.pipeline.search import nearest
from lookalike.pipeline.tune import tune_gallery
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load

NUM_IMAGES, DIMENSION, K = 12_000, 64, 10
MODEL = "made@1"
KINDS: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    # name: backend, build parameters, the least that it can be told to look at
    "HNSW": ("faiss", {"kind": "HNSW", "m": 8}, {"ef_search": 1}),
    "IVF": ("faiss", {"kind": "IVF", "nlist": 100}, {"nprobe": 1}),
    "annoy": ("annoy", {"n_trees": 10}, {"search_k": 1}),
    "qdrant": ("qdrant", {"m": 8}, {"ef_search": 1}),
}


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> LabelledGallery:
    """12,000 embeddings in all directions, the hardest there are: an index that looks at too little misses many."""
    made = LabelledGallery(tmp_path_factory.mktemp("tuned"))
    rng = np.random.default_rng(0)
    rows = unit(rng.standard_normal((NUM_IMAGES, DIMENSION)))
    made.put({f"{number:05d}": photo("cat") for number in range(NUM_IMAGES)})
    made.embed(MODEL, {f"{number:05d}": rows[number] for number in range(NUM_IMAGES)})
    return made


def serve(gallery: LabelledGallery, backend: str, params: Mapping[str, object]) -> None:
    made = gallery.at.sets.newest(GALLERY, MODEL.encode().hex().ljust(64, "0"))
    assert made is not None
    indexes = build_indexes(gallery.at, GALLERY, made, [backend], params=params)
    promote_indexes(gallery.at, GALLERY, made, indexes, checks=NO_CHECKS)


def recall(at: Workspace, backend: str, params: Mapping[str, object] | None = None) -> float:
    """knn recall@10 of searches, with queries that tuning has not seen."""
    served = at.serving.gallery(GALLERY)
    _, index = served.index(MODEL, backend)
    rows: Rows = np.asarray(at.artifacts.matrix(at.sets.get(GALLERY, index.manifest.set_id)).embeddings_ND)
    queries = unit(rows[::97] + 0.5 * unit(np.random.default_rng(7).standard_normal(rows[::97].shape)))
    exact = exact_neighbours(queries, rows, K).rows_QK
    found = nearest(served, index, queries, K, params=params).rows_QK
    return float(np.mean([len(set(one) & set(other)) / K for one, other in zip(found, exact, strict=True)]))


@pytest.mark.parametrize("name", KINDS)
def test_the_target_is_reached_and_searches_use_what_was_found(
    gallery: LabelledGallery, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that Qdrant searches its graph at this size, which it does from 40,000 such embeddings on.
    monkeypatch.setattr(qdrant_edge, "FULL_SCAN_KB", 100)
    if name == "annoy":
        pytest.importorskip("annoy", reason="annoy is not installed: it needs a C++ compiler")
    backend, build_params, least = KINDS[name]
    serve(gallery, backend, build_params)
    low = recall(gallery.at, backend, least)
    assert low < 0.9, low  # there is something to find
    tuned = tune_gallery(gallery.at, GALLERY, None, backend, target_knn_recall=0.95, k=K)
    assert tuned.knn_recall >= 0.95
    assert tuned.latency_p50_ms > 0
    _, index = gallery.at.serving.gallery(GALLERY).index(MODEL, backend)
    assert gallery.at.indexes.tuned(GALLERY, index.manifest.index_id) == tuned == index.tuned
    assert recall(gallery.at, backend) > 0.9
    assert recall(gallery.at, backend) == recall(gallery.at, backend, tuned.params)
    assert recall(gallery.at, backend, least) == low  # what a search says itself wins


def test_a_process_that_serves_already_notices(gallery: LabelledGallery, tmp_path: Path) -> None:
    serve(gallery, "faiss", {"kind": "IVF", "nlist": 64})
    folder = gallery.at.artifacts.file("x", "y").parents[2]
    environment = {
        "LOOKALIKE_STORAGE__FOLDER": f"{folder}/store",
        "LOOKALIKE_STORAGE__CACHE": str(tmp_path / "cache"),
        "LOOKALIKE_SEARCH__POLL_S": "0",
    }
    other = wire(load(environment, tmp_path / "none.toml"))
    try:
        assert other.serving.gallery(GALLERY).index(MODEL, "faiss")[1].tuned is None
        tuned = tune_gallery(gallery.at, GALLERY, MODEL, "faiss", target_knn_recall=0.9, k=K)
        assert other.serving.gallery(GALLERY).index(MODEL, "faiss")[1].tuned == tuned
    finally:
        other.close()


def test_a_target_out_of_reach_changes_nothing_and_names_the_best(gallery: LabelledGallery) -> None:
    serve(gallery, "faiss", {"kind": "HNSW", "m": 2, "ef_construction": 4})
    before = gallery.at.pointers.get(GALLERY)
    with pytest.raises(
        TargetOutOfReach, match=r"cannot be reached with this index; the best is knn recall@10 0\."
    ) as no:
        tune_gallery(gallery.at, GALLERY, None, "faiss", target_knn_recall=1.0, k=K)
    assert 0 < float(str(no.value.details["knn_recall"])) < 1
    assert gallery.at.pointers.get(GALLERY) == before
    _, index = gallery.at.serving.gallery(GALLERY).index(MODEL, "faiss")
    assert gallery.at.indexes.tuned(GALLERY, index.manifest.index_id) is None


def test_what_cannot_be_tuned_is_refused(gallery: LabelledGallery) -> None:
    serve(gallery, "exact", {})
    with pytest.raises(IndexNotFound, match="no annoy index live"):
        tune_gallery(gallery.at, GALLERY, None, "annoy", target_knn_recall=0.9, k=K)
    with pytest.raises(InvalidRequest, match=r"a target of knn recall is in \(0, 1\], not 0"):
        tune_gallery(gallery.at, GALLERY, None, "exact", target_knn_recall=0, k=K)
    assert tune_gallery(gallery.at, GALLERY, None, "exact", target_knn_recall=1.0, k=K).knn_recall == 1
