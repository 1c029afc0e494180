"""Proof 1: workers are killed with -9 at random moments, and nothing is lost, doubled or left over."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cluster import FULL, Cluster, Killer, cluster, draw, in_bucket
from finished_work import assert_every_image_once, assert_untouched, finished_objects, num_finished
from numpy.typing import NDArray
from real_servers import RedisServer, SwiftServer, wait_until

from lookalike.bootstrap import wire
from lookalike.catalog.embedding_sets import EmbeddingSet
from lookalike.catalog.indexes import IndexManifest
from lookalike.galleries.open import open_source
from lookalike.indexes.params import complete
from lookalike.jobs.port import JobState
from lookalike.jobs.redis_turns import RedisTurns
from lookalike.pipeline.collect import collect
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.retention import Retention
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load

IMAGES, KILLS = (2000, 50) if FULL else (192, 6)
S3_IMAGES, S3_KILLS = (2000, 50) if FULL else (96, 3)
BACKENDS = ["exact", "faiss", "annoy", "qdrant"]


@pytest.fixture
def killed(tmp_path: Path, redis_server: RedisServer) -> Iterator[Cluster]:
    with cluster(tmp_path, redis_server) as made:
        yield made


@pytest.fixture
def killed_on_s3(tmp_path: Path, redis_server: RedisServer, swift_server: SwiftServer) -> Iterator[Cluster]:
    with cluster(tmp_path, redis_server, more=in_bucket(swift_server, "lookalike-kills")) as made:
        yield made


def test_killed_workers_lose_and_double_nothing(killed: Cluster, tmp_path: Path) -> None:
    _kill_and_look(killed, tmp_path, IMAGES, KILLS)


def test_killed_workers_lose_and_double_nothing_on_s3(killed_on_s3: Cluster, tmp_path: Path) -> None:
    _kill_and_look(killed_on_s3, tmp_path, S3_IMAGES, S3_KILLS)


def _kill_and_look(killed: Cluster, tmp_path: Path, images: int, kills: int) -> None:
    """Kills at least so many workers over at least two re-embeddings of so many images, and looks at what is left."""
    pictures = draw(tmp_path / "pictures", images)
    killer = Killer(killed)
    ingested = killer.until_ended(killed.submit("ingest", "g", source=str(pictures)))
    assert ingested.state is JobState.SUCCEEDED, f"{ingested}\n{killed.logs()}"
    models = ["color_edges@1", "pixels16@1"]
    rounds = 0
    while rounds < 2 or killer.kills < kills:
        model = models[rounds % 2]
        if rounds >= 2:
            # New bytes under every key: everything is to be embedded again.
            draw(pictures, images, side=64 + rounds)
            assert killer.until_ended(killed.submit("ingest", "g", source=str(pictures))).state is JobState.SUCCEEDED
        job = killed.submit("reembed", "g", model=model, force=True, backends=BACKENDS)
        done = killer.until_ended(job)
        assert done.state is JobState.SUCCEEDED, f"{done}\n{killed.logs()}"
        rounds += 1
        print(f"{model}: {killer.kills} kills so far")  # noqa: T201 seen with -s
    assert killer.kills >= kills
    print(f"{killer.kills} kills over {rounds} re-embeddings of {images} images")  # noqa: T201 seen with -s
    killed.revive()
    killed.run("evaluate", "g", num_queries=20)

    live = killed.workspace.pointers.get("g")
    assert live is not None
    assert live.default_model == models[(rounds - 1) % 2]
    entry = live.models[live.default_model]
    final = killed.workspace.sets.get("g", entry.newest)
    assert_every_image_once(killed.workspace, "g", live.default_model)
    _assert_same_as_without_faults(killed.workspace, final, entry.indexes, tmp_path / "undisturbed", pictures)
    killed.stop_workers()
    _assert_no_orphans(killed.workspace)


def test_a_worker_that_is_told_to_stop_finishes_its_part_and_leaves_the_others(killed: Cluster, tmp_path: Path) -> None:
    model = "color_edges@1"
    killed.run("ingest", "g", source=str(draw(tmp_path / "pictures", 320)))
    job = killed.submit("embed", "g", model=model)
    wait_until(lambda: num_finished(killed.workspace, "g", model) >= 1, what="a part", timeout_s=120)
    embedder = killed.workers[0]
    process = embedder.process
    assert process is not None
    embedder.kill(signal.SIGTERM)
    assert process.returncode in (0, 143)  # 128 + SIGTERM
    at_work = RedisTurns(killed.redis.url)
    assert not at_work.known(f"turn:{job.job_id}:1:part-0-{number}" for number in range(5))
    at_work.close()
    before = finished_objects(killed.workspace, "g", model)
    embedder.start()
    killed.succeeded(job)
    assert_untouched(before, finished_objects(killed.workspace, "g", model))
    assert_every_image_once(killed.workspace, "g", model)


def _assert_same_as_without_faults(
    at: Workspace, final: EmbeddingSet, indexes: dict[str, str], folder: Path, pictures: Path
) -> None:
    """One process that nobody disturbs embeds and builds the same; both have the same embeddings and files."""
    alone = wire(
        load({"LOOKALIKE_STORAGE__FOLDER": str(folder / "store"), "LOOKALIKE_STORAGE__CACHE": str(folder / "cache")})
    )
    try:
        matrix = at.artifacts.matrix(final)
        order = np.argsort(matrix.items_N48.view("S48").ravel())
        import_model(alone, f"baseline:{final.model.partition('@')[0]}")
        source = open_source(str(pictures), images_root=None, fetcher=alone.fetch)
        ingest(alone.store, alone.galleries, alone.ledger, "g", source, limits=alone.limits)
        embed_gallery(alone, "g", final.model)
        theirs = alone.artifacts.matrix(newest_set(alone, "g", final.model))
        their_order = np.argsort(theirs.items_N48.view("S48").ravel())
        assert (matrix.items_N48[order] == theirs.items_N48[their_order]).all()
        np.testing.assert_allclose(matrix.embeddings_ND[order], theirs.embeddings_ND[their_order], atol=2e-6)

        # The same set, built again elsewhere: byte for byte the same index, where its library is deterministic, and
        # the same hits where it is not: Annoy's threads share one generator, Qdrant's segments have names of their own.
        for key in [info.key for info in at.store.list("galleries/g/")]:
            if "/indexes/" not in key and "/images/" not in key:
                alone.store.put(key, at.store.get(key))
        for backend, index_id in indexes.items():
            ours = at.indexes.get("g", index_id)
            built_from = at.sets.get("g", ours.set_id)
            again = build_indexes(alone, "g", built_from, [backend], params=ours.build_params)[0]
            assert again.index_id == ours.index_id
            assert again.num_embeddings == ours.num_embeddings == len(matrix.items_N48)
            assert again.parity == ours.parity
            if backend in ("exact", "faiss"):
                assert [file.sha256 for file in again.files] == [file.sha256 for file in ours.files]
            else:
                assert _shared_hits(_hits(at, ours), _hits(alone, again)) >= 0.98
    finally:
        alone.close()


def _hits(at: Workspace, manifest: IndexManifest) -> NDArray[np.int64]:
    """The rows nearest to each of a hundred images, int64 ``[100, 10]``."""
    matrix = at.artifacts.matrix(at.sets.get("g", manifest.set_id))
    backend = at.backend(manifest.backend)
    index = backend.open(at.artifacts.index_folder(manifest), matrix.embeddings_ND, matrix.ids_N16)
    try:
        params = complete(index.search_params, {})
        return index.search(np.ascontiguousarray(matrix.embeddings_ND[:100]), 10, params=params).rows_QK
    finally:
        index.close()


def _shared_hits(ours_QK: NDArray[np.int64], theirs_QK: NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(ours, theirs).mean() for ours, theirs in zip(ours_QK, theirs_QK, strict=True)]))


def _assert_no_orphans(at: Workspace) -> None:
    collect(at, "g", Retention(keep_s=0, keep_former=5))
    again = collect(at, "g", Retention(keep_s=0, keep_former=5))
    assert not again.deleted
