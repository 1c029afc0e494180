"""Proof 2: what jobs need is away for a while, in the middle of an embedding. They go on, and nothing is lost."""

import time
from collections.abc import Callable, Iterator

import pytest
import redis
from cluster import FULL, ROLES, Cluster, cluster, draw, in_bucket
from faulty_proxy import FaultyProxy
from finished_work import Objects, assert_every_image_once, assert_untouched, finished_objects, num_finished
from paused_worker import standing_still
from real_servers import RedisServer, SwiftServer, wait_until

from lookalike.galleries.folder import FolderSource
from lookalike.jobs.port import Job
from lookalike.pipeline.ingest import ingest

MODEL = "pixels16@1"
IMAGES, PART_IMAGES = (2000, 50) if FULL else (240, 8)
OUTAGE_S = 30.0 if FULL else 5.0
S3_IMAGES, S3_PART_IMAGES, S3_TIMEOUT_S = (1000, 25, 10) if FULL else (21, 3, 3)
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
    _ingest(local, gallery)
    return _in_the_middle(local, gallery)


def _ingest(at: Cluster, gallery: str) -> None:
    done, source = at.workspace, FolderSource(at.folder / "pictures")
    ingest(done.store, done.galleries, done.ledger, gallery, source, limits=done.limits)


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
    with standing_still(local), redis.Redis.from_url(own_redis.url) as server:  # or they would be faster than we are
        assert not local.jobs.get(job.job_id).state.has_ended
        server.flushall()
        again = local.jobs.retry(job.job_id)
        assert (again.job_id, again.attempt) == (job.job_id, 1)
        assert server.dbsize() > 0
    local.succeeded(job)
    _assert_done(local, job, before)


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    server = SwiftServer(tmp_path_factory.mktemp("own-swift"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def proxy(swift: SwiftServer) -> Iterator[FaultyProxy]:
    made = FaultyProxy(swift.port)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def remote(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, swift: SwiftServer, proxy: FaultyProxy
) -> Iterator[Cluster]:
    """Workers whose S3 store is behind the proxy; we ourselves look at it without.

    With another Redis than ``local``, whose workers know nothing of these jobs and would drop their messages.
    """
    folder = tmp_path_factory.mktemp("remote")
    draw(folder / "pictures", S3_IMAGES)
    storage = {
        **in_bucket(swift, BUCKET),
        # Shorter than the outages: a unit meets more of them than the store's own tries can bridge.
        "LOOKALIKE_STORAGE__S3_TIMEOUT_S": str(S3_TIMEOUT_S),
        "LOOKALIKE_QUEUE__PART_IMAGES": str(S3_PART_IMAGES),
        "LOOKALIKE_QUEUE__LOOK_EVERY_S": "10",  # each look is some requests
    }
    with cluster(folder, redis_server, roles=(), more=storage) as made:
        made.environment["LOOKALIKE_STORAGE__S3_ENDPOINT"] = f"http://127.0.0.1:{proxy.port}"
        for role in ROLES:
            made.add(role)
        yield made


FAULTS: dict[str, Callable[[FaultyProxy], None]] = {
    "refuses": FaultyProxy.refuse,
    "fails half of its calls": lambda proxy: proxy.fail_share(0.5),
    "does not answer": FaultyProxy.black_hole,
    "is slow": lambda proxy: proxy.delay(0.25),
}


def test_the_object_store_fails_in_every_way(remote: Cluster, proxy: FaultyProxy) -> None:
    """One after another, each while parts are missing, and for longer than the tries of a request."""
    at = remote.workspace
    _ingest(remote, "g")
    job, before = _in_the_middle(remote, "g", parts=1)
    for number, (name, fail) in enumerate(FAULTS.items(), start=1):
        wait_until(lambda: num_finished(at, "g", MODEL) >= number, what="another part", timeout_s=600)  # noqa: B023
        fail(proxy)
        time.sleep(OUTAGE_S)
        proxy.pass_all()
        assert not remote.jobs.get(job.job_id).state.has_ended, f"nothing was left to do when it {name}"
    assert proxy.num_faults > 0
    remote.succeeded(job, timeout_s=1200)
    _assert_done(remote, job, before)
