"""Proof 5: jobs that get in each other's way, are cancelled at every stage, or are for a later version."""

import io
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cluster import FULL, Cluster, Worker, cluster, draw
from finished_work import assert_every_image_once, assert_untouched, finished_objects, num_finished
from paused_worker import Pause, advance, advancing, standing_still
from PIL import Image
from real_servers import RedisServer, wait_until

from lookalike.catalog import keys
from lookalike.galleries.folder import FolderSource
from lookalike.jobs.celery_queue import CeleryBroker, make_app
from lookalike.jobs.dispatch import Message
from lookalike.jobs.formats import FORMAT
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.port import Job, JobState
from lookalike.jobs.queued import OWNER
from lookalike.jobs.records import JobDocument, JobRecords
from lookalike.jobs.steps import ADVANCE, Queue, Unit
from lookalike.pipeline.change import NewImage, add_images
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.search import search
from lookalike.types.images import Labels
from lookalike.types.search import SearchRequest, SearchResponse

OLD, NEW = "color_edges@1", "pixels16@1"
IMAGES, PART_IMAGES = (2000, 8) if FULL else (96, 4)
BACKENDS = ["exact", "faiss"]
CANCELLED_WITHIN_S = 20.0  # of which a loaded machine takes most
NEWER = Path(__file__).parent / "newer"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("conflicts")
    draw(folder / "pictures", IMAGES)
    with cluster(folder, redis_server, more={"LOOKALIKE_QUEUE__PART_IMAGES": str(PART_IMAGES)}) as made:
        yield made


def _ingested(at: Cluster, gallery: str) -> str:
    done, source = at.workspace, FolderSource(at.folder / "pictures")
    ingest(done.store, done.galleries, done.ledger, gallery, source, limits=done.limits)
    return gallery


@pytest.fixture
def live(at: Cluster) -> str:
    """A gallery of the test's own that is searched under the old model."""
    gallery = _ingested(at, f"live-{uuid.uuid4().hex[:8]}")
    embed_gallery(at.workspace, gallery, OLD)
    embedding_set = newest_set(at.workspace, gallery, OLD)
    manifests = build_indexes(at.workspace, gallery, embedding_set, BACKENDS)
    promote_indexes(at.workspace, gallery, embedding_set, manifests)
    return gallery


def _answer(at: Cluster, gallery: str, image_id: str | None = None) -> SearchResponse:
    """What a search by an image of the gallery says: by any, where none is named."""
    served = at.workspace.serving.refresh(gallery)
    if image_id is None:
        version = at.workspace.galleries.version(gallery)
        image_id = next(iter(at.workspace.galleries.records(version))).image_id
    return search(served, SearchRequest(image_id=image_id, backend="faiss", k=3), at.workspace.query)


def _jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 255 - shade, 40)).save(buffer, "JPEG")
    return buffer.getvalue()


def _add(at: Cluster, gallery: str, key: str) -> str:
    """Uploads one image, as the gateway does; its identifier."""
    [outcome] = add_images(at.workspace, gallery, [NewImage(key, _jpeg(len(key) * 7 % 255), Labels(), {})])
    assert outcome.record is not None
    return outcome.record.image_id


def test_two_models_at_once_come_one_after_the_other(at: Cluster) -> None:
    gallery = _ingested(at, "two-models")
    jobs = [at.submit("embed", gallery, model=model) for model in (NEW, OLD)]
    first, second = [at.succeeded(job) for job in jobs]
    assert (first.finished_at or "") <= (second.started_at or "")
    for model in (NEW, OLD):
        assert_every_image_once(at.workspace, gallery, model)


