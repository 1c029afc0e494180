"""jobs: what runs elsewhere is listed and watched, what this process runs is run to its end."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_outcome import Cli
from real_servers import RedisServer

from lookalike.bootstrap import wire
from lookalike.errors import InvalidSource
from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import Job, JobRequest, JobState
from lookalike.pipeline.progress import Progress, Report
from lookalike.settings import load

WAIT_S = 60


class Elsewhere:
    """A gateway's jobs on the same store: each goes on when it is told to."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._workspace = wire(load())
        self.jobs = InlineJobs(self._workspace.store, self._workspace.artifacts.file("jobs", "locks"), self._run)

    def start(self, gallery: str = "colors", **params: str) -> Job:
        return self.jobs.submit(JobRequest(kind="embed", gallery=gallery, params={"model": "color_edges", **params}))

    def end(self, job: Job) -> Job:
        self.go_on.set()
        return self.jobs.wait(job.job_id, timeout_s=WAIT_S)

    def close(self) -> None:
        self.go_on.set()
        self.jobs.close()
        self._workspace.close()

    def _run(self, request: JobRequest, report: Report) -> dict[str, object]:
        report(Progress("embed", 10, 25, failed=1))
        self.reached.set()
        assert self.go_on.wait(WAIT_S)
        if request.gallery == "wrong":
            raise InvalidSource("no such source")
        report(Progress("finish", 25, 25, failed=1))
        return {}


@pytest.fixture
def elsewhere(ready: Cli) -> Iterator[Elsewhere]:
    made = Elsewhere()
    yield made
    made.close()


def test_what_runs_elsewhere_is_listed_and_shown(ready: Cli, elsewhere: Elsewhere) -> None:
    job = elsewhere.start()
    assert elsewhere.reached.wait(WAIT_S)
    other = elsewhere.start("others")
    [second, first] = ready("jobs", "list", "--json").document
    assert (first["job_id"], second["job_id"]) == (job.job_id, other.job_id)
    assert (first["state"], first["stage"], first["done"], first["total"], first["failed"]) == (
        "running", "embed", 10, 25, 1,
    )  # fmt: skip
    assert "params" not in first
    assert [one["job_id"] for one in ready("jobs", "list", "--gallery", "others", "--json").document] == [other.job_id]
    assert ready("jobs", "list", "--state", "failed", "--json").document == []
    text = ready("jobs", "list").out
    assert job.job_id in text
    assert "10/25" in text
    assert ready("jobs", "show", job.job_id, "--json").document["params"] == {"model": "color_edges"}
    assert ready("jobs", "cancel", job.job_id).error.startswith("the job belongs to another process")


