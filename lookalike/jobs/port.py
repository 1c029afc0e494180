"""Work that outlives a request: what is asked for, what is known of it, and the queue.

A job is a request of a named kind with JSON parameters, never a closure: any process that has the same workspace
can execute it. Contract: tests/contracts/test_jobs_contract.py.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class JobState(StrEnum):
    """A job goes from queued to running to one of the others, and back to queued only by a retry."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class JobRequest(BaseModel):
    """What is to be done to which gallery; ``params`` are those of the kind, checked by whoever submits it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    gallery: str
    params: dict[str, JsonValue] = Field(default_factory=dict)


class JobError(BaseModel):
    """Why a job failed: a stable code and a sentence."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str


class JobSummary(BaseModel):
    """What is known of a job beside its parameters, which may be long.

    ``attempt`` counts from 1. ``stage``, ``done``, ``total`` and ``failed`` are the last reported progress. Times are
    ISO 8601, UTC. ``result`` is the answer of one that succeeded, ``error`` the reason of one that failed.
    """

    model_config = ConfigDict(frozen=True)

    job_id: str
    kind: str
    gallery: str
    state: JobState = JobState.QUEUED
    attempt: int = 1
    stage: str = ""
    done: int = 0
    total: int | None = None
    failed: int = 0
    cancel_requested: bool = False
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    result: dict[str, JsonValue] | None = None
    error: JobError | None = None


class Job(JobSummary):
    """A job with its parameters."""

    params: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def request(self) -> JobRequest:
        return JobRequest(kind=self.kind, gallery=self.gallery, params=self.params)


class Jobs(Protocol):
    """A queue whose jobs survive the process: each is a small document in the object store.

    Jobs of one gallery run one after the other, in the order of their submission; those of different galleries may
    run at once, and so may adding single images and whatever else runs. Methods may be called from several threads.

    Where jobs run in the process that was asked for them, one whose process died is failed with the code
    ``interrupted`` as soon as another opens the queue. Where workers run them, they outlive every process.
    """

    def submit(self, request: JobRequest) -> Job:
        """Queues ``request`` and returns at once. Raises DependencyUnavailable when the queue takes no more."""
        ...

    def get(self, job_id: str) -> Job:
        """The job as it is now. Costs little: event streams poll it. Raises JobNotFound, or InvalidRequest."""
        ...

    def list(self) -> list[Job]:
        """All jobs that are kept, newest first."""
        ...

    def cancel(self, job_id: str) -> Job:
        """Ends a queued job at once and a running one at its next report of progress; what it did until then stays.

        Cancelling one that is cancelled changes nothing. Raises JobNotFound, or WrongJobState when it has ended.
        """
        ...

    def retry(self, job_id: str, params: Mapping[str, JsonValue] | None = None) -> Job:
        """Queues a failed or cancelled job again under its own id, with ``params`` in place of its own if given.

        One that nobody works on any more, because its queue was lost, is queued again as it is. Raises JobNotFound,
        or WrongJobState for a job in any other state.
        """
        ...

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        """The job once it has ended, or as it is after ``timeout_s`` seconds."""
        ...

    def close(self) -> None:
        """Ends what this process does for the queue.

        Jobs that run in this process stop at their next report; they and those that wait for it fail as
        ``interrupted``, to be retried. What workers do goes on.
        """
        ...
