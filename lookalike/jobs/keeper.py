"""Looks now and then whether a job that has not ended is forgotten, and sends what it needs.

One look costs a listing of the lanes, which hold only what has not ended. Whoever finds a message lost, a worker
dead or the queue emptied, finds it here: nothing but the store is believed.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lookalike.errors import DamagedArtifact, JobNotFound, LookalikeError, NewerFormat
from lookalike.jobs.dispatch import Dispatch
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.records import JobRecords
from lookalike.jobs.steps import Steps
from lookalike.jobs.turns import Turns

TURN = "keeper"
_SUBMITTING = timedelta(hours=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keeper:
    """``forget`` is called after each look, for what has ended long ago."""

    records: JobRecords
    lanes: Lanes
    steps: Steps
    dispatch: Dispatch
    turns: Turns
    forget: Callable[[], object] = lambda: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def look(self) -> int:
        """How many jobs were sent on. Those that wait for their lane, or whose units are on their way, are not."""
        sent = 0
        seen: set[tuple[str, str]] = set()
        for entry in list(self.lanes.all()):
            if (entry.gallery, entry.lane) in seen:
                continue
            try:
                document = self.records.get(entry.job_id)
            except JobNotFound:
                # About to be written; or its submitter died, and nobody was promised anything.
                if entry.at < self.now() - _SUBMITTING:
                    self.lanes.leave(entry.key)
                continue
            except (DamagedArtifact, NewerFormat) as error:
                seen.add((entry.gallery, entry.lane))  # what comes after it waits; other lanes go on
                _log.warning("could not look after job %s: %s", entry.job_id, error.message)
                continue
            if document.job.state.has_ended or document.entry != entry.key:
                self.lanes.leave(entry.key)
                continue
            seen.add((entry.gallery, entry.lane))
            # Sent also while its parts are at work: that costs little, and finds those that nobody is at.
            sent += self.dispatch.send(document.job, [self.steps.first(document.job.kind)])
        self.forget()
        return sent

    def run(self, stopped: threading.Event, every_s: float) -> None:
        """Looks every ``every_s`` seconds until ``stopped``; of many processes one does."""
        while not stopped.wait(every_s):
            try:
                token = self.turns.take(TURN, seconds=max(every_s, 30.0))
                if token is not None:
                    try:
                        self.look()
                    finally:
                        self.turns.give(TURN, token)
            except LookalikeError as error:
                _log.warning("could not look after the jobs: %s", error.message)
            except Exception:  # noqa: BLE001
                # The one thread that finds lost work must not be lost itself.
                _log.exception("could not look after the jobs")
