"""Ended jobs beyond the newest, with all that they planned."""

from collections.abc import Callable

from lookalike.jobs.records import JobRecords

KEPT = 1000
_SLACK = 100  # beyond it the documents are read: not at every look


def forget_ended(records: JobRecords, forget_plans: Callable[[str], None], kept: int = KEPT) -> int:
    """Removes the oldest of the ended jobs, as soon as there are some more than ``kept``; says how many."""
    if len(records.ids()) <= kept + _SLACK:
        return 0
    jobs = [document.job for document in records.list() if document.job.state.has_ended]
    jobs.sort(key=lambda job: (job.created_at, job.job_id), reverse=True)
    for job in jobs[kept:]:
        forget_plans(job.job_id)
        records.delete(job.job_id)
    return len(jobs[kept:])
