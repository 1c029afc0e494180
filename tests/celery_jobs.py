"""Jobs over a real Redis, with a real Celery worker whose threads are in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from celery.contrib.testing.worker import start_worker
from pydantic import JsonValue
from real_servers import RedisServer

from lookalike.jobs.celery_queue import CeleryBroker, make_app, register
from lookalike.jobs.dispatch import Dispatch, Message
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.port import Job, JobRequest
from lookalike.jobs.queued import QueuedJobs
from lookalike.jobs.records import JobRecords
from lookalike.jobs.redis_turns import RedisTurns
from lookalike.jobs.runner import Runner
from lookalike.jobs.steps import ADVANCE, Finished, Pending, Queue, Unit
from lookalike.pipeline.progress import Progress, Report
from lookalike.storage.port import ObjectStore


@dataclass
class OneUnit:
    """Steps of jobs that are done in one go, by ``run``."""

    run_job: Callable[[JobRequest, Report], dict[str, JsonValue]]

    def lane(self, kind: str) -> str:
        return "main"

    def first(self, kind: str) -> Unit:
        return Unit(ADVANCE, Queue.INDEX)

    def advance(self, job: Job, queue: Queue, report: Report) -> Pending | Finished:
        return Finished(self.run_job(job.request, report))

    def pending(self, job: Job) -> tuple[Unit, ...]:
        return ()

    def run(self, job: Job, unit: str, report: Report, *, starts: int) -> Progress:
        raise AssertionError("these jobs have no units")


class Does(Protocol):
    """Anything that executes requests."""

    def run(self, request: JobRequest, report: Report) -> dict[str, JsonValue]: ...


@dataclass
class InThisProcess:
    """A worker that does what ``runner`` says: Celery cannot begin a second one in a process that had one."""

    server: RedisServer
    app: Any
    runner: Runner | None = None

    def work(self, message: Message, *, last_try: bool = False) -> None:
        assert self.runner is not None
        self.runner.work(message, last_try=last_try)

    def postponed(self, message: Message, seconds: float) -> None:
        assert self.runner is not None
        self.runner.postponed(message, seconds)

    def jobs(self, store: ObjectStore, work: Does) -> QueuedJobs:
        """Jobs in ``store`` that ``work`` does from now on."""
        turns, steps = RedisTurns(self.server.url), OneUnit(work.run)
        dispatch = Dispatch(CeleryBroker(self.app), turns)
        jobs = QueuedJobs(store, steps, dispatch, close=turns.close)
        self.runner = Runner(
            JobRecords(store), Lanes(store), steps, dispatch, RedisTurns(self.server.url), jobs.submit, save_every_s=0.0
        )
        return jobs


@contextmanager
def celery_worker(server: RedisServer) -> Iterator[InThisProcess]:
    """A Celery worker of all queues in threads of this process, until the end of the block."""
    app = make_app(server.url, visibility_s=60)
    made = InThisProcess(server, app)
    register(app, made, retries=3)
    with start_worker(
        app,
        pool="threads",
        concurrency=3,
        loglevel="ERROR",
        perform_ping_check=False,
        queues=[queue.value for queue in Queue],
        shutdown_timeout=30.0,
    ):
        yield made
    app.close()
