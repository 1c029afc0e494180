"""What a worker does with one message.

The same message may come twice, late, or after its job has ended: each case ends in doing nothing. What could not
reach a server is tried again later; whatever else goes wrong fails the job, with the reason in its document.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from pydantic import JsonValue

from lookalike.errors import (
    DependencyUnavailable,
    JobCancelled,
    JobNotFound,
    LookalikeError,
    NewerFormat,
    PreconditionFailed,
    WorkerLost,
)
from lookalike.jobs.dispatch import Dispatch, Message, again_of, later_of, mark_of, turn_of
from lookalike.jobs.formats import FORMAT
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.lease import LEASE_S, Lease, leased
from lookalike.jobs.notes import Notes
from lookalike.jobs.port import Job, JobError, JobRequest, JobState
from lookalike.jobs.reasons import reason_of
from lookalike.jobs.records import JobDocument, JobRecords
from lookalike.jobs.steps import ADVANCE, Finished, Pending, Steps
from lookalike.jobs.turns import Turns
from lookalike.pipeline.progress import Progress, Report

SAVE_EVERY_S = 2.0
MAX_STARTS = 10
_STARTS_KEPT_S = 24 * 3600.0
_AGAIN_S = 900.0

_log = logging.getLogger(__name__)


class TryLater(Exception):
    """The message is to come again: a server is away, or this worker is too old for it."""

    code = "try_later"

    def __init__(self, reason: str, *, counts: bool = True) -> None:
        super().__init__(reason)
        self.counts = counts


class Works(Protocol):
    """Whoever does what messages say."""

    def work(self, message: Message, *, last_try: bool = False) -> None:
        """Raises TryLater for a message that is to come again."""
        ...

    def postponed(self, message: Message, seconds: float) -> None:
        """It comes again after so long: nobody need send another."""
        ...


def _die() -> None:
    _log.critical("a unit took longer than the time limit: this worker ends, and its unit goes to another")
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Runner:
    """Executes units. ``submit`` queues the jobs that follow from one that succeeded.

    Args:
        limit_s: the longest time of one unit without a report; a process that takes longer ends itself.
        lease_s: after how long the unit of a process that died may be done by another.
        save_every_s: how often, at most, a unit that reports writes how far it is, and looks whether it was cancelled.
    """

    records: JobRecords
    lanes: Lanes
    steps: Steps
    dispatch: Dispatch
    turns: Turns
    submit: Callable[[JobRequest], object]
    limit_s: float = 3600.0
    lease_s: float = LEASE_S
    save_every_s: float = SAVE_EVERY_S
    overdue: Callable[[], None] = _die
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    notes: Notes = field(init=False)

    def __post_init__(self) -> None:
        self.notes = Notes(self.records, self.save_every_s, self.clock)

    def work(self, message: Message, *, last_try: bool = False) -> None:
        """Does the unit of ``message``. Raises TryLater; on the ``last_try`` the job fails instead."""
        if message.format > FORMAT:
            raise TryLater(f"a message of format {message.format} is for a newer worker than this", counts=False)
        try:
            job = self.records.get(message.job_id).job
        except JobNotFound:
            return
        except (DependencyUnavailable, NewerFormat) as error:
            raise TryLater(error.message, counts=False) from error  # nothing can be said of it, so nothing is given up
        if job.state.has_ended or job.attempt != message.attempt:
            return
        turn = turn_of(job, message.unit.name)
        try:
            self.turns.unmark(mark_of(turn))
            self.turns.unmark(later_of(turn))
            if self._in_turn(job, message, turn, last_try=last_try):
                return
            if message.unit.name == ADVANCE:
                # Whoever is at it may have looked before that for which this message was sent.
                self.turns.mark(again_of(turn), seconds=_AGAIN_S)
                self._in_turn(job, message, turn, last_try=last_try)
        except DependencyUnavailable as error:
            # Not even that it failed could be written.
            raise TryLater(error.message, counts=False) from error

    def _in_turn(self, job: Job, message: Message, turn: str, *, last_try: bool) -> bool:
        """Does the unit, unless somebody else is at it: whether it was ours."""
        with leased(self.turns, turn, limit_s=self.limit_s, overdue=self.overdue, seconds=self.lease_s) as lease:
            if lease is None:
                return False
            started = self.clock()
            self._guarded(job, message, lease, last_try=last_try)
            _log.info("%s of job %s: %.1f s", message.unit.name, job.job_id, self.clock() - started)
        if message.unit.name == ADVANCE and self.turns.known([again_of(turn)]):
            self.turns.unmark(again_of(turn))
            self.dispatch.try_send(job, [message.unit])
        return True

    def postponed(self, message: Message, seconds: float) -> None:
        self.dispatch.postponed(message, seconds)

    def _guarded(self, job: Job, message: Message, lease: Lease, *, last_try: bool) -> None:
        begun = f"starts:{turn_of(job, message.unit.name)}"
        self.notes.forget(job)
        try:
            starts = self.turns.count(begun, seconds=_STARTS_KEPT_S)
            if starts > MAX_STARTS:
                raise WorkerLost(
                    f"{MAX_STARTS} workers died at {message.unit.name}: out of memory, or longer than the time limit?",
                    unit=message.unit.name,
                )
            if message.unit.name == ADVANCE:
                self._advance(job, message, lease, begun)
            else:
                self._run(job, message, lease, starts)
            self.turns.unmark(begun)
        except JobCancelled:
            self._end(job, JobState.CANCELLED)
        except (DependencyUnavailable, PreconditionFailed) as error:
            self.turns.unmark(begun)
            if not last_try:
                raise TryLater(error.message) from error
            self._fail(job, error)
        except NewerFormat as error:
            self.turns.unmark(begun)
            raise TryLater(error.message, counts=False) from error
        except LookalikeError as error:
            self._fail(job, error)
        except Exception as error:
            # Recorded for whoever asks after the job, then raised: nothing goes on as if it had worked.
            _log.exception("unit %s of job %s failed", message.unit.name, job.job_id)
            self._fail(job, error)
            raise

    def _advance(self, job: Job, message: Message, lease: Lease, begun: str) -> None:
        if not self._is_first(job):
            return
        job = self._begun(job)
        if job.cancel_requested:
            raise JobCancelled(f"job {job.job_id} was cancelled")
        outcome = self.steps.advance(job, message.unit.queue, self._report(job, lease, begun))
        if isinstance(outcome, Pending):
            self.notes.write(job, outcome.progress, always=True)
            self.dispatch.send(job, outcome.units)
        else:
            self._finish(job, outcome)

    def _run(self, job: Job, message: Message, lease: Lease, starts: int) -> None:
        if job.cancel_requested:
            raise JobCancelled(f"job {job.job_id} was cancelled")
        progress = self.steps.run(job, message.unit.name, self._report(job, lease), starts=starts)
        self.notes.write(job, progress, always=True)
        if not any(unit.kind == message.unit.kind for unit in self.steps.pending(job)):
            self.dispatch.send(job, [self.steps.first(job.kind)])

    def _finish(self, job: Job, outcome: Finished) -> None:
        for kind, params in outcome.then:
            self.submit(JobRequest(kind=kind, gallery=job.gallery, params=params))
        if outcome.progress is not None:
            self.notes.hold(job, outcome.progress)
        self._end(job, JobState.SUCCEEDED, result=outcome.result)

    def _fail(self, job: Job, error: Exception) -> None:
        self._end(job, JobState.FAILED, error=reason_of(error))

    def _is_first(self, job: Job) -> bool:
        """Whether it is this job's turn in its lane. Entries of jobs that have ended are removed on the way."""
        for entry in self.lanes.waiting(job.gallery, self.steps.lane(job.kind)):
            if entry.job_id == job.job_id:
                return True
            try:
                document = self.records.get(entry.job_id)
            except JobNotFound:
                continue  # its document is written right after its entry
            except NewerFormat:
                return False  # a later worker does it, and what comes after it
            if not document.job.state.has_ended and document.entry == entry.key:
                return False
            self.lanes.leave(entry.key)
        return True

    def _begun(self, job: Job) -> Job:
        def running(document: JobDocument) -> JobDocument:
            now = document.job
            if now.attempt != job.attempt or now.state is not JobState.QUEUED:
                return document
            changes = {"state": JobState.RUNNING, "started_at": self.now().isoformat()}
            return document.model_copy(update={"job": now.model_copy(update=changes)})

        begun = self.records.change(job.job_id, running).job
        if begun.state.has_ended or begun.attempt != job.attempt:
            raise JobCancelled(f"job {job.job_id} has ended meanwhile")
        return begun

    def _report(self, job: Job, lease: Lease, begun: str | None = None) -> Report:
        """``begun`` counts the deaths at this unit: those are forgotten once it came further than anybody before."""

        def report(progress: Progress) -> None:
            lease.touch()
            is_noted = self.notes.write(job, progress)
            if begun is not None and is_noted and progress.stage == job.stage and progress.done > job.done:
                with suppress(DependencyUnavailable):  # the work goes on, and the next report says it again
                    self.turns.unmark(begun)

        return report

    def _end(
        self,
        job: Job,
        state: JobState,
        *,
        result: dict[str, JsonValue] | None = None,
        error: JobError | None = None,
    ) -> None:
        """Writes how the job ended, lets the next of its lane begin, and forgets what it was doing."""
        changes = {
            **self.notes.last(job),
            "state": state,
            "finished_at": self.now().isoformat(),
            "result": result,
            "error": error,
        }

        def ended(document: JobDocument) -> JobDocument:
            present = document.job
            if present.state.has_ended or present.attempt != job.attempt:
                return document
            return document.model_copy(update={"job": present.model_copy(update=changes)})

        document = self.records.change(job.job_id, ended)
        if not document.job.state.has_ended:
            return
        if document.entry is not None:
            self.lanes.leave(document.entry)
        for entry in self.lanes.waiting(job.gallery, self.steps.lane(job.kind)):
            try:
                following = self.records.get(entry.job_id).job
            except JobNotFound:
                continue
            except NewerFormat:
                break  # its keeper is a later worker
            self.dispatch.try_send(following, [self.steps.first(following.kind)])
            break
