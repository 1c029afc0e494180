"""A request is found again: by its id in the answer, the log and an error; a job tells how fast it goes."""

import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, first_image
from gateway_store import at, settings_of

from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import Job, JobRequest, JobState
from lookalike.jobs.rates import JobRates
from lookalike.pipeline.progress import Progress, Report
from lookalike.pipeline.workspace import Workspace
from lookalike.telemetry.logs import configure_logging
from services.gateway.app import create_app
from services.gateway.metrics import oldest_s

WAIT_S = 30


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[None]:
    """The log as JSON lines, every request one."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging(
        settings_of(tmp_path, LOOKALIKE_TELEMETRY__LOG_FORMAT="json", LOOKALIKE_TELEMETRY__LOG_LEVEL="info")
    )
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_the_clients_id_is_in_the_answer_and_another_is_made_for_what_is_none(client: TestClient) -> None:
    given = client.get("/v1/galleries", headers={"X-Request-ID": "a-1_b.2"})
    assert given.headers["x-request-id"] == "a-1_b.2"
    made = {
        client.get("/v1/galleries", headers=headers).headers["x-request-id"]
        for headers in ({}, {"X-Request-ID": ""}, {"X-Request-ID": "a b"}, {"X-Request-ID": "x" * 65})
    }
    assert len(made) == 4
    assert all(len(one) == 32 for one in made)
    assert client.get("/nothing", headers={"X-Request-ID": "r"}).headers["x-request-id"] == "r"


def test_each_request_is_a_line_with_its_template_and_id(
    client: TestClient, logged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    image_id = first_image(client)["image_id"]
    capsys.readouterr()
    wanted = {"image_id": image_id, "backend": "exact"}
    assert client.post(SEARCH, json=wanted, headers={"X-Request-ID": "r-1"}).status_code == 200
    client.get("/v1/galleries/colors/images?limit=1&cursor=secret", headers={"X-Request-ID": "r-2"})
    client.get("/secret/path", headers={"X-Request-ID": "r-3"})
    client.get("/healthz")
    found = lines(capsys)
    assert [(line["request_id"], line["method"], line["route"], line["status"]) for line in found] == [
        ("r-1", "POST", "/v1/galleries/{gallery}/search", 200),
        ("r-2", "GET", "/v1/galleries/{gallery}/images", 422),
        ("r-3", "GET", "unmatched", 404),
    ]
    assert all(line["took_ms"] > 0 for line in found)
    assert "secret" not in str(found)


def test_an_error_of_ours_has_the_id_in_its_line_and_in_its_answer(
    workspace: Workspace, tmp_path: Path, logged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(workspace, InlineJobs(workspace.store, tmp_path / "locks", lambda request, report: {}))

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("why")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken", headers={"X-Request-ID": "r-4"})
    assert (answer.status_code, answer.headers["x-request-id"], answer.json()["request_id"]) == (500, "r-4", "r-4")
    [error] = [line for line in lines(capsys) if line["level"] == "error"]
    assert error["request_id"] == "r-4"
    assert error["error"].endswith("ZeroDivisionError: why")


def test_a_job_tells_its_pace_in_answers_and_events(tmp_path: Path) -> None:
    workspace = at(tmp_path)
    steps = threading.Semaphore(0)
    reached = threading.Semaphore(0)

    def run(request: JobRequest, report: Report) -> dict[str, object]:
        for done in (0, 20, 40):
            report(Progress("embed", done, 100, failed=2))
            reached.release()
            assert steps.acquire(timeout=WAIT_S)
        return {}

    jobs = InlineJobs(workspace.store, tmp_path / "locks", run)
    app = create_app(workspace, jobs)
    now = [0.0]
    object.__setattr__(app.state.gateway, "rates", JobRates(lambda: now[0]))
    with TestClient(app) as client:
        job = jobs.submit(JobRequest(kind="embed", gallery="g", params={"model": "m"}))
        seen = []
        for _ in range(3):
            assert reached.acquire(timeout=WAIT_S)
            said = client.get(f"/v1/jobs/{job.job_id}").json()
            seen.append((said["done"], said["failed"], said["images_per_s"], said["eta_s"]))
            now[0] += 10
            steps.release()
        assert seen == [(0, 2, None, None), (20, 2, 2.0, 40.0), (40, 2, 2.0, 30.0)]
        assert jobs.wait(job.job_id, timeout_s=WAIT_S).state is JobState.SUCCEEDED
        [listed] = client.get("/v1/jobs").json()
        assert (listed["images_per_s"], listed["eta_s"], "params" in listed) == (None, None, False)
        [event] = [line for line in client.get(f"/v1/jobs/{job.job_id}/events").text.splitlines() if "data:" in line]
        assert json.loads(event.removeprefix("data: ")) == listed
    workspace.close()


def test_queues_and_waiting_jobs_are_in_the_metrics(workspace: Workspace, tmp_path: Path) -> None:
    jobs = InlineJobs(workspace.store, tmp_path / "locks", lambda request, report: {})
    app = create_app(workspace, jobs, queue_depths=lambda: {"embed": 7, "index": 0})
    with TestClient(app) as client:
        text = client.get("/metrics").text
    assert 'lookalike_queue_depth{queue="embed"} 7.0' in text
    assert 'lookalike_queue_depth{queue="index"} 0.0' in text
    assert 'lookalike_oldest_job_seconds{state="queued"} 0.0' in text


def test_the_oldest_job_of_each_state() -> None:
    def made(state: JobState, minute: int) -> Job:
        return Job(job_id="j", kind="embed", gallery="g", state=state, created_at=f"2026-01-01T00:{minute:02}:00+00:00")

    jobs = [made(JobState.QUEUED, 5), made(JobState.QUEUED, 3), made(JobState.FAILED, 0), made(JobState.RUNNING, 9)]
    now = datetime.fromisoformat("2026-01-01T00:10:00+00:00")
    assert oldest_s(jobs, now) == {"queued": 420.0, "running": 60.0}
