"""What a watched job looks like: in words for people, with the pace of the HTTP answers for machines."""

import io
import re
from collections.abc import Iterator

import pytest

from lookalike.cli import job_watch
from lookalike.cli.job_watch import described, in_words, watch
from lookalike.jobs.port import Job, JobState
from lookalike.jobs.rates import Rate


def job(done: int = 0, *, stage: str = "embed", failed: int = 0, state: JobState = JobState.RUNNING) -> Job:
    return Job(
        job_id="j",
        kind="embed",
        gallery="g",
        state=state,
        stage=stage,
        done=done,
        total=100,
        failed=failed,
        created_at="",
        params={"model": "m"},
    )


@pytest.mark.parametrize(
    ("shown", "found", "words"),
    [
        (job(), Rate(), ""),
        (job(failed=2), Rate(12.34, 3725.4), "12.3 images/s, 1:02:05 left, 2 failed"),
        (job(stage="build faiss"), Rate(0.5, 4.0), "0:00:04 left"),
        (job(), Rate(3.0, None), "3.0 images/s"),
    ],
)
def test_pace_and_failures_in_words(shown: Job, found: Rate, words: str) -> None:
    assert in_words(shown, found) == words


def test_for_machines_without_parameters() -> None:
    said = described(job(10), Rate(1.23456, 7.891))
    assert (said["done"], said["images_per_s"], said["eta_s"]) == (10, 1.23, 7.89)
    assert "params" not in said


class Reporting:
    """A queue whose one job is further on at every look."""

    def __init__(self, later: Iterator[Job]) -> None:
        self._later = later

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        return next(self._later)


def test_on_a_terminal_there_is_a_bar_that_ends_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = job_watch.Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(job_watch, "Console", lambda file: terminal)
    stages = [job(40, failed=1), job(1, stage="build faiss"), job(100, failed=1, state=JobState.SUCCEEDED)]
    ended = watch(Reporting(iter(stages)), job())  # type: ignore[arg-type] # asked for nothing else
    assert ended.state is JobState.SUCCEEDED
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "embed" in last
    assert "100/100" in last
    assert "1 failed" in last
