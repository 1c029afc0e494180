"""Proof 2: the disk of the artifact cache is full. The job says so, and goes on once there is room."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Worker, cluster, draw
from real_servers import RedisServer

from lookalike.galleries.folder import FolderSource
from lookalike.jobs.port import JobState
from lookalike.pipeline.index_gallery import embed_gallery
from lookalike.pipeline.ingest import ingest

IMAGES, ROOM = 400, "1m"  # of 1.2 MB of embeddings
# A file system of that size, which only this process sees, and which is gone with it.
_SMALL_DISK = 'mount -t tmpfs -o size="$0" none "$1" && shift && exec "$@"'


@pytest.fixture
def full(tmp_path: Path, redis_server: RedisServer) -> Iterator[Cluster]:
    """An embedded gallery, and an indexer whose cache folder is too small for its embeddings."""
    unshare = shutil.which("unshare")
    tried = unshare and subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode
    if tried != 0:
        pytest.skip("a full disk: runs where a process may have file systems of its own (unshare -rm)")
    with cluster(tmp_path, redis_server, roles=()) as made:
        at = made.workspace
        source = FolderSource(draw(tmp_path / "pictures", IMAGES))
        ingest(at.store, at.galleries, at.ledger, "g", source, limits=at.limits)
        embed_gallery(at, "g", "pixels16")
        cache = tmp_path / "small"
        cache.mkdir()
        environment = {**made.environment, "LOOKALIKE_STORAGE__CACHE": str(cache)}
        prefix = (str(unshare), "-rm", "sh", "-c", _SMALL_DISK, ROOM, str(cache))
        made.workers.append(Worker("indexer", environment, tmp_path / "full.log", prefix=prefix))
        made.revive()
        yield made


def test_a_full_cache_fails_the_job_until_there_is_room(full: Cluster) -> None:
    job = full.ended(full.submit("build", "g", model="pixels16", backends=["faiss"]))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, "storage.cache" in job.error.message) == ("disk_full", True)
    assert list(full.workspace.indexes.list("g")) == []

    # Another job, which needs no room, is done by the same process: it is none the worse.
    full.run("embed", "g", model="pixels16")
    [worker] = full.workers
    assert worker.is_alive
    worker.kill()
    worker.prefix = ()
    worker.start()
    full.jobs.retry(job.job_id)
    full.succeeded(job)
    [built] = full.workspace.indexes.list("g")
    assert built.num_embeddings == IMAGES
