"""Units of jobs -> messages, each at most once as far as anybody knows."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lookalike.errors import DependencyUnavailable
from lookalike.jobs.formats import FORMAT
from lookalike.jobs.port import Job
from lookalike.jobs.steps import ADVANCE, Unit
from lookalike.jobs.turns import Turns

_SENT_S = 30.0  # how long a mark lasts when its process dies before the message is sent
_MARKED_S = 900.0
_SLACK_S = 10.0  # for a message that is to come later, to be taken up then

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """What a worker gets: which unit of which attempt of which job."""

    job_id: str
    attempt: int
    unit: Unit
    format: int = FORMAT


class Broker(Protocol):
    """Carries messages to the workers of their queues."""

    def send(self, message: Message) -> None:
        """Raises DependencyUnavailable when nobody takes it."""
        ...


@dataclass(frozen=True)
class Dispatch:
    """Sends what is not on its way already, and nobody is at."""

    broker: Broker
    turns: Turns

    def send(self, job: Job, units: Iterable[Unit]) -> int:
        """How many messages were sent. Raises DependencyUnavailable: then some may have been.

        A mark says that a message was sent, not that it is still there: a worker that dies at the wrong moment takes
        one with it. So it is believed only while messages wait in that queue, and for a quarter of an hour.
        """
        wanted = {turn_of(job, unit.name): unit for unit in units}
        known = self.turns.known([name for turn in wanted for name in (turn, mark_of(turn), later_of(turn))])
        depths = self.turns.depths() if any(mark_of(turn) in known for turn in wanted) else {}
        sent = 0
        for turn, unit in wanted.items():
            mark = mark_of(turn)
            if later_of(turn) in known or (turn in known and not self._has_been_left(turn, unit)):
                continue
            if mark in known:
                if depths.get(unit.queue.value, 0):
                    continue
                self.turns.unmark(mark)
            if not self.turns.mark(mark, seconds=_SENT_S):
                continue
            try:
                self.broker.send(Message(job.job_id, job.attempt, unit))
            except DependencyUnavailable:
                self.turns.unmark(mark)
                raise
            self.turns.extend(mark, seconds=_MARKED_S)
            sent += 1
        return sent

    def _has_been_left(self, turn: str, unit: Unit) -> bool:
        """Tells whoever is at this unit to have it looked at once more: whether nobody is there to be told.

        Who asks what is next may have looked before that for which it is to look again. Other units are done to their
        end by whoever is at them.
        """
        if unit.name != ADVANCE:
            return False
        self.turns.mark(again_of(turn), seconds=_MARKED_S)
        return turn not in self.turns.known([turn])  # it ends its turn, and then looks for the mark

    def postponed(self, message: Message, seconds: float) -> None:
        """Notes that ``message`` comes again by itself, after so long. While the queue is away nothing is noted."""
        try:
            self.turns.mark(
                later_of(_turn(message.job_id, message.attempt, message.unit.name)), seconds=seconds + _SLACK_S
            )
        except DependencyUnavailable as error:
            _log.warning("a unit of job %s may come twice: %s", message.job_id, error.message)

    def try_send(self, job: Job, units: Iterable[Unit]) -> None:
        """As :meth:`send`; while the queue is away nothing is sent, and the keeper will."""
        try:
            self.send(job, units)
        except DependencyUnavailable as error:
            _log.warning("job %s waits for the queue: %s", job.job_id, error.message)

    def is_lost(self, job: Job, units: Iterable[Unit]) -> bool:
        """Whether none of ``units`` is on its way or at work."""
        turns = [turn_of(job, unit.name) for unit in units]
        return not self.turns.known([name for turn in turns for name in (turn, mark_of(turn), later_of(turn))])


def turn_of(job: Job, unit: str) -> str:
    """The name of the turn of whoever is at this unit."""
    return _turn(job.job_id, job.attempt, unit)


def _turn(job_id: str, attempt: int, unit: str) -> str:
    return f"turn:{job_id}:{attempt}:{unit}"


def mark_of(turn: str) -> str:
    """The name of the mark that a message for it is on its way."""
    return f"sent:{turn}"


def again_of(turn: str) -> str:
    """The name of the mark that whoever has this turn is to send its unit again."""
    return f"again:{turn}"


def later_of(turn: str) -> str:
    """The name of the mark that a message for it comes by itself, later."""
    return f"later:{turn}"
