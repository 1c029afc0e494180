"""Proof 2: what jobs need is away for a while, in the middle of an embedding. They go on, and nothing is lost."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from cluster import FULL, Cluster, cluster, draw
from faulty_proxy import FaultyProxy
from finished_work import Objects, assert_every_image_once, assert_untouched, finished_objects, num_finished
from minio import Minio
from real_servers import ACCESS_KEY, SECRET_KEY, RedisServer, SwiftServer, wait_until

from lookalike.jobs.port import Job

MODEL = "pixels16@1"
IMAGES, PART_IMAGES = (2000, 50) if FULL else (240, 8)
OUTAGE_S = 30.0 if FULL else 5.0
BUCKET = "lookalike-outages"


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that may be killed and emptied."""
    server = RedisServer(tmp_path_factory.mktemp("own-redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, own_redis: RedisServer) -> Iterator[Cluster]:
    """An embedder and an indexer over a folder, with images to ingest."""
    folder = tmp_path_factory.mktemp("local")
    draw(folder / "pictures", IMAGES)
    with cluster(folder, own_redis, more={"LOOKALIKE_QUEUE__PART_IMAGES": str(PART_IMAGES)}) as made:
        yield made


@pytest.fixture
def embedding(local: Cluster, request: pytest.FixtureRequest) -> tuple[Job, Objects]:
    """A job in the middle: some parts are done, others are not."""
    gallery = request.node.name.replace("_", "-")
    local.run("ingest", gallery, source=str(local.folder / "pictures"))
    return _in_the_middle(local, gallery)


def _in_the_middle(at: Cluster, gallery: str, *, parts: int = 3) -> tuple[Job, Objects]:
    job = at.submit("embed", gallery, model=MODEL)
    wait_until(lambda: num_finished(at.workspace, gallery, MODEL) >= parts, what="some parts", timeout_s=120)
    return job, finished_objects(at.workspace, gallery, MODEL)


def _assert_done(at: Cluster, job: Job, before: Objects) -> None:
    assert_untouched(before, finished_objects(at.workspace, job.gallery, MODEL))
    assert_every_image_once(at.workspace, job.gallery, MODEL)


def test_redis_is_killed_and_comes_back(local: Cluster, own_redis: RedisServer, embedding: tuple[Job, Objects]) -> None:
    job, before = embedding
    own_redis.kill()
    assert not local.jobs.get(job.job_id).state.has_ended
    time.sleep(OUTAGE_S)
    own_redis.start()
    local.succeeded(job)
    _assert_done(local, job, before)


def test_redis_is_emptied_and_the_job_goes_on_by_itself(
    local: Cluster, own_redis: RedisServer, embedding: tuple[Job, Objects]
) -> None:
    job, before = embedding
    with redis.Redis.from_url(own_redis.url) as server:
        server.flushall()
    assert not local.jobs.get(job.job_id).state.has_ended
    local.succeeded(job)
    _assert_done(local, job, before)


def test_redis_is_emptied_and_somebody_retries_the_job(
    local: Cluster, own_redis: RedisServer, embedding: tuple[Job, Objects]
) -> None:
    job, before = embedding
    with _stopped(local), redis.Redis.from_url(own_redis.url) as server:  # or they would be faster than we are
        assert not local.jobs.get(job.job_id).state.has_ended
        server.flushall()
        again = local.jobs.retry(job.job_id)
        assert (again.job_id, again.attempt) == (job.job_id, 1)
        assert server.dbsize() > 0
    local.succeeded(job)
    _assert_done(local, job, before)


@contextmanager
def _stopped(at: Cluster) -> Iterator[None]:
    """The workers stand still meanwhile."""
    processes = [worker.process for worker in at.workers if worker.process is not None]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
