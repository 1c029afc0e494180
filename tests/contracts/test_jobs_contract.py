"""The contract of the jobs port, run on every adapter; an adapter that comes later adds itself to ``ADAPTERS``.

What a job does here is under the test's control: it reports, waits for a signal, succeeds, fails. The queue is a real
Redis and a real Celery worker, whose threads are in this process so that the test can tell them when to go on.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from celery_jobs import InThisProcess, celery_worker
from pydantic import JsonValue
from real_servers import RedisServer

from lookalike.errors import InvalidRequest, InvalidSource, JobNotFound, WrongJobState
from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import Job, JobRequest, Jobs, JobState
from lookalike.pipeline.progress import Progress, Report
from lookalike.storage.local import LocalStore

WAIT_S = 30


@dataclass
class Work:
    """Executes the test's jobs: ``reach`` is set when one begins, and it goes on when ``go`` is."""

    reached: dict[str, threading.Event] = field(default_factory=dict)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: dict[str, int] = field(default_factory=dict)
    _inside: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def event(self, events: dict[str, threading.Event], name: str) -> threading.Event:
        with self._lock:
            return events.setdefault(name, threading.Event())

    def run(self, request: JobRequest, report: Report) -> dict[str, JsonValue]:
        name = str(request.params.get("name", ""))
        with self._lock:
            self.order.append(name)
            inside = self._inside[request.gallery] = self._inside.get(request.gallery, 0) + 1
            self.most_at_once[request.gallery] = max(inside, self.most_at_once.get(request.gallery, 0))
        try:
            report(Progress("first", 1, 2, failed=3))
            if request.params.get("waits"):
                self.event(self.reached, name).set()
                assert self.event(self.gates, name).wait(WAIT_S)
            report(Progress("second", 2, 2, failed=3))
            if request.params.get("fails"):
                raise InvalidSource("no such source")
            if request.params.get("breaks"):
                raise ZeroDivisionError
            return {"name": name}
        finally:
            with self._lock:
                self._inside[request.gallery] -= 1

    def begun(self, name: str) -> None:
        assert self.event(self.reached, name).wait(WAIT_S)

    def go_on(self, name: str) -> None:
        self.event(self.gates, name).set()


Open = Callable[[Work], Jobs]


def _inline(folder: Path, request: pytest.FixtureRequest) -> Open:
    def opened(work: Work) -> Jobs:
        return InlineJobs(LocalStore(folder / "store"), folder / "locks", work.run, threads=2)

    return opened


def _celery(folder: Path, request: pytest.FixtureRequest) -> Open:
    worker: InThisProcess = request.getfixturevalue("worker")
    return partial(worker.jobs, LocalStore(folder / "store"))


@pytest.fixture(scope="module")
def worker(redis_server: RedisServer) -> Iterator[InThisProcess]:
    with celery_worker(redis_server) as made:
        yield made


ADAPTERS: dict[str, Callable[[Path, pytest.FixtureRequest], Open]] = {"celery": _celery, "inline": _inline}


@pytest.fixture(params=sorted(ADAPTERS))
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    return ADAPTERS[request.param](tmp_path, request)


@pytest.fixture
def inline(tmp_path: Path, request: pytest.FixtureRequest) -> Open:
    """For what only jobs of this process promise."""
    return _inline(tmp_path, request)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def jobs(opener: Open, work: Work) -> Iterator[Jobs]:
    made = opener(work)
    yield made
    for name in list(work.gates) + list(work.reached):
        work.go_on(name)
    made.close()


def wanted(name: str, gallery: str = "g", **params: JsonValue) -> JobRequest:
    return JobRequest(kind="embed", gallery=gallery, params={"name": name, **params})


def ended(jobs: Jobs, job: Job) -> Job:
    done = jobs.wait(job.job_id, timeout_s=WAIT_S)
    assert done.state.has_ended
    return done


def test_a_job_that_succeeds_has_its_result_progress_and_times(jobs: Jobs) -> None:
    submitted = jobs.submit(wanted("a"))
    assert submitted.state is JobState.QUEUED
    done = ended(jobs, submitted)
    assert (done.state, done.result, done.error) == (JobState.SUCCEEDED, {"name": "a"}, None)
    assert (done.stage, done.done, done.total, done.failed) == ("second", 2, 2, 3)
    assert done.created_at <= str(done.started_at) <= str(done.finished_at)
    assert done.request == wanted("a")
    assert jobs.get(submitted.job_id) == done


def test_a_job_that_fails_says_why_and_stops_no_other(jobs: Jobs) -> None:
    failed, broken, fine = (jobs.submit(wanted(name, **{name: True})) for name in ("fails", "breaks", "fine"))
    one = ended(jobs, failed)
    assert (one.state, one.result) == (JobState.FAILED, None)
    assert one.error is not None
    assert (one.error.code, one.error.message) == ("invalid_source", "no such source")
    other = ended(jobs, broken).error
    assert other is not None
    assert other.code == "internal"
    assert ended(jobs, fine).state is JobState.SUCCEEDED


def test_unknown_jobs_are_not_found(jobs: Jobs) -> None:
    for call in (jobs.get, jobs.cancel, jobs.retry):
        with pytest.raises(JobNotFound):
            call("00000000-0000-0000-0000-000000000000")
        with pytest.raises(InvalidRequest):
            call("../../secrets")


