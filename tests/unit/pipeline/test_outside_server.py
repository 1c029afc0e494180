"""What follows on a Qdrant server (a test double) when something goes live, is saved, or becomes garbage."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.qdrant_rest import QdrantDouble
from labelled_gallery import GALLERY, NO_CHECKS, LabelledGallery, random_gallery

from lookalike.bootstrap import wire
from lookalike.catalog.embedding_sets import EmbeddingSet
from lookalike.catalog.indexes import IndexManifest
from lookalike.errors import CapabilityMissing, DependencyUnavailable, IndexNotFound
from lookalike.jobs.port import JobRequest
from lookalike.pipeline.index_gallery import build_indexes, promote_indexes, roll_back_gallery
from lookalike.pipeline.job_run import run_job
from lookalike.pipeline.outside import publish_live, retire_gallery, retire_index, snapshot_live
from lookalike.pipeline.progress import silent
from lookalike.settings import load

FAMILY = f"lookalike-{GALLERY}"
IMAGES, EMBEDDINGS = random_gallery(30)


class OutsideGallery(LabelledGallery):
    """The gallery ``labelled`` in a workspace whose Qdrant is the server at ``url``."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.at.close()
        environment = {
            "LOOKALIKE_STORAGE__FOLDER": f"{folder}/store",
            "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache",
            "LOOKALIKE_QDRANT__URL": url,
        }
        self.at = wire(load(environment, folder / "none.toml"))
        self.put(IMAGES)

    def build(self, made: EmbeddingSet, **params: object) -> IndexManifest:
        [manifest] = build_indexes(self.at, GALLERY, made, ["qdrant"], params=params)
        return manifest

    def place(self, manifest: IndexManifest) -> str:
        backend = self.at.backend("qdrant")
        return str(backend.place(self.at.artifacts.index_folder(manifest)))  # type: ignore[attr-defined]


@pytest.fixture
def double() -> Iterator[QdrantDouble]:
    with QdrantDouble() as started:
        yield started


@pytest.fixture
def gallery(double: QdrantDouble, tmp_path: Path) -> Iterator[OutsideGallery]:
    made = OutsideGallery(tmp_path, double.url)
    yield made
    made.at.close()


def test_what_is_live_has_its_names_also_after_a_rollback(gallery: OutsideGallery, double: QdrantDouble) -> None:
    one, two = (gallery.embed(f"{name}@1", EMBEDDINGS) for name in ("one", "two"))
    places = []
    for made, params in ((one, {}), (one, {"m": 8}), (two, {"m": 24})):
        manifest = gallery.build(made, **params)
        promote_indexes(gallery.at, GALLERY, made, [manifest], checks=NO_CHECKS)
        places.append(gallery.place(manifest))
    assert len(set(places)) == 3
    assert double.points.aliases == {FAMILY: places[2], f"{FAMILY}.one@1": places[1], f"{FAMILY}.two@1": places[2]}
    roll_back_gallery(gallery.at, GALLERY)
    assert double.points.aliases == {FAMILY: places[1], f"{FAMILY}.one@1": places[1]}
    roll_back_gallery(gallery.at, GALLERY)
    assert double.points.aliases == {FAMILY: places[0], f"{FAMILY}.one@1": places[0]}
    roll_back_gallery(gallery.at, GALLERY)
    assert double.points.aliases == {}


def test_a_failure_to_name_is_logged_and_what_is_live_stays_live(
    gallery: OutsideGallery, double: QdrantDouble, caplog: pytest.LogCaptureFixture
) -> None:
    made = gallery.embed("one@1", EMBEDDINGS)
    manifest = gallery.build(made)
    double.fault = lambda method, path: 503 if "aliases" in path else None
    with caplog.at_level(logging.WARNING):
        live = promote_indexes(gallery.at, GALLERY, made, [manifest], checks=NO_CHECKS)
    assert live.models["one@1"].indexes == {"qdrant": manifest.index_id}
    assert "answers 503" in caplog.text
    assert double.points.aliases == {}
    double.fault = lambda method, path: None
    publish_live(gallery.at, GALLERY)
    assert double.points.aliases.keys() == {FAMILY, f"{FAMILY}.one@1"}


def test_of_two_at_once_the_last_names_what_is_live(gallery: OutsideGallery, double: QdrantDouble) -> None:
    """Something else goes live while the first is about to name what was."""
    made = gallery.embed("one@1", EMBEDDINGS)
    first, second = gallery.build(made), gallery.build(made, m=8)
    promote_indexes(gallery.at, GALLERY, made, [first], checks=NO_CHECKS)
    double.points.aliases.clear()
    looks = 0

    def moves(method: str, path: str) -> None:
        nonlocal looks
        looks += path == "/aliases"
        if path == "/aliases" and looks == 1:
            entry = gallery.at.pointers.get(GALLERY).models["one@1"]
            entry = entry.model_copy(update={"indexes": {"qdrant": second.index_id}})
            version_id = gallery.at.galleries.get(GALLERY).version_id
            gallery.at.pointers.promote(GALLERY, version_id=lambda: version_id, entry=entry)

    double.fault = moves
    publish_live(gallery.at, GALLERY)
    assert looks == 2
    assert set(double.points.aliases.values()) == {gallery.place(second)}


