"""Trying again: a job that ended badly, or the images that a job left in the failure ledger."""

from collections.abc import Sequence
from pathlib import Path

from lookalike.jobs.port import Job, Jobs, JobState
from lookalike.pipeline.job_kinds import job_kind, retry_params
from lookalike.pipeline.job_run import job_request
from lookalike.pipeline.workspace import Workspace


def retry_job(
    workspace: Workspace, jobs: Jobs, job_id: str, *, retry_failed: bool = False, source_folders: Sequence[Path] = ()
) -> Job:
    """Queues a job again; with ``retry_failed`` it also tries what is in the failure ledger.

    One that succeeded has nothing to do again but its failed images: with ``retry_failed`` these are another job,
    with an id of its own. Raises JobNotFound, InvalidRequest for ``retry_failed`` with a kind that has no ledger,
    WrongJobState, and for another job as :func:`lookalike.pipeline.job_run.job_request`.
    """
    job = jobs.get(job_id)
    params = retry_params(job_kind(job.kind), job.params, retry_failed=retry_failed)
    if retry_failed and job.state is JobState.SUCCEEDED:
        return jobs.submit(job_request(workspace, job.kind, job.gallery, params, source_folders=source_folders))
    return jobs.retry(job_id, params)
