"""How far a job is, in its document: written now and then, and what was not written is told when the job ends."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from lookalike.errors import JobCancelled
from lookalike.jobs.port import Job
from lookalike.jobs.records import JobDocument, JobRecords
from lookalike.pipeline.progress import Progress

_MOST_STAGES = 100


@dataclass
class Notes:
    """Of the jobs that one process works on.

    Args:
        every_s: how often, at most, the document of a job is written in one stage.
        clock: seconds, never going back.
    """

    records: JobRecords
    every_s: float
    clock: Callable[[], float]
    _written_at: dict[str, float] = field(default_factory=dict)
    _held: dict[str, Progress] = field(default_factory=dict)  # the last report of each job, where it was not written

    def hold(self, job: Job, progress: Progress) -> None:
        """Keeps it for the end of the job."""
        self._held[job.job_id] = progress

    def forget(self, job: Job) -> None:
        """Drops what was held: of a unit that did not come to its end here."""
        self._held.pop(job.job_id, None)

    def last(self, job: Job) -> dict[str, object]:
        """The fields of the job that the last report changes, where it was not written; it is held no longer."""
        held = self._held.pop(job.job_id, None)
        return {} if held is None else _said(held)

    def write(self, job: Job, progress: Progress, *, always: bool = False) -> bool:
        """Writes how far the job is, or holds it where that was done less than ``every_s`` ago: whether it was written.

        Raises JobCancelled for a job that is to be cancelled, has ended, or was begun anew.
        """
        key = f"{job.job_id}:{progress.stage}"
        now = self.clock()
        if not always and now - self._written_at.get(key, -math.inf) < self.every_s:
            self.hold(job, progress)
            return False
        if len(self._written_at) > _MOST_STAGES:
            self._written_at.clear()
        self._written_at[key] = now
        self.forget(job)
        said = _said(progress)

        def noted(document: JobDocument) -> JobDocument:
            present = document.job
            if present.state.has_ended or present.cancel_requested or present.attempt != job.attempt:
                return document
            if present.stage == progress.stage and present.done > progress.done:
                return document  # another worker has told more
            return document.model_copy(update={"job": present.model_copy(update=said)})

        present = self.records.change(job.job_id, noted).job
        if present.cancel_requested or present.state.has_ended or present.attempt != job.attempt:
            raise JobCancelled(f"job {job.job_id} was cancelled")
        return True


def _said(progress: Progress) -> dict[str, object]:
    """A job's fields that say how far it is."""
    return {"stage": progress.stage, "done": progress.done, "total": progress.total, "failed": progress.failed}