def test_a_promotion_waits_for_green_and_fails_where_the_server_is_down(
    gallery: OutsideGallery, double: QdrantDouble
) -> None:
    made = gallery.embed("one@1", EMBEDDINGS)
    manifest = gallery.build(made)
    [collection] = double.points.collections.values()
    collection.green_at = float("inf")
    looks = 0

    def becomes_green(method: str, path: str) -> None:
        nonlocal looks
        if method == "GET" and path.count("/") == 2:
            looks += 1
            if looks == 3:
                collection.green_at = 0.0

    double.fault = becomes_green
    double.stop()
    with pytest.raises(DependencyUnavailable):
        promote_indexes(gallery.at, GALLERY, made, [manifest], checks=NO_CHECKS)
    assert gallery.at.pointers.get(GALLERY) is None
    double.start()
    promote_indexes(gallery.at, GALLERY, made, [manifest], checks=NO_CHECKS)
    assert looks >= 3


def test_garbage_goes_but_not_what_another_index_shares(gallery: OutsideGallery, double: QdrantDouble) -> None:
    """The same images under another version of the gallery: another index, in the same collection."""
    made = gallery.embed("one@1", EMBEDDINGS)
    first, other = gallery.build(made), gallery.build(made, m=8)
    gallery.put({"more": next(iter(IMAGES.values()))})
    again = made.model_copy(update={"version_id": gallery.at.galleries.get(GALLERY).version_id})
    shared = gallery.build(again)
    assert shared.index_id != first.index_id
    assert gallery.place(shared) == gallery.place(first) != gallery.place(other)
    retire_index(gallery.at, first)
    assert double.points.collections.keys() == {gallery.place(first), gallery.place(other)}
    retire_index(gallery.at, other)
    retire_index(gallery.at, other)
    assert double.points.collections.keys() == {gallery.place(first)}
    gallery.at.store.delete(f"galleries/{GALLERY}/indexes/{first.index_id}/index.json")
    retire_index(gallery.at, shared)
    assert double.points.collections == {}


def test_an_index_of_files_is_nothing_to_retire(gallery: OutsideGallery, double: QdrantDouble) -> None:
    made = gallery.embed("one@1", EMBEDDINGS)
    [manifest] = build_indexes(gallery.at, GALLERY, made, ["faiss"])
    double.stop()
    retire_index(gallery.at, manifest)
    qdrant = manifest.model_copy(update={"backend": "qdrant", "build_params": {"location": "process"}})
    retire_index(gallery.at, qdrant)


def test_of_a_gallery_that_goes_nothing_stays(gallery: OutsideGallery, double: QdrantDouble) -> None:
    double.points.create("theirs", {"vectors": {"size": 8, "distance": "Dot"}})
    made = gallery.embed("one@1", EMBEDDINGS)
    promote_indexes(
        gallery.at,
        GALLERY,
        made,
        [
            gallery.build(made),
        ],
        checks=NO_CHECKS,
    )
    gallery.build(made, m=8)
    assert len(double.points.collections) == 3
    retire_gallery(gallery.at, GALLERY)
    assert list(double.points.collections) == ["theirs"]
    assert double.points.aliases == {}
    double.stop()
    retire_gallery(gallery.at, GALLERY)  # logged


def test_a_snapshot_job_saves_what_is_live(gallery: OutsideGallery, double: QdrantDouble) -> None:
    made = gallery.embed("one@1", EMBEDDINGS)
    with pytest.raises(IndexNotFound):
        snapshot_live(gallery.at, GALLERY)
    manifest = gallery.build(made)
    promote_indexes(gallery.at, GALLERY, made, [manifest], checks=NO_CHECKS)
    result = run_job(gallery.at, JobRequest(kind="snapshot", gallery=GALLERY, params={}), silent)
    [snapshot] = double.points.collections[gallery.place(manifest)].snapshots
    assert result == {"snapshots": {"one@1": {"index": manifest.index_id, "file": snapshot["name"]}}}
    double.stop()
    with pytest.raises(DependencyUnavailable):
        snapshot_live(gallery.at, GALLERY)


def test_without_a_server_there_is_nothing_to_save(tmp_path: Path) -> None:
    gallery = LabelledGallery(tmp_path)
    with pytest.raises(CapabilityMissing, match=r"qdrant\.url"):
        snapshot_live(gallery.at, GALLERY)
    publish_live(gallery.at, GALLERY)
    gallery.at.close()
