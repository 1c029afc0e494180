"""Jobs."""

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from lookalike.jobs.port import Job
from services.gateway.state import Queue

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_LOOK_EVERY_S = 0.5


@router.get("")
def list_jobs(queue: Queue) -> list[Job]:
    """Newest first."""
    return queue.list()


@router.get("/{job_id}")
def get_job(job_id: str, queue: Queue) -> Job:
    """State, stage and counts of one job."""
    return queue.get(job_id)


@router.get("/{job_id}/events")
def job_events(job_id: str, queue: Queue) -> StreamingResponse:
    """Server-sent events, one at every change, until the job ends."""
    queue.get(job_id)

    def events() -> Iterator[str]:
        said = None
        while said is None or said.finished_at is None:
            job = queue.wait(job_id, timeout_s=_LOOK_EVERY_S)
            if job != said:
                said = job
                yield f"event: job\ndata: {job.model_dump_json()}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
