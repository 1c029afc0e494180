"""Jobs for workers of other processes and machines.

The store has everything: a job's document, its place in its gallery's lane, and what its units made. Messages only
say that there is something to do; all of them may be lost, and the keeper sends them again.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from lookalike.errors import WrongJobState
from lookalike.jobs.dispatch import Dispatch
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.port import Job, JobRequest, JobState
from lookalike.jobs.records import JobDocument, JobRecords
from lookalike.jobs.steps import Steps
from lookalike.storage.port import ObjectStore

OWNER = "queue"
_LOOK_S = 0.2


class QueuedJobs:
    """A :class:`lookalike.jobs.port.Jobs` whose work others do.

    A job that is submitted while the queue is away waits in the store until it is back.
    """

    def __init__(
        self,
        store: ObjectStore,
        steps: Steps,
        dispatch: Dispatch,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._records, self._lanes = JobRecords(store), Lanes(store)
        self._steps, self._dispatch, self._now, self._close = steps, dispatch, now, close

    def submit(self, request: JobRequest) -> Job:
        moment = self._now()
        job = Job(job_id=str(uuid.uuid4()), created_at=moment.isoformat(), **request.model_dump())
        entry = self._lanes.enter(job, self._steps.lane(job.kind), moment)
        self._records.put(JobDocument(owner=OWNER, job=job, entry=entry))
        self._dispatch.try_send(job, [self._steps.first(job.kind)])
        return job

    def get(self, job_id: str) -> Job:
        return self._records.get(job_id).job

    def list(self) -> list[Job]:
        found = [document.job for document in self._records.list()]
        return sorted(found, key=lambda job: (job.created_at, job.job_id), reverse=True)

    def cancel(self, job_id: str) -> Job:
        def cancelled(document: JobDocument) -> JobDocument:
            job = document.job
            if job.state is JobState.CANCELLED:
                return document
            if job.state.has_ended:
                raise WrongJobState(f"the job has {job.state}: it cannot be cancelled", job_id=job_id, state=job.state)
            changes: dict[str, object] = {"cancel_requested": True}
            if job.state is JobState.QUEUED:
                changes |= {"state": JobState.CANCELLED, "finished_at": self._now().isoformat()}
            return document.model_copy(update={"job": job.model_copy(update=changes)})

        document = self._records.change(job_id, cancelled)
        if document.job.state.has_ended:
            if document.entry is not None:
                self._lanes.leave(document.entry)
        else:
            # Whoever waits for parts is told at once; whoever is at work notices at the next report.
            self._dispatch.try_send(document.job, [self._steps.first(document.job.kind)])
        return document.job

    def retry(self, job_id: str, params: Mapping[str, JsonValue] | None = None) -> Job:
        document = self._records.get(job_id)
        job = document.job
        first = self._steps.first(job.kind)
        if not job.state.has_ended:
            if not self._dispatch.is_lost(job, [first, *self._steps.pending(job)]):
                raise WrongJobState(f"a job that is {job.state} cannot be retried", job_id=job_id, state=job.state)
            self._dispatch.send(job, [first])
            return job
        if job.state is JobState.SUCCEEDED:
            raise WrongJobState(f"a job that has {job.state} cannot be retried", job_id=job_id, state=job.state)
        entry = self._lanes.enter(job, self._steps.lane(job.kind), self._now())

        def again(present: JobDocument) -> JobDocument:
            if present.job != job:
                raise WrongJobState("somebody else has changed the job meanwhile", job_id=job_id)
            queued = Job(
                job_id=job_id,
                kind=job.kind,
                gallery=job.gallery,
                params=job.params if params is None else dict(params),
                attempt=job.attempt + 1,
                created_at=job.created_at,
            )
            return JobDocument(owner=OWNER, job=queued, entry=entry)

        try:
            made = self._records.change(job_id, again).job
        except WrongJobState:
            # After any other error it may have been written all the same; an entry too many is removed by the keeper.
            self._lanes.leave(entry)
            raise
        self._dispatch.try_send(made, [first])
        return made

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        until = time.monotonic() + timeout_s
        while not (job := self.get(job_id)).state.has_ended and time.monotonic() < until:
            time.sleep(_LOOK_S)
        return job

    def close(self) -> None:
        self._close()