def test_the_same_job_twice_does_nothing_twice(at: Cluster) -> None:
    gallery = _ingested(at, "twice")
    jobs = [at.submit("embed", gallery, model=NEW) for _ in range(2)]
    first = at.succeeded(jobs[0])
    before = finished_objects(at.workspace, gallery, NEW)
    second = at.succeeded(jobs[1])
    assert first.result is not None
    assert second.result is not None
    assert (first.result["embedded"], first.result["reused"]) == (IMAGES, 0)
    assert (second.result["embedded"], second.result["reused"]) == (0, IMAGES)
    assert finished_objects(at.workspace, gallery, NEW) == before
    assert_every_image_once(at.workspace, gallery, NEW)


def test_an_ingest_and_a_reembedding_at_once(at: Cluster, live: str) -> None:
    more = draw(at.folder / "more", 8, first=IMAGES)
    first = at.submit("ingest", live, source=str(more))
    reembed = at.submit("reembed", live, model=NEW, backends=BACKENDS, force=True)
    assert (at.succeeded(first).finished_at or "") <= (at.succeeded(reembed).started_at or "")
    assert at.workspace.galleries.version(live).num_images == IMAGES + 8
    assert_every_image_once(at.workspace, live, NEW)
    assert _answer(at, live).model == NEW


def test_an_image_that_is_added_while_a_long_reembedding_runs_is_found_at_once(at: Cluster, live: str) -> None:
    reembed = at.submit("reembed", live, model=NEW, backends=BACKENDS, force=True)
    at.reached(reembed, "embed", done=2 * PART_IMAGES)
    image_id = _add(at, live, "added.jpg")
    at.run("add", live)
    assert not at.jobs.get(reembed.job_id).state.has_ended, "the re-embedding was too short for this test"
    answer = _answer(at, live, image_id)
    assert (answer.model, answer.hits[0].image_id) == (OLD, image_id)
    at.succeeded(reembed)
    wait_until(lambda: not list(Lanes(at.workspace.store).waiting(live, "add")), what="what follows from it")
    answer = _answer(at, live, image_id)
    assert (answer.model, answer.hits[0].image_id) == (NEW, image_id)


def _cancelled(at: Cluster, job: Job) -> None:
    """It is, soon; what was live is, and nothing is in the way of the next job."""
    asked = time.monotonic()
    at.jobs.cancel(job.job_id)
    _soon_cancelled(at, job, asked)


def _soon_cancelled(at: Cluster, job: Job, asked: float) -> None:
    assert at.ended(job).state is JobState.CANCELLED
    assert time.monotonic() - asked < CANCELLED_WITHIN_S
    assert _answer(at, job.gallery).model == OLD


def _retried(at: Cluster, job: Job) -> Job:
    """The job goes on after what is done, and what it makes is live then."""
    before = finished_objects(at.workspace, job.gallery, NEW) if num_finished(at.workspace, job.gallery, NEW) else None
    assert at.jobs.retry(job.job_id).attempt == 2
    done = at.succeeded(job)
    if before is not None:
        assert_untouched(before, finished_objects(at.workspace, job.gallery, NEW))
    assert_every_image_once(at.workspace, job.gallery, NEW)
    assert _answer(at, job.gallery).model == NEW
    return done


def _reembedding(at: Cluster, gallery: str) -> Job:
    return at.submit("reembed", gallery, model=NEW, backends=BACKENDS, force=True)


def test_cancelled_while_it_waits_for_its_lane(at: Cluster, live: str) -> None:
    with standing_still(at):
        before = at.submit("embed", live, model=OLD)
        job = _reembedding(at, live)
        at.jobs.cancel(job.job_id)
        assert at.jobs.get(job.job_id).state is JobState.CANCELLED
    at.succeeded(before)
    assert _answer(at, live).model == OLD
    _retried(at, job)


