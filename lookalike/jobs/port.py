"""Work that outlives a request."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from lookalike.pipeline.progress import Report


class JobState(StrEnum):
    """A job goes from queued to running to one of the others, and never back except by a retry."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Job(BaseModel):
    """What is known of a job. ``result`` is its answer, ``error`` why it failed."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    kind: str
    gallery: str
    state: JobState
    stage: str = ""
    done: int = 0
    total: int | None = None
    failed: int = 0
    created_at: str
    finished_at: str | None = None
    result: dict[str, object] | None = None
    error: dict[str, str] | None = None


class Jobs(Protocol):
    """A queue. Jobs of one gallery run one after the other, in the order of their submission."""

    def submit(self, kind: str, gallery: str, work: Callable[[Report], object]) -> str:
        """Queues ``work`` and returns its job_id at once. A LookalikeError ends the job as failed, others too."""
        ...

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        ...

    def list(self) -> list[Job]:
        """Newest first."""
        ...

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        """The job once it has ended, or as it is after ``timeout_s`` seconds."""
        ...

    def close(self) -> None:
        """Lets what runs end; drops what is queued."""
        ...