def test_watching_tells_each_change_and_ends_with_the_job(
    ready: Cli, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = elsewhere.start()
    assert elsewhere.reached.wait(WAIT_S)
    wait = InlineJobs.wait

    def and_go_on(self: InlineJobs, job_id: str, *, timeout_s: float) -> Job:
        elsewhere.go_on.set()  # once the watching has begun
        return wait(self, job_id, timeout_s=timeout_s)

    monkeypatch.setattr(InlineJobs, "wait", and_go_on)
    said = ready("jobs", "watch", job.job_id, "--json")
    assert said.status == 0
    assert (said.document["state"], said.document["failed"]) == ("succeeded", 1)
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert (lines[0]["stage"], lines[0]["done"], lines[0]["images_per_s"]) == ("embed", 10, None)
    assert lines[-1]["state"] == "succeeded"
    assert len({json.dumps(line) for line in lines}) == len(lines)


def test_watching_one_that_fails_is_a_failure(ready: Cli, elsewhere: Elsewhere) -> None:
    job = elsewhere.end(elsewhere.start("wrong"))
    said = ready("jobs", "watch", job.job_id)
    assert said.status == 1
    assert "has failed: no such source" in said.out
    assert f"lookalike jobs failures {job.job_id}" in said.out


def test_ctrl_c_ends_the_watching_and_not_the_job(
    ready: Cli, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = elsewhere.start()
    assert elsewhere.reached.wait(WAIT_S)

    def interrupted(self: InlineJobs, job_id: str, *, timeout_s: float) -> Job:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(InlineJobs, "wait", interrupted)
        assert ready("jobs", "watch", job.job_id).status == 130
    assert elsewhere.jobs.get(job.job_id).state is JobState.RUNNING
    assert elsewhere.end(job).state is JobState.SUCCEEDED


def test_a_submitted_job_runs_here_to_its_end(ready: Cli) -> None:
    said = ready("jobs", "submit", "build", "colors", "--params", '{"model": "color_edges", "backends": ["exact"]}')
    assert said.status == 0, said.err
    assert "has succeeded" in said.out
    [job] = ready("jobs", "list", "--json").document
    assert (job["kind"], job["state"]) == ("build", "succeeded")
    assert ready("jobs", "retry", job["job_id"]).error == "a job that is succeeded cannot be retried"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["submit", "brew", "colors"], "unknown_job_kind"),
        (["submit", "embed", "colors"], "invalid_request"),
        (["submit", "embed", "absent", "--params", '{"model": "color_edges"}'], "gallery_not_found"),
        (["submit", "embed", "colors", "--params", "[1]"], "invalid_request"),
        (["show", "00000000-0000-0000-0000-000000000000"], "job_not_found"),
        (["watch", "00000000-0000-0000-0000-000000000000"], "job_not_found"),
        (["retry", "00000000-0000-0000-0000-000000000000"], "job_not_found"),
        (["list", "--state", "brewing"], "invalid_request"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_queued(ready: Cli, arguments: list[str], code: str) -> None:
    said = ready("jobs", *arguments, "--json")
    assert (said.status, said.out) == (2, "")
    assert json.loads(said.err.splitlines()[-1])["code"] == code
    assert ready("jobs", "list", "--json").document == []


def test_failures_and_trying_them_again(
    ready: Cli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that was none, and then is one while its stamp (time and size) stays."""
    data = (pictures / "warm" / "red" / "0.png").read_bytes()
    folder = tmp_path / "own pictures"
    folder.mkdir()
    broken = folder / "a.png"
    broken.write_bytes(b"\0" * len(data))
    stamp = broken.stat()
    (folder / "b.png").write_bytes(data)
    monkeypatch.setenv("LOOKALIKE_JOBS__SOURCE_FOLDERS", str(folder))
    params = json.dumps({"source": str(folder), "name": "own"})
    job = ready("jobs", "submit", "ingest", "own", "--params", params, "--json").document
    assert (job["state"], job["failed"]) == ("succeeded", 1)
    [failure] = ready("jobs", "failures", job["job_id"], "--json").document
    assert (failure["key"], failure["stage"], failure["attempts"]) == ("a.png", "ingest", 1)
    assert failure["code"]
    assert failure["reason"]
    assert "a.png" in ready("jobs", "failures", job["job_id"]).out
    again = ready("jobs", "retry", job["job_id"], "--failed", "--json").document
    assert again["job_id"] != job["job_id"]  # that one had succeeded
    [failure] = ready("jobs", "failures", job["job_id"], "--json").document
    assert failure["attempts"] == 2
    broken.write_bytes(data)
    os.utime(broken, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    last = ready("jobs", "retry", job["job_id"], "--failed", "--json").document
    assert (last["state"], last["failed"], last["result"]["added"]) == ("succeeded", 0, 1)
    assert ready("jobs", "failures", job["job_id"], "--json").document == []


def test_what_failed_is_retried_here(ready: Cli, elsewhere: Elsewhere) -> None:
    failed = elsewhere.end(elsewhere.start("wrong"))
    said = ready("jobs", "retry", failed.job_id, "--json")
    assert said.status == 1  # there is no gallery of that name, which the run finds
    assert (said.document["attempt"], said.document["error"]["code"]) == (2, "gallery_not_found")


def test_with_workers_elsewhere_jobs_are_only_queued(
    ready: Cli, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_QUEUE__URL", redis_server.url)
    queued = ready("jobs", "submit", "embed", "colors", "--params", '{"model": "color_edges"}', "--json")
    assert (queued.status, queued.document["state"], queued.err) == (0, "queued", "")
    job_id = queued.document["job_id"]
    assert ready("jobs", "cancel", job_id, "--json").document["state"] == "cancelled"
    watched = ready("jobs", "watch", job_id)
    assert (watched.status, watched.out) == (1, f"job {job_id} (embed of colors) was cancelled\n")
    again = ready("jobs", "retry", job_id, "--failed", "--json").document
    assert (again["state"], again["attempt"]) == ("queued", 2)
    assert ready("jobs", "show", job_id, "--json").document["params"]["retry_failed"] is True
    other = ready("jobs", "submit", "rollback", "colors").out
    newest = ready("jobs", "list", "--json").document[0]
    assert other == f"job {newest['job_id']} is queued: lookalike jobs watch {newest['job_id']}\n"
