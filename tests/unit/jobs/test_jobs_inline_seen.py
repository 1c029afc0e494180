"""What a job in one process shows to another, and in the log."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from lookalike.jobs import inline
from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import JobRequest, JobState
from lookalike.pipeline.progress import Progress, Report
from lookalike.storage.local import LocalStore
from lookalike.telemetry.context import current

WAIT_S = 30


@pytest.mark.parametrize(("every_s", "seen"), [(0.0, 20), (3600.0, 10)])
def test_counts_of_one_stage_are_written_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float, seen: int
) -> None:
    monkeypatch.setattr(inline, "SAVE_EVERY_S", every_s)
    store = LocalStore(tmp_path / "store")
    reached, go_on = threading.Event(), threading.Event()

    def run(request: JobRequest, report: Report) -> dict[str, object]:
        report(Progress("embed", 10, 30))
        report(Progress("embed", 20, 30, failed=1))
        reached.set()
        assert go_on.wait(WAIT_S)
        return {}

    jobs = InlineJobs(store, tmp_path / "locks", run)
    other = InlineJobs(store, tmp_path / "locks", run)
    job = jobs.submit(JobRequest(kind="embed", gallery="g"))
    assert reached.wait(WAIT_S)
    assert jobs.get(job.job_id).done == 20
    assert other.get(job.job_id).done == seen
    go_on.set()
    assert jobs.wait(job.job_id, timeout_s=WAIT_S).state is JobState.SUCCEEDED
    assert other.get(job.job_id).done == 20
    jobs.close()
    other.close()


def test_the_work_and_its_failure_have_the_jobs_id(tmp_path: Path) -> None:
    bound: list[Mapping[str, str]] = []
    logged: list[Mapping[str, str]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(dict(current()))

    def run(request: JobRequest, report: Report) -> dict[str, object]:
        bound.append(dict(current()))
        raise ZeroDivisionError

    logger = logging.getLogger(inline.__name__)
    logger.addHandler(handler := Kept())
    try:
        jobs = InlineJobs(LocalStore(tmp_path / "store"), tmp_path / "locks", run)
        job = jobs.submit(JobRequest(kind="embed", gallery="g"))
        assert jobs.wait(job.job_id, timeout_s=WAIT_S).state is JobState.FAILED
        jobs.close()
    finally:
        logger.removeHandler(handler)
    assert bound == logged == [{"job_id": job.job_id, "gallery": "g"}]
