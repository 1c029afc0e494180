"""A gateway whose Redis is killed: it searches, takes jobs, says what is away, and hangs at nothing."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from faulty_proxy import FaultyProxy
from gateway_calls import SEARCH, first_image
from gateway_store import settings_of
from real_servers import RedisServer, wait_until

from lookalike.bootstrap import queue_depths, wire, wire_jobs
from services.gateway.app import create_app

LONGEST_S = 20.0  # of a request: it takes milliseconds, and what would hang does so for much longer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(tmp_path: Path, prepared: Path, redis: RedisServer) -> Iterator[TestClient]:
    shutil.copytree(prepared / "store", tmp_path / "store")
    settings = settings_of(tmp_path, LOOKALIKE_QUEUE__URL=redis.url)
    workspace = wire(settings)
    with queue_depths(settings) as depths:
        app = create_app(workspace, wire_jobs(settings, workspace), queue_depths=depths)
        with TestClient(app) as made:
            yield made
    workspace.close()


def test_without_redis_searches_go_on_and_jobs_wait_in_the_store(client: TestClient, redis: RedisServer) -> None:
    image_id = first_image(client)["image_id"]
    assert client.get("/readyz").json()["queue"] == "ok"
    evaluate = {"kind": "evaluate", "gallery": "colors", "params": {"k": 3}}
    assert client.post("/v1/jobs", json=evaluate).status_code == 202
    assert 'lookalike_queue_depth{queue="evaluate"} 1.0' in client.get("/metrics").text

    redis.kill()
    started = time.monotonic()
    wait_until(lambda: client.get("/readyz").json()["status"] != "ready", what="it is noticed")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["queue"].startswith("Redis does not answer")
    assert client.post(SEARCH, json={"image_id": image_id}).status_code == 200
    answer = client.post("/v1/jobs", json=evaluate)
    assert answer.status_code == 202
    job = client.get(f"/v1/jobs/{answer.json()['job_id']}").json()
    assert (job["state"], job["error"]) == ("queued", None)
    assert "lookalike_queue_depth{" not in client.get("/metrics").text
    cancelled = client.post(f"/v1/jobs/{job['job_id']}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert time.monotonic() - started < 4 * LONGEST_S

    redis.start()
    wait_until(lambda: client.get("/readyz").json()["queue"] == "ok", what="its return is noticed")


def test_a_redis_that_is_silent_holds_nobody_up_for_long(tmp_path: Path, prepared: Path, redis: RedisServer) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    proxy = FaultyProxy(redis.port)
    proxy.start()
    settings = settings_of(tmp_path, LOOKALIKE_QUEUE__URL=f"redis://127.0.0.1:{proxy.port}/0")
    workspace = wire(settings)
    with queue_depths(settings) as depths:
        app = create_app(workspace, wire_jobs(settings, workspace), queue_depths=depths)
        with TestClient(app) as client:
            evaluate = {"kind": "evaluate", "gallery": "colors", "params": {"k": 3}}
            assert client.post("/v1/jobs", json=evaluate).status_code == 202  # connections are open now
            assert client.get("/readyz").json()["queue"] == "ok"
            proxy.black_hole()
            for call in (lambda: client.get("/readyz"), lambda: client.post("/v1/jobs", json=evaluate)):
                started = time.monotonic()
                assert call().status_code < 300
                assert time.monotonic() - started < LONGEST_S
            wait_until(
                lambda: client.get("/readyz").json()["queue"] == "Redis does not answer: TimeoutError",
                what="the queue to be named",
            )
            assert [job["state"] for job in client.get("/v1/jobs").json()] == ["queued", "queued"]
    workspace.close()
    proxy.stop()


def test_where_jobs_run_in_process_the_queue_is_no_matter(module_client: TestClient) -> None:
    assert module_client.get("/readyz").json()["queue"] == "in process"
