"""A job as it goes on: a bar for people, lines for machines."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from lookalike.cli.output import OUTPUT
from lookalike.jobs.port import Job, Jobs
from lookalike.jobs.rates import JobRates, Rate, images_per_s

LOOK_EVERY_S = 0.5


def watch(queue: Jobs, job: Job) -> Job:
    """Shows ``job`` until it has ended, and returns it as it is then. Ctrl-C ends the watching, not the job."""
    rates = JobRates()
    with _shown() as show:
        show(job, rates.of(job))
        while not job.state.has_ended:
            before, job = job, queue.wait(job.job_id, timeout_s=LOOK_EVERY_S)
            found = rates.of(job)
            if job != before or not OUTPUT.as_json:  # the time left changes by itself; machines are told of changes
                show(job, found)
    return job


def described(job: Job, found: Rate) -> dict[str, object]:
    """A job for machines as the event stream has it: without its parameters, with its pace."""
    pace = {"images_per_s": images_per_s(job, found), "eta_s": found.eta_s}
    rounded = {name: None if value is None else round(value, 2) for name, value in pace.items()}
    return {**job.model_dump(mode="json", exclude={"params"}), **rounded}


def in_words(job: Job, found: Rate) -> str:
    """A job's pace and failures for people."""
    speed = images_per_s(job, found)
    parts = [] if speed is None else [f"{speed:.1f} images/s"]
    if found.eta_s is not None:
        parts.append(f"{timedelta(seconds=round(found.eta_s))} left")
    if job.failed:
        parts.append(f"{job.failed} failed")
    return ", ".join(parts)


@contextmanager
def _shown() -> Iterator[Callable[[Job, Rate], None]]:
    if OUTPUT.as_json:
        yield lambda job, found: print(  # noqa: T201
            json.dumps(described(job, found), ensure_ascii=False), file=sys.stderr, flush=True
        )
        return
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, pace="")

        def show(job: Job, found: Rate) -> None:
            about, pace = job.stage or str(job.state), in_words(job, found)
            bar.update(task, description=about, completed=job.done, total=job.total, pace=pace)

        yield show
