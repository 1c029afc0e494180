"""Proof 2: an image that kills every process that decodes it costs nobody else's embedding."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import FULL, Cluster, cluster, draw
from finished_work import assert_every_image_once
from real_servers import RedisServer, wait_until

from lookalike.jobs.ledger import embed_stage
from lookalike.jobs.port import JobState

MODEL = "pixels16@1"
IMAGES, PART_IMAGES = (2000, 100) if FULL else (60, 20)
DEADLY = "class2/000027.jpg"
POISON = Path(__file__).parent / "poison"


@pytest.fixture
def poisoned(tmp_path: Path, redis_server: RedisServer) -> Iterator[Cluster]:
    """Workers, and all children of theirs, that die of one image."""
    draw(tmp_path / "pictures", IMAGES)
    digest = hashlib.sha256((tmp_path / "pictures" / DEADLY).read_bytes()).hexdigest()
    more = {
        "LOOKALIKE_QUEUE__PART_IMAGES": str(PART_IMAGES),
        "PYTHONPATH": str(POISON),
        "POISON_SHA256": digest,
    }
    with cluster(tmp_path, redis_server, more=more) as made:
        yield made


def test_a_deadly_image_is_left_out_and_named(poisoned: Cluster) -> None:
    poisoned.run("ingest", "g", source=str(poisoned.folder / "pictures"))
    job = poisoned.submit("embed", "g", model=MODEL)

    def has_ended() -> bool:
        poisoned.revive()  # as whoever runs workers does
        return poisoned.jobs.get(job.job_id).state.has_ended

    wait_until(has_ended, what="the end of the job", timeout_s=240)
    done = poisoned.jobs.get(job.job_id)
    assert done.state is JobState.SUCCEEDED, f"{done}\n{poisoned.logs()}"
    embedder, indexer = poisoned.workers
    assert embedder.starts >= 3, "nobody died of it"
    assert indexer.starts == 1, "an ingest needs no pixels"

    assert_every_image_once(poisoned.workspace, "g", MODEL, but=frozenset({DEADLY}))
    digest = poisoned.workspace.models.get(MODEL).embedding_digest
    [failure] = poisoned.workspace.ledger.entries("g", embed_stage(digest))
    assert (failure.key, failure.code) == (DEADLY, "deadly_image")
    assert done.result is not None
    assert (done.result["embedded"], done.result["failed"]) == (IMAGES - 1, 1)
