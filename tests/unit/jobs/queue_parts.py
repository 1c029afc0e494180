"""The parts of a queue on a real Redis, without workers: messages are kept for the test to look at or to hand on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis
from real_servers import RedisServer

from lookalike.errors import DependencyUnavailable
from lookalike.jobs.dispatch import Dispatch, Message
from lookalike.jobs.keeper import Keeper
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.port import Job, JobRequest
from lookalike.jobs.queued import QueuedJobs
from lookalike.jobs.records import JobRecords
from lookalike.jobs.redis_turns import RedisTurns
from lookalike.jobs.runner import Runner
from lookalike.jobs.steps import ADVANCE, Finished, Pending, Queue, Unit
from lookalike.pipeline.progress import Progress, Report
from lookalike.storage.local import LocalStore


@dataclass
class Outbox:
    """A broker that keeps what it is given; while it is ``away`` it takes nothing."""

    messages: list[Message] = field(default_factory=list)
    away: bool = False

    def send(self, message: Message) -> None:
        if self.away:
            raise DependencyUnavailable("the queue does not answer", dependency="queue")
        self.messages.append(message)

    def take(self) -> list[Message]:
        """What was sent since the last look."""
        taken, self.messages = self.messages, []
        return taken


@dataclass
class ThreeParts:
    """Jobs of three units; ``done`` is their store. ``on_run`` is called before a unit is done."""

    done: dict[str, set[str]] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    on_run: Callable[[str], None] = lambda unit: None
    starts: list[int] = field(default_factory=list)

    def lane(self, kind: str) -> str:
        return "add" if kind == "add" else "main"

    def first(self, kind: str) -> Unit:
        return Unit(ADVANCE, Queue.INDEX)

    def pending(self, job: Job) -> tuple[Unit, ...]:
        done = self.done.get(job.job_id, set())
        return tuple(Unit(f"part-{n}", Queue.EMBED) for n in range(3) if f"part-{n}" not in done)

    def advance(self, job: Job, queue: Queue, report: Report) -> Pending | Finished:
        self.on_run(ADVANCE)
        waiting = self.pending(job)
        if waiting:
            return Pending(waiting, Progress("parts", 3 - len(waiting), 3))
        return Finished({"parts": 3})

    def run(self, job: Job, unit: str, report: Report, *, starts: int) -> Progress:
        self.starts.append(starts)
        self.on_run(unit)
        self.runs.append(unit)
        self.done.setdefault(job.job_id, set()).add(unit)
        return Progress("parts", 3 - len(self.pending(job)), 3)


class Parts:
    """Everything of one queue over ``folder``, with a fresh Redis database."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        self.store = LocalStore(folder / "store")
        self.outbox, self.steps = Outbox(), ThreeParts()
        self.turns = RedisTurns(server.url)
        self.dispatch = Dispatch(self.outbox, self.turns)
        self.records, self.lanes = JobRecords(self.store), Lanes(self.store)
        self.jobs = QueuedJobs(self.store, self.steps, self.dispatch)
        self.keeper = Keeper(self.records, self.lanes, self.steps, self.dispatch, self.turns)
        self.runner = Runner(
            self.records, self.lanes, self.steps, self.dispatch, self.turns, self.jobs.submit, save_every_s=0.0
        )

    def submit(self, gallery: str = "g", kind: str = "embed") -> Job:
        return self.jobs.submit(JobRequest(kind=kind, gallery=gallery))

    def work_off(self) -> int:
        """Does all messages, and those that follow from them; says how many."""
        number = 0
        while messages := self.outbox.take():
            for message in messages:
                self.runner.work(message)
                number += 1
        return number
