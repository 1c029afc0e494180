"""jobs: list, show, watch, submit, retry, cancel, failures."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from lookalike.bootstrap import wire, wire_jobs
from lookalike.cli.indexing import parse_params
from lookalike.cli.job_watch import watch as watch_job
from lookalike.cli.output import OUTPUT, say, table
from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import Job, Jobs, JobState
from lookalike.pipeline.job_kinds import JobKind
from lookalike.pipeline.job_retry import retry_job
from lookalike.pipeline.job_run import job_failures, job_request
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings, load

jobs_app = typer.Typer(help="Jobs: work that outlives a request.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(metavar="JOB", help="its job_id, from `jobs list`")]


@dataclass(frozen=True)
class _At:
    """One command's workspace and queue."""

    settings: Settings
    workspace: Workspace
    queue: Jobs

    def follow(self, job: Job, *, wait: bool) -> None:
        """Says what was queued; waits for its end where wanted, and where it runs in this very process."""
        if wait or isinstance(self.queue, InlineJobs):
            _say_ended(watch_job(self.queue, job))
        else:
            say(_summary(job), f"job {job.job_id} is {job.state}: lookalike jobs watch {job.job_id}")


@contextmanager
def _at() -> Iterator[_At]:
    settings = load()
    workspace = wire(settings)
    try:
        queue = wire_jobs(settings, workspace)
        try:
            yield _At(settings, workspace, queue)
        finally:
            queue.close()
    finally:
        workspace.close()


@jobs_app.command("list")
def list_jobs(
    gallery: Annotated[str | None, typer.Option(help="Only those of this gallery.")] = None,
    state: Annotated[JobState | None, typer.Option(help="Only those in this state.")] = None,
) -> None:
    """All jobs that are kept, newest first."""
    with _at() as at:
        found = [
            job
            for job in at.queue.list()
            if (gallery is None or job.gallery == gallery) and (state is None or job.state is state)
        ]
    rows = [{**_summary(job), "progress": _progress(job)} for job in found]
    columns = ["job_id", "kind", "gallery", "state", "stage", "progress", "failed", "created_at"]
    table(rows, columns, value=[_summary(job) for job in found])


@jobs_app.command("show")
def show(job_id: JobId) -> None:
    """State, stage, counts, parameters, and result or error of one job."""
    with _at() as at:
        shown = at.queue.get(job_id).model_dump(mode="json")
    say(shown, json.dumps(shown, indent=2, ensure_ascii=False))


@jobs_app.command("watch")
def watch(job_id: JobId) -> None:
    """Shows stage, counts, images/s, time left and failures until the job ends; status 1 unless it succeeded.

    Ctrl-C ends the watching and leaves the job alone. With --json each change is a line on standard error.
    """
    with _at() as at:
        _say_ended(watch_job(at.queue, at.queue.get(job_id)))


@jobs_app.command("submit")
def submit(
    kind: Annotated[str, typer.Argument(help=f"one of {', '.join(JobKind)}")],
    gallery: str,
    params: Annotated[str, typer.Option(help="the kind's parameters as a JSON object")] = "{}",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended, as `jobs watch` does.")] = False,
) -> None:
    """Queues a job, as POST /v1/jobs does. Without workers it runs here, and the command ends when it does."""
    with _at() as at:
        folders = at.settings.jobs.source_folders
        request = job_request(at.workspace, kind, gallery, parse_params(params), source_folders=folders)
        at.follow(at.queue.submit(request), wait=wait)


@jobs_app.command("retry")
def retry(
    job_id: JobId,
    failed: Annotated[bool, typer.Option("--failed", help="Also try what is in the failure ledger again.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended, as `jobs watch` does.")] = False,
) -> None:
    """Queues a failed or cancelled job again; what it had done is not done again.

    With --failed also one that succeeded: the images that it could not do are then a job of their own. Without
    workers it runs here, and the command ends when it does.
    """
    with _at() as at:
        folders = at.settings.jobs.source_folders
        job = retry_job(at.workspace, at.queue, job_id, retry_failed=failed, source_folders=folders)
        at.follow(job, wait=wait)


@jobs_app.command("cancel")
def cancel(job_id: JobId) -> None:
    """Ends a queued job at once, a running one at its next report of progress; what it did stays."""
    with _at() as at:
        job = at.queue.cancel(job_id)
    asked = "is cancelled" if job.state.has_ended else "ends at its next report"
    say(_summary(job), f"job {job.job_id} {asked}")


@jobs_app.command("failures")
def failures(job_id: JobId) -> None:
    """What the failure ledger has of a job's stages now; an image that has succeeded since is gone from it."""
    with _at() as at:
        found = job_failures(at.workspace, at.queue.get(job_id).request)
    rows = [entry.model_dump(mode="json") for entry in found]
    table(rows, ["key", "stage", "code", "reason", "attempts"])


def _summary(job: Job) -> dict[str, object]:
    return job.model_dump(mode="json", exclude={"params"})


def _progress(job: Job) -> str:
    return f"{job.done}/{'?' if job.total is None else job.total}" if job.stage else ""


def _say_ended(job: Job) -> None:
    reason = f": {job.error.message}" if job.error is not None else ""
    say(_summary(job), f"job {job.job_id} ({job.kind} of {job.gallery}) {_ENDS[job.state]}{reason}")
    if job.failed and not OUTPUT.as_json:
        say(None, f"{job.failed} images failed: lookalike jobs failures {job.job_id}")
    if job.state is not JobState.SUCCEEDED:
        raise typer.Exit(1)


_ENDS = {JobState.SUCCEEDED: "has succeeded", JobState.FAILED: "has failed", JobState.CANCELLED: "was cancelled"}


def register(app: typer.Typer) -> None:
    app.add_typer(jobs_app, name="jobs")
