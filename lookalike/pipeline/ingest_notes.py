"""What an ingest has settled so far, noted in the store, so that one after an interruption goes on behind it.

Notes are in key order, as everything of an ingest. They are of one source of one gallery, whoever ingests it, and are
gone when an ingest has ended. An old note is not believed: the bytes that it speaks of, to which nothing else refers
yet, may have been collected.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from lookalike.catalog import keys
from lookalike.catalog.content import WRITTEN_AGAIN_AFTER
from lookalike.errors import ObjectNotFound
from lookalike.jobs.ledger import Failure
from lookalike.pipeline.ingest_steps import New, Step
from lookalike.storage.port import ObjectInfo, ObjectStore
from lookalike.types.images import ImageRecord

WRITE_EVERY_S = 2.0
_MOST = 4096  # notes in one object

_log = logging.getLogger(__name__)


class Note(BaseModel):
    """One image that was read: what it is, or why it cannot be used.

    ``stamp`` is the source's, where it has one; ``stays`` says of a failure whether a former image was kept.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    stamp: str | None
    record: ImageRecord | None = None
    failure: Failure | None = None
    stays: bool = False


@dataclass
class Notes:
    """The notes of one source.

    Args:
        believed_s: a note is believed for so long, in seconds; one without a stamp, whose image may have changed
            unseen, for an hour at most.
    """

    store: ObjectStore
    gallery: str
    source: str
    believed_s: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    _pending: list[Note] = field(default_factory=list)
    _written_at: float | None = None
    _number: int = 0

    def before(self) -> Iterator[Note]:
        """What interrupted runs have noted and is believed, as written: in key order, unless the source has changed."""
        found = self._objects()
        if found:  # what this run writes comes after all of them, also while they are read
            self._number = int(found[-1].key.rpartition("/")[2].partition(".")[0]) + 1
        for info in found:
            age = timedelta.max if info.modified_at is None else self.now() - info.modified_at
            if age > timedelta(seconds=self.believed_s):
                continue
            for note in self._read(info):
                if note.stamp is not None or age < WRITTEN_AGAIN_AFTER:
                    yield note

    def add(self, note: Note) -> None:
        """Keeps a note, and writes what was kept every few seconds."""
        self._pending.append(note)
        now = self.clock()
        if self._written_at is None:
            self._written_at = now
        if now - self._written_at >= WRITE_EVERY_S or len(self._pending) >= _MOST:
            lines = b"".join(one.model_dump_json(exclude_defaults=True).encode() + b"\n" for one in self._pending)
            self.store.put(keys.ingest_notes(self.gallery, self.source) + f"{self._number:08d}.jsonl", lines)
            self._number += 1
            self._pending.clear()
            self._written_at = now

    def clear(self) -> None:
        """Forgets all of it: the ingest has ended."""
        for info in self._objects():
            self.store.delete(info.key)

    def _objects(self) -> list[ObjectInfo]:
        return sorted(self.store.list(keys.ingest_notes(self.gallery, self.source)), key=lambda info: info.key)

    def _read(self, info: ObjectInfo) -> list[Note]:
        try:
            return [Note.model_validate_json(line) for line in self.store.get(info.key).splitlines()]
        except (ObjectNotFound, ValidationError) as error:
            # It only saves work: without it the images are read again.
            _log.warning("the notes of an interrupted ingest cannot be used: %s: %s", info.key, type(error).__name__)
            return []


def follow_notes(steps: Iterator[Step], notes: Iterator[Note]) -> Iterator[tuple[Step, Note | None]]:
    """Each step, with the note that makes reading its image unnecessary. Both come in key order, as streams."""
    note = next(notes, None)
    for step in steps:
        if not isinstance(step, New):
            yield step, None
            continue
        while note is not None and note.key < step.image.key:
            note = next(notes, None)
        fits = note is not None and note.key == step.image.key and note.stamp == step.image.stamp
        yield step, note if fits else None
