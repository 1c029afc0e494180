"""A worker in this process that stands still where the test wants to do something, and the others that do meanwhile."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from cluster import Cluster

from lookalike.jobs.celery_queue import CeleryBroker, make_app
from lookalike.jobs.dispatch import Dispatch, Message
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.port import Job
from lookalike.jobs.records import JobRecords
from lookalike.jobs.redis_turns import RedisTurns
from lookalike.jobs.runner import Runner
from lookalike.jobs.steps import Finished, Pending, Queue, Steps, Unit
from lookalike.pipeline.job_run import run_job
from lookalike.pipeline.job_steps import JobSteps
from lookalike.pipeline.progress import Progress, Report

WAIT_S = 60.0


@dataclass
class Pause:
    """The moment at which the steps stand still: a stage that they report, or their beginning."""

    stage: str | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def at(self, stage: str | None) -> None:
        if stage == self.stage and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(WAIT_S)


@dataclass
class PausedSteps:
    """The steps of jobs, with a pause."""

    steps: Steps
    pause: Pause

    def lane(self, kind: str) -> str:
        return self.steps.lane(kind)

    def first(self, kind: str) -> Unit:
        return self.steps.first(kind)

    def advance(self, job: Job, queue: Queue, report: Report) -> Pending | Finished:
        def reported(progress: Progress) -> None:
            report(progress)
            self.pause.at(progress.stage)

        self.pause.at(None)
        return self.steps.advance(job, queue, reported)

    def pending(self, job: Job) -> tuple[Unit, ...]:
        return self.steps.pending(job)

    def run(self, job: Job, unit: str, report: Report, *, starts: int) -> Progress:
        return self.steps.run(job, unit, report, starts=starts)


@contextmanager
def advancing(at: Cluster, job: Job, *, until: str | None = None) -> Iterator[None]:
    """Does the job's first unit here, up to ``until`` while the block runs, and the rest of it afterwards."""
    pause = Pause(until)
    thread = threading.Thread(target=partial(advance, at, job, pause), name="paused worker")
    thread.start()
    try:
        assert pause.reached.wait(WAIT_S), f"{at.jobs.get(job.job_id)}"
        yield
    finally:
        pause.go_on.set()
        thread.join()


def advance(at: Cluster, job: Job, pause: Pause) -> None:
    """Does the job's first unit as a worker does that got the message."""
    url, store = at.redis.url, at.workspace.store
    part_images = int(at.environment["LOOKALIKE_QUEUE__PART_IMAGES"])
    steps = PausedSteps(JobSteps(at.workspace, partial(run_job, at.workspace), part_images=part_images), pause)
    broker, turns = CeleryBroker(make_app(url, visibility_s=60)), RedisTurns(url)
    dispatch = Dispatch(broker, turns)
    try:
        runner = Runner(JobRecords(store), Lanes(store), steps, dispatch, turns, at.jobs.submit)
        runner.work(Message(job.job_id, job.attempt, steps.first(job.kind)))
    finally:
        turns.close()
        broker.close()


@contextmanager
def standing_still(at: Cluster) -> Iterator[None]:
    """The worker processes of the cluster do nothing meanwhile."""
    processes = [worker.process for worker in at.workers if worker.process is not None]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
