"""Jobs of a process that was killed: what the next one finds."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_servers import wait_until

from lookalike.errors import DependencyUnavailable
from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import JobRequest, JobState
from lookalike.pipeline.progress import Report
from lookalike.storage.local import LocalStore
from lookalike.storage.port import ObjectInfo

_PROGRAM = """
import sys, threading
from pathlib import Path
from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import JobRequest
from lookalike.pipeline.progress import Progress
from lookalike.storage.local import LocalStore

folder = Path(sys.argv[1])
begun = threading.Event()

def run(request, report):
    report(Progress("embed", 5, 10))
    begun.set()
    threading.Event().wait()

jobs = InlineJobs(LocalStore(folder / "store"), folder / "locks", run, threads=1)
jobs.submit(JobRequest(kind="embed", gallery="g"))
jobs.submit(JobRequest(kind="build", gallery="g"))
begun.wait()
print("running", flush=True)
threading.Event().wait()
"""


def nothing(request: JobRequest, report: Report) -> dict[str, object]:
    return {}


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"running\n"
        other = InlineJobs(LocalStore(tmp_path / "store"), tmp_path / "locks", nothing)
        states = {job.kind: job.state for job in other.list()}
        assert states == {"embed": JobState.RUNNING, "build": JobState.QUEUED}  # while it lives, they are its own
        other.close()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return tmp_path


def test_what_a_killed_process_left_has_failed_as_interrupted_and_can_be_retried(killed: Path) -> None:
    jobs = InlineJobs(LocalStore(killed / "store"), killed / "locks", nothing)
    found = {job.kind: job for job in jobs.list()}
    assert {job.state for job in found.values()} == {JobState.FAILED}
    assert {job.error.code for job in found.values() if job.error} == {"interrupted"}
    assert found["embed"].stage == "embed"
    again = jobs.wait(jobs.retry(found["embed"].job_id).job_id, timeout_s=30)
    assert (again.state, again.attempt) == (JobState.SUCCEEDED, 2)
    jobs.close()
    assert list((killed / "locks").iterdir()) == []


def test_only_the_newest_ended_jobs_are_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    jobs = InlineJobs(store, tmp_path / "locks", nothing, kept=3)
    made = [jobs.submit(JobRequest(kind="embed", gallery="g")) for _ in range(6)]
    jobs.wait(made[-1].job_id, timeout_s=30)  # those of one gallery end in their order
    jobs.close()
    assert [job.job_id for job in jobs.list()] == [job.job_id for job in made[:2:-1]]
    assert len(list(store.list("jobs/"))) == 3


def test_a_record_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.put("jobs/00000000.json", b'{"from": "another version"}')
    jobs = InlineJobs(store, tmp_path / "locks", nothing)
    done = jobs.wait(jobs.submit(JobRequest(kind="embed", gallery="g")).job_id, timeout_s=30)
    assert jobs.list() == [done]
    jobs.close()


class AwayStore(LocalStore):
    """A store whose server comes later."""

    is_away = True

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        if self.is_away:
            raise DependencyUnavailable("the store does not answer", dependency="store")
        return super().list(prefix, after=after)


def test_while_the_store_is_away_the_next_process_starts_and_recovers_when_it_comes(
    killed: Path,
) -> None:
    store = AwayStore(killed / "store")
    jobs = InlineJobs(store, killed / "locks", nothing)
    with pytest.raises(DependencyUnavailable):
        jobs.list()
    store.is_away = False
    wait_until(lambda: {job.state for job in jobs.list()} == {JobState.FAILED}, what="the jobs are recovered")
    assert {job.error.code for job in jobs.list() if job.error is not None} == {"interrupted"}
    jobs.close()


def test_a_process_whose_store_never_came_ends_at_once(tmp_path: Path) -> None:
    jobs = InlineJobs(AwayStore(tmp_path / "store"), tmp_path / "locks", nothing)
    jobs.close()
    assert not list((tmp_path / "locks").glob("*.lock"))
