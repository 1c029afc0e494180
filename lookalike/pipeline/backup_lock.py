"""One writer at a time where backups are kept.

A lock object that its holder writes again and again, each time only over the version that it wrote last. Whoever finds
it held watches it: when it does not change for a while, its holder is dead, whatever the clocks of the machines say.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lookalike.catalog import documents
from lookalike.catalog.documents import Document
from lookalike.errors import BackupRunning, DependencyUnavailable, ObjectNotFound, PreconditionFailed
from lookalike.storage.port import ObjectStore

LOCK = "lock.json"
LEASE_S = 45.0

_log = logging.getLogger(__name__)


class _Lock(Document):
    """``holder`` None: nobody's."""

    holder: str | None
    beat: int = 0


class Held:
    """A lock of ours, as long as :meth:`check` raises nothing."""

    def __init__(self) -> None:
        self.is_lost = False

    def check(self) -> None:
        """Raises BackupRunning when somebody took this process for dead and went on without it."""
        if self.is_lost:
            raise BackupRunning("another process has taken over: this one was silent for too long")


@contextmanager
def locked(
    place: ObjectStore, *, lease_s: float = LEASE_S, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Held]:
    """The lock, until the end of the block. One whose holder is silent for ``lease_s`` seconds is taken over.

    Raises BackupRunning where its holder is alive.
    """
    holder, held = uuid.uuid4().hex, Held()
    etag = _take(place, holder, lease_s, sleep)
    ended = threading.Event()

    def beat() -> None:
        nonlocal etag
        number = 0
        while not ended.wait(lease_s / 5):
            number += 1
            try:
                etag = place.put_if(LOCK, documents.encode(_Lock(holder=holder, beat=number)), etag=etag)
            except PreconditionFailed:
                held.is_lost = True
                return
            except DependencyUnavailable as error:
                _log.warning("the lock of the backups could not be kept: %s", error.message)

    thread = threading.Thread(target=beat, name="backup lock", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        thread.join()
        if not held.is_lost:
            try:
                place.put_if(LOCK, documents.encode(_Lock(holder=None)), etag=etag)
            except (DependencyUnavailable, PreconditionFailed) as error:
                _log.warning("the lock of the backups ends by itself: %s", error.message)


def _take(place: ObjectStore, holder: str, lease_s: float, sleep: Callable[[float], object]) -> str:
    etag = _free(place)
    if etag is _HELD:
        seen = place.get_with_etag(LOCK)[1]
        _log.warning("another backup may be running here: watching it for %.0f s", lease_s)
        sleep(lease_s)
        etag = place.get_with_etag(LOCK)[1]
        if etag != seen:
            raise BackupRunning("another process writes to the same place of backups: wait until it ends")
    try:
        return place.put_if(LOCK, documents.encode(_Lock(holder=holder)), etag=etag)
    except PreconditionFailed:
        raise BackupRunning("another process has just begun to write to the same place of backups") from None


_HELD = "held"  # no store has such an ETag


def _free(place: ObjectStore) -> str | None:
    """The ETag of a lock that is nobody's, None where there is none yet, or ``_HELD``."""
    try:
        data, etag = place.get_with_etag(LOCK)
    except ObjectNotFound:
        return None
    return etag if documents.decode(_Lock, data, LOCK).holder is None else _HELD
