"""Jobs."""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lookalike.errors import InvalidCursor
from lookalike.jobs.ledger import Failure
from lookalike.jobs.port import Job, Jobs, JobState
from lookalike.jobs.rates import JobRates
from lookalike.pipeline.job_kinds import JobKind
from lookalike.pipeline.job_run import job_failures
from services.gateway.access import Asker
from services.gateway.access_rules import job_scope
from services.gateway.cursor import make_cursor, read_cursor
from services.gateway.guarded_route import GuardedRoute
from services.gateway.job_answers import JobAnswer, JobSummaryAnswer, paced
from services.gateway.state import App

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=GuardedRoute)
LOOK_EVERY_S = 0.25
KEEP_ALIVE_S = 15.0
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"const": "job"},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "a JobSummaryAnswer as JSON"},
    },
}


class NewJob(BaseModel):
    """``params`` are those of the kind."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(description=f"one of {', '.join(JobKind)}")
    gallery: str
    params: dict[str, JsonValue] = Field(default_factory=dict)


class Retry(BaseModel):
    """``retry_failed`` also tries again what is in the failure ledger (kinds ingest, add and embed).

    With it a job that succeeded may be retried too: its failed images are then a job of their own.
    """

    model_config = ConfigDict(extra="forbid")

    retry_failed: bool = False


class FailurePage(BaseModel):
    """``cursor`` is given back for the next page; None at the end."""

    failures: list[Failure]
    cursor: str | None


@router.post("", status_code=202)
def start_job(new: NewJob, app: App, response: Response, asker: Asker) -> JobAnswer:
    """Queues a job. Jobs of one gallery run one after the other."""
    asker.require(job_scope(new.kind, new.params))
    job = app.submit(new.kind, new.gallery, {**new.params})
    response.headers["Location"] = f"/v1/jobs/{job.job_id}"
    return paced(app.rates, job)


@router.get("", response_model=list[JobSummaryAnswer])
def list_jobs(
    app: App,
    gallery: str | None = None,
    state: JobState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> list[JobAnswer]:
    """Newest first, without their parameters."""
    found = [
        job
        for job in app.jobs.list()
        if (gallery is None or job.gallery == gallery) and (state is None or job.state is state)
    ]
    return [paced(app.rates, job) for job in found[:limit]]


@router.get("/{job_id}")
def get_job(job_id: str, app: App) -> JobAnswer:
    """State, stage, counts and pace of one job."""
    return paced(app.rates, app.jobs.get(job_id))


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "The events."}},
)
async def job_events(job_id: str, app: App, asker: Asker) -> StreamingResponse:
    """Server-sent events: the job at once, at every change, and when it has ended; then the stream ends."""
    app.streams.check(asker.caller.key_id)
    first = await anyio.to_thread.run_sync(app.jobs.get, job_id)
    stream = await app.streams.begun(asker.caller.key_id, job_stream(app.jobs, first, app.rates))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def job_stream(jobs: Jobs, job: Job, rates: JobRates) -> AsyncIterator[str]:
    """Looks every quarter of a second, in a thread that is held no longer than that takes."""
    silent_s = 0.0
    yield _event(paced(rates, job))
    while not job.state.has_ended:
        await anyio.sleep(LOOK_EVERY_S)
        silent_s += LOOK_EVERY_S
        before, job = job, await anyio.to_thread.run_sync(jobs.get, job.job_id)
        if job != before:
            silent_s = 0.0
            yield _event(paced(rates, job))
        elif silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield ": still there\n\n"


def _event(job: JobAnswer) -> str:
    return f"event: job\ndata: {job.model_dump_json(exclude={'params'})}\n\n"


@router.get("/{job_id}/failures")
def failures(
    job_id: str, app: App, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000, cursor: str | None = None
) -> FailurePage:
    """What the failure ledger has of this job's stages now: an image that has succeeded since is gone from it."""
    start = 0
    if cursor is not None:
        said = read_cursor(cursor)
        if not (said.isascii() and said.isdigit() and len(said) < 16):
            raise InvalidCursor("not a cursor of an earlier page")
        start = int(said)
    found = job_failures(app.workspace, app.jobs.get(job_id).request)
    following = make_cursor(str(start + limit)) if len(found) > start + limit else None
    return FailurePage(failures=found[start : start + limit], cursor=following)


@router.post("/{job_id}/cancel", status_code=202)
def cancel(job_id: str, app: App) -> JobAnswer:
    """Ends a queued job at once, a running one at its next report of progress."""
    return paced(app.rates, app.jobs.cancel(job_id))


@router.post("/{job_id}/retry", status_code=202)
def retry(job_id: str, app: App, asker: Asker, how: Retry | None = None) -> JobAnswer:
    """Queues a failed or cancelled job again; what it had done is not done again."""
    request = app.jobs.get(job_id).request
    asker.require(job_scope(request.kind, request.params))
    return paced(app.rates, app.retry(job_id, retry_failed=how is not None and how.retry_failed))
