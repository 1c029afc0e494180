"""Jobs in this process, one at a time, in a thread. Queued jobs end with the process; their results don't."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from pydantic import BaseModel

from lookalike.errors import JobNotFound, LookalikeError
from lookalike.jobs.port import Job, JobState
from lookalike.pipeline.progress import Progress, Report

_KEPT = 1000


class InlineJobs:
    """A :class:`lookalike.jobs.port.Jobs` without any server."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._executor = ThreadPoolExecutor(1, "job")
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()

    def submit(self, kind: str, gallery: str, work: Callable[[Report], object]) -> str:
        job_id = str(uuid.uuid4())
        job = Job(job_id=job_id, kind=kind, gallery=gallery, state=JobState.QUEUED, created_at=self._now().isoformat())
        with self._changed:
            self._jobs[job_id] = job
            for old in [key for key, known in self._jobs.items() if known.finished_at][: len(self._jobs) - _KEPT]:
                del self._jobs[old]
        self._executor.submit(self._run, job_id, work)
        return job_id

    def get(self, job_id: str) -> Job:
        with self._changed:
            if job_id not in self._jobs:
                raise JobNotFound(f"there is no job {job_id!r:.100}", job_id=job_id[:100])
            return self._jobs[job_id]

    def list(self) -> list[Job]:
        with self._changed:
            return list(reversed(self._jobs.values()))

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        self.get(job_id)
        with self._changed:
            self._changed.wait_for(lambda: self._jobs[job_id].finished_at is not None, timeout_s)
            return self._jobs[job_id]

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run(self, job_id: str, work: Callable[[Report], object]) -> None:
        def report(state: Progress) -> None:
            self._update(job_id, stage=state.stage, done=state.done, total=state.total, failed=state.failed)

        self._update(job_id, state=JobState.RUNNING)
        try:
            result = work(report)
        except LookalikeError as error:
            self._end(job_id, JobState.FAILED, error={"code": error.code, "message": error.message})
        except BaseException as error:
            # Recorded for whoever asks after the job, then raised: nothing goes on as if it had worked.
            self._end(job_id, JobState.FAILED, error={"code": "internal", "message": type(error).__name__})
            raise
        else:
            answer = result.model_dump(mode="json") if isinstance(result, BaseModel) else None
            self._end(job_id, JobState.SUCCEEDED, result=answer)

    def _end(self, job_id: str, state: JobState, **changes: object) -> None:
        self._update(job_id, state=state, finished_at=self._now().isoformat(), **changes)

    def _update(self, job_id: str, **changes: object) -> None:
        with self._changed:
            self._jobs[job_id] = self._jobs[job_id].model_copy(update=changes)
            self._changed.notify_all()