def test_jobs_of_one_gallery_run_in_their_order_one_after_the_other(jobs: Jobs, work: Work) -> None:
    first = jobs.submit(wanted("0", waits=True))
    work.begun("0")
    others = [jobs.submit(wanted(str(number))) for number in range(1, 6)]
    assert [jobs.get(job.job_id).state for job in others] == [JobState.QUEUED] * 5
    work.go_on("0")
    for job in (first, *others):
        assert ended(jobs, job).state is JobState.SUCCEEDED
    assert work.order == ["0", "1", "2", "3", "4", "5"]
    assert work.most_at_once == {"g": 1}


def test_a_busy_gallery_does_not_hold_up_another(jobs: Jobs, work: Work) -> None:
    held = jobs.submit(wanted("held", waits=True))
    work.begun("held")
    behind = jobs.submit(wanted("behind"))
    assert ended(jobs, jobs.submit(wanted("other", gallery="h"))).state is JobState.SUCCEEDED
    assert jobs.get(behind.job_id).state is JobState.QUEUED
    work.go_on("held")
    assert ended(jobs, held).state is JobState.SUCCEEDED


def test_cancelling_a_queued_job_ends_it_at_once_and_it_never_runs(jobs: Jobs, work: Work) -> None:
    held = jobs.submit(wanted("held", waits=True))
    work.begun("held")
    queued = jobs.submit(wanted("queued"))
    assert jobs.cancel(queued.job_id).state is JobState.CANCELLED
    assert jobs.cancel(queued.job_id).state is JobState.CANCELLED
    work.go_on("held")
    ended(jobs, held)
    assert ended(jobs, jobs.submit(wanted("after"))).state is JobState.SUCCEEDED
    assert work.order == ["held", "after"]


def test_cancelling_a_running_job_ends_it_at_its_next_report(jobs: Jobs, work: Work) -> None:
    running = jobs.submit(wanted("a", waits=True))
    work.begun("a")
    asked = jobs.cancel(running.job_id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    work.go_on("a")
    done = ended(jobs, running)
    assert (done.state, done.stage, done.result, done.error) == (JobState.CANCELLED, "first", None, None)


def test_what_has_ended_cannot_be_cancelled_and_what_succeeded_not_retried(jobs: Jobs, work: Work) -> None:
    done = ended(jobs, jobs.submit(wanted("a")))
    failed = ended(jobs, jobs.submit(wanted("b", fails=True)))
    for job in (done, failed):
        with pytest.raises(WrongJobState):
            jobs.cancel(job.job_id)
    running = jobs.submit(wanted("c", waits=True))
    work.begun("c")
    for job in (done, running):
        with pytest.raises(WrongJobState):
            jobs.retry(job.job_id)


def test_a_retry_runs_again_under_the_same_id_with_new_parameters_if_given(jobs: Jobs) -> None:
    failed = ended(jobs, jobs.submit(wanted("a", fails=True)))
    again = jobs.retry(failed.job_id)
    assert (again.job_id, again.attempt, again.error, again.finished_at) == (failed.job_id, 2, None, None)
    assert ended(jobs, again).state is JobState.FAILED
    done = ended(jobs, jobs.retry(failed.job_id, {"name": "a"}))
    assert (done.state, done.attempt, done.params) == (JobState.SUCCEEDED, 3, {"name": "a"})


def test_a_cancelled_job_can_be_retried(jobs: Jobs, work: Work) -> None:
    running = jobs.submit(wanted("a", waits=True))
    work.begun("a")
    jobs.cancel(running.job_id)
    work.go_on("a")
    ended(jobs, running)
    done = ended(jobs, jobs.retry(running.job_id))
    assert (done.state, done.cancel_requested) == (JobState.SUCCEEDED, False)


def test_all_jobs_are_listed_newest_first(jobs: Jobs) -> None:
    made = [ended(jobs, jobs.submit(wanted(str(number)))) for number in range(3)]
    assert jobs.list() == made[::-1]


def test_jobs_outlive_the_process(opener: Open, work: Work) -> None:
    first = opener(work)
    done = ended(first, first.submit(wanted("a")))
    first.close()
    second = opener(Work())
    assert second.get(done.job_id) == done
    assert second.list() == [done]
    second.close()


def test_closing_stops_what_runs_at_its_next_report_and_what_is_queued(inline: Open, work: Work) -> None:
    first = inline(work)
    running = first.submit(wanted("a", waits=True))
    queued = first.submit(wanted("b"))
    work.begun("a")
    closing = threading.Thread(target=first.close)
    closing.start()
    assert ended(first, queued).error is not None  # failed before the running one is waited for
    work.go_on("a")
    closing.join(WAIT_S)
    second = inline(Work())
    for job in (running, queued):
        found = second.get(job.job_id)
        assert found.state is JobState.FAILED
        assert found.error is not None
        assert found.error.code == "interrupted"
        assert ended(second, second.retry(job.job_id, {"name": "again"})).state is JobState.SUCCEEDED
    second.close()


def test_another_process_sees_a_running_job_and_leaves_it_alone(jobs: Jobs, opener: Open, work: Work) -> None:
    running = jobs.submit(wanted("a", waits=True))
    work.begun("a")
    other = opener(Work())
    assert other.get(running.job_id).state is JobState.RUNNING
    work.go_on("a")
    assert ended(jobs, running).state is JobState.SUCCEEDED
    assert other.get(running.job_id).state is JobState.SUCCEEDED
    other.close()