def test_cancelled_while_it_is_planned_and_while_it_embeds(at: Cluster, live: str) -> None:
    with standing_still(at):
        job = _reembedding(at, live)
        with advancing(at, job):
            assert at.jobs.get(job.job_id).state is JobState.RUNNING
            at.jobs.cancel(job.job_id)
        assert at.jobs.get(job.job_id).state is JobState.CANCELLED
    assert num_finished(at.workspace, live, NEW) == 0
    assert at.jobs.retry(job.job_id).attempt == 2
    at.reached(job, "embed", done=2 * PART_IMAGES)
    _cancelled(at, job)
    before = finished_objects(at.workspace, live, NEW)
    assert at.jobs.retry(job.job_id).attempt == 3
    at.succeeded(job)
    assert_untouched(before, finished_objects(at.workspace, live, NEW))
    assert_every_image_once(at.workspace, live, NEW)
    assert _answer(at, live).model == NEW


def test_cancelled_while_it_builds(at: Cluster, live: str) -> None:
    at.run("embed", live, model=NEW)
    with standing_still(at):
        job = _reembedding(at, live)
        gone_on = Pause()
        gone_on.go_on.set()
        advance(at, job, gone_on)
        now = at.jobs.get(job.job_id)
        assert (now.state, now.stage, now.done, now.total) == (JobState.RUNNING, "build", 0, len(BACKENDS))
        asked = time.monotonic()
        at.jobs.cancel(job.job_id)
    _soon_cancelled(at, job, asked)
    _retried(at, job)


def test_cancelled_while_it_is_compared_with_what_is_live(at: Cluster, live: str) -> None:
    at.run("embed", live, model=NEW)
    at.run("build", live, model=NEW, backends=BACKENDS)
    with standing_still(at):
        job = _reembedding(at, live)
        with advancing(at, job, until="compare"):
            at.jobs.cancel(job.job_id)
        assert at.jobs.get(job.job_id).state is JobState.CANCELLED
    assert _answer(at, live).model == OLD
    done = _retried(at, job)
    assert done.result is not None
    assert done.result["embedded"] == 0


def test_a_worker_of_an_older_version_leaves_what_is_for_a_newer_one(at: Cluster) -> None:
    """Whoever reads the newer document cannot do the job, does not harm it, and goes on with others."""
    gallery, url = "newer", at.redis.url
    job_id = _submitted_by_a_newer_process(at, gallery)
    broker = CeleryBroker(make_app(url, visibility_s=60))
    broker.send(Message(job_id, 1, Unit(ADVANCE, Queue.INDEX), FORMAT + 1))  # and one that knows no better
    broker.send(Message(job_id, 1, Unit(ADVANCE, Queue.INDEX), FORMAT))
    broker.close()
    indexer = next(worker for worker in at.workers if worker.role == "indexer")
    wait_until(lambda: "is for a newer worker" in indexer.log.read_text(), what="the old worker looks at it")
    at.run("ingest", "others", source=str(at.folder / "pictures"))
    assert _state(at, job_id) == "queued"

    newer = Worker("indexer", {**at.environment, "PYTHONPATH": str(NEWER)}, at.folder / "newer.log")
    newer.start()
    try:
        wait_until(lambda: _state(at, job_id) == "succeeded", what="the newer worker does it", timeout_s=120)
    finally:
        newer.kill()
    assert at.workspace.galleries.version(gallery).num_images == IMAGES


def _submitted_by_a_newer_process(at: Cluster, gallery: str) -> str:
    """A job in the store that says that it is of the next format."""
    now = datetime.now(UTC)
    params = {"source": str(at.folder / "pictures")}
    job = Job(job_id=str(uuid.uuid4()), kind="ingest", gallery=gallery, params=params, created_at=now.isoformat())
    entry = Lanes(at.workspace.store).enter(job, "main", now)
    document = JobDocument(owner=OWNER, job=job, entry=entry).model_copy(update={"format": FORMAT + 1})
    JobRecords(at.workspace.store).put(document)
    return job.job_id


def _state(at: Cluster, job_id: str) -> str:
    """Read past this version's check of the format."""
    state: str = json.loads(at.workspace.store.get(keys.job(job_id)))["job"]["state"]
    return state
