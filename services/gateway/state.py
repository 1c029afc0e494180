"""What the endpoints work with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from lookalike.jobs.port import Job, Jobs
from lookalike.jobs.rates import JobRates
from lookalike.pipeline.job_retry import retry_job
from lookalike.pipeline.job_run import job_request
from lookalike.pipeline.workspace import Workspace
from services.gateway.access import Access
from services.gateway.metrics import Metrics
from services.gateway.readiness import Opener, Readier
from services.gateway.streams import Streams


@dataclass(frozen=True)
class Gateway:
    """Everything that one application has."""

    workspace: Workspace
    jobs: Jobs
    metrics: Metrics
    opener: Opener
    readier: Readier
    source_folders: Sequence[Path] = ()
    rates: JobRates = field(default_factory=JobRates)
    streams: Streams = field(default_factory=Streams)
    access: Access | None = None  # None: keys are off, and whoever reaches it may use it

    def submit(self, kind: str, gallery: str, params: dict[str, object]) -> Job:
        """Checks and queues a job. Raises as :func:`lookalike.pipeline.job_run.job_request`."""
        request = job_request(self.workspace, kind, gallery, params, source_folders=self.source_folders)
        return self.jobs.submit(request)

    def retry(self, job_id: str, *, retry_failed: bool) -> Job:
        """Queues a job again. Raises as :func:`lookalike.pipeline.job_retry.retry_job`."""
        return retry_job(
            self.workspace, self.jobs, job_id, retry_failed=retry_failed, source_folders=self.source_folders
        )


def _gateway(request: Request) -> Gateway:
    return cast(Gateway, request.app.state.gateway)


def _workspace(request: Request) -> Workspace:
    return _gateway(request).workspace


App = Annotated[Gateway, Depends(_gateway)]
At = Annotated[Workspace, Depends(_workspace)]
