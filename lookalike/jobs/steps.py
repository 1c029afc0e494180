"""What a queued job consists of: units of work that any worker of their queue can do, and redo.

Whoever holds a job's turn asks :meth:`Steps.advance` what is to be done next. The answer follows from the store alone,
so it does not matter who asks, how often, and after which accident.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue

from lookalike.jobs.port import Job
from lookalike.pipeline.progress import Progress, Report

ADVANCE = "advance"


class Queue(StrEnum):
    """The queues, by what their workers need: the model, memory for an index, or what is live."""

    EMBED = "embed"
    INDEX = "index"
    EVALUATE = "evaluate"


@dataclass(frozen=True)
class Unit:
    """One message. ``name`` is unique within an attempt of a job; ``urgent`` ones overtake others of their queue."""

    name: str
    queue: Queue
    urgent: bool = False

    @property
    def kind(self) -> str:
        """Its name without numbers; the units of one stage are of one kind."""
        return self.name.partition("-")[0]


@dataclass(frozen=True)
class Pending:
    """The job goes on when these units are done; the ``progress`` is what is known until then."""

    units: tuple[Unit, ...]
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """The job has succeeded, with this result; ``then`` are jobs that follow from it, as (kind, params).

    ``progress`` is what it says of its last stage from now on, where that is not what it reported last.
    """

    result: dict[str, JsonValue]
    then: tuple[tuple[str, dict[str, JsonValue]], ...] = ()
    progress: Progress | None = None


class Steps(Protocol):
    """How jobs of every kind are done."""

    def lane(self, kind: str) -> str:
        """Jobs of one gallery and one lane run one after the other."""
        ...

    def first(self, kind: str) -> Unit:
        """The unit with which a job begins, and goes on after each of its stages."""
        ...

    def advance(self, job: Job, queue: Queue, report: Report) -> Pending | Finished:
        """Does what is next, or says which units are: called on a worker of ``queue``.

        Done again after an interruption it goes on after what is done. ``report`` may raise to end it there.
        """
        ...

    def pending(self, job: Job) -> tuple[Unit, ...]:
        """The units that this job waits for, from what is planned already; nothing is done."""
        ...

    def run(self, job: Job, unit: str, report: Report, *, starts: int) -> Progress:
        """Does one unit that :meth:`advance` named and says how far the job is; one that is done is not done again.

        ``starts`` is how often it was begun without an end, this time included: more than once where workers died.
        """
        ...
