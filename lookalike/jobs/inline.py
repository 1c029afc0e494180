"""Jobs in threads of this process, their records in the object store."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from lookalike.errors import DependencyUnavailable, JobCancelled, JobInterrupted, LookalikeError, WrongJobState
from lookalike.jobs.owner import JobOwner
from lookalike.jobs.port import Job, JobError, JobRequest, JobState
from lookalike.jobs.records import JobDocument, JobRecords
from lookalike.pipeline.progress import Progress, Report
from lookalike.pipeline.waiting import EVERY_S
from lookalike.storage.port import ObjectStore
from lookalike.telemetry import tracing
from lookalike.telemetry.context import bound

SAVE_EVERY_S = 1.0  # while a job reports: so often other processes see how far it is
KEPT = 1000  # ended jobs; the oldest beyond them are forgotten
Run: TypeAlias = Callable[[JobRequest, Report], dict[str, JsonValue]]

_log = logging.getLogger(__name__)
_INTERRUPTED = JobError(code=JobInterrupted.code, message="the process that ran this job ended before it: retry it")


class InlineJobs:
    """A :class:`lookalike.jobs.port.Jobs` without any server.

    A record is written at every change of state, with every new stage, and else now and then. Jobs belong to the
    process that submitted or retried them; another process on the same store sees them and cannot cancel them.

    Args:
        store: where the records are.
        locks: a folder of this machine, shared by the processes that share the store.
        run: executes one request and returns its result; raises LookalikeError when it fails.
        threads: jobs that run at once.
        now: the present time, in UTC.
    """

    def __init__(
        self,
        store: ObjectStore,
        locks: Path,
        run: Run,
        *,
        threads: int = 2,
        kept: int = KEPT,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._records = JobRecords(store)
        self._owner = JobOwner(locks)
        self._work = run
        self._threads = threads
        self._kept = kept
        self._now = now
        self._executor = ThreadPoolExecutor(threads, "job")
        self._changed = threading.Condition(threading.RLock())
        self._mine: dict[str, Job] = {}  # that have not ended: the store has the others
        self._queue: list[str] = []
        self._running: dict[str, str] = {}  # job_id: gallery
        self._num_ended = 0
        self._closing = False
        self._ended = threading.Event()
        try:
            self._recover()
        except DependencyUnavailable:
            # A daemon: the end of the process waits for no store.
            threading.Thread(target=self._recover_later, name="recover jobs", daemon=True).start()

    def submit(self, request: JobRequest) -> Job:
        job = Job(job_id=str(uuid.uuid4()), created_at=self._time(), **request.model_dump())
        self._enqueue(job)
        return job

    def get(self, job_id: str) -> Job:
        with self._changed:
            known = self._mine.get(job_id)
        return self._records.get(job_id).job if known is None else known

    def list(self) -> list[Job]:
        with self._changed:
            found = dict(self._mine)
        found.update({doc.job.job_id: doc.job for doc in self._records.list() if doc.job.job_id not in found})
        return sorted(found.values(), key=lambda job: (job.created_at, job.job_id), reverse=True)

    def cancel(self, job_id: str) -> Job:
        with self._changed:
            job = self.get(job_id)
            if job.state is JobState.CANCELLED:
                return job
            if job.state.has_ended or job_id not in self._mine:
                reason = f"has {job.state}" if job.state.has_ended else "belongs to another process"
                raise WrongJobState(f"the job {reason}: it cannot be cancelled here", job_id=job_id, state=job.state)
            if job_id in self._queue:
                self._queue.remove(job_id)
                return self._end(job_id, JobState.CANCELLED, cancel_requested=True)
            return self._update(job_id, save=True, cancel_requested=True)

    def retry(self, job_id: str, params: Mapping[str, JsonValue] | None = None) -> Job:
        with self._changed:
            job = self.get(job_id)
            if job.state not in (JobState.FAILED, JobState.CANCELLED):
                raise WrongJobState(f"a job that is {job.state} cannot be retried", job_id=job_id, state=job.state)
            again = Job(
                job_id=job_id,
                kind=job.kind,
                gallery=job.gallery,
                params=job.params if params is None else dict(params),
                attempt=job.attempt + 1,
                created_at=job.created_at,
            )
            self._enqueue(again)
            return again

    def wait(self, job_id: str, *, timeout_s: float) -> Job:
        with self._changed:
            self._changed.wait_for(lambda: self.get(job_id).state.has_ended, timeout_s)
            return self.get(job_id)

    def close(self) -> None:
        self._ended.set()
        with self._changed:
            self._closing = True
            queued, self._queue = self._queue, []
            for job_id in queued:
                self._end(job_id, JobState.FAILED, error=_INTERRUPTED)
        self._executor.shutdown(wait=True)
        self._owner.release()

    def _enqueue(self, job: Job) -> None:
        with self._changed:
            if self._closing:
                raise DependencyUnavailable("this process is about to end and takes no more jobs")
            self._mine[job.job_id] = job
            self._save(job)
            self._queue.append(job.job_id)
            self._dispatch()
            self._changed.notify_all()

    def _dispatch(self) -> None:
        """Starts what may start; the lock is held. The first of a gallery that is busy holds up its others."""
        for job_id in list(self._queue):
            if len(self._running) >= self._threads:
                return
            gallery = self._mine[job_id].gallery
            if gallery not in self._running.values():
                self._queue.remove(job_id)
                self._running[job_id] = gallery
                self._update(job_id, save=True, state=JobState.RUNNING, started_at=self._time())
                self._executor.submit(self._run, job_id)

    def _run(self, job_id: str) -> None:
        job = self.get(job_id)
        about = {"job.id": job_id, "gallery": job.gallery}
        with bound(job_id=job_id, gallery=job.gallery), tracing.span(f"job {job.kind}", about):
            self._execute(job_id)

    def _execute(self, job_id: str) -> None:
        saved_at_s = time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal saved_at_s
            with self._changed:
                job = self._mine[job_id]
                if job.cancel_requested:
                    raise JobCancelled(f"job {job_id} was cancelled")
                if self._closing:
                    raise JobInterrupted(_INTERRUPTED.message)
                said = {"stage": progress.stage, "done": progress.done, "total": progress.total}
                now_s = time.monotonic()
                save = job.stage != progress.stage or now_s - saved_at_s >= SAVE_EVERY_S
                self._update(job_id, save=save, failed=progress.failed, **said)
                saved_at_s = now_s if save else saved_at_s

        try:
            result = self._work(self.get(job_id).request, report)
        except JobCancelled:
            self._end(job_id, JobState.CANCELLED)
        except LookalikeError as error:
            self._end(job_id, JobState.FAILED, error=JobError(code=error.code, message=error.message))
        except BaseException as error:
            # Recorded for whoever asks after the job, then raised: nothing goes on as if it had worked.
            _log.exception("job %s failed", job_id)
            self._end(job_id, JobState.FAILED, error=JobError(code="internal", message=type(error).__name__))
            raise
        else:
            self._end(job_id, JobState.SUCCEEDED, result=result)
        finally:
            with self._changed:
                del self._running[job_id]
                if not self._closing:
                    self._dispatch()

    def _end(self, job_id: str, state: JobState, **changes: object) -> Job:
        with self._changed:
            ended = self._update(job_id, save=True, state=state, finished_at=self._time(), **changes)
            del self._mine[job_id]
            self._num_ended += 1
            if self._num_ended % max(1, self._kept // 10) == 0:
                self._forget_old()
            return ended

    def _update(self, job_id: str, *, save: bool, **changes: object) -> Job:
        with self._changed:
            job = self._mine[job_id] = self._mine[job_id].model_copy(update=changes)
            if save:
                self._save(job)
            self._changed.notify_all()
            return job

    def _save(self, job: Job) -> None:
        self._records.put(JobDocument(owner=self._owner.owner_id, job=job))

    def _recover(self) -> None:
        """What a dead process left unfinished has failed."""
        alive: dict[str, bool] = {}
        for document in self._records.list():
            if not document.job.state.has_ended:
                owner = document.owner
                if not alive.setdefault(owner, self._owner.is_alive(owner)):
                    changes = {"state": JobState.FAILED, "error": _INTERRUPTED, "finished_at": self._time()}
                    self._save(document.job.model_copy(update=changes))
        self._forget_old()

    def _recover_later(self) -> None:
        """:meth:`_recover` when the store comes; whoever asks for a job until then is told that it is away."""
        while not self._ended.wait(EVERY_S):
            try:
                self._recover()
            except DependencyUnavailable:
                continue
            return

    def _forget_old(self) -> None:
        ended = [job for job in self.list() if job.state.has_ended]
        for job in ended[self._kept :]:
            self._records.delete(job.job_id)

    def _time(self) -> str:
        return self._now().isoformat()
