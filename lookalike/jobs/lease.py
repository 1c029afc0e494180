"""A turn that is kept for as long as its work takes, by a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lookalike.errors import DependencyUnavailable
from lookalike.jobs.turns import Turns

LEASE_S = 30.0

_log = logging.getLogger(__name__)


class Lease:
    """A turn that is ours. ``touch`` says that its work goes on: the time limit begins anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._touched = clock()

    def touch(self) -> None:
        self._touched = self._clock()

    @property
    def silent_s(self) -> float:
        """How long nothing was heard of the work, in seconds."""
        return self._clock() - self._touched


@contextmanager
def leased(
    turns: Turns,
    name: str,
    *,
    limit_s: float | None = None,
    overdue: Callable[[], None] = lambda: None,
    seconds: float = LEASE_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Lease | None]:
    """Our turn, until the block ends or this process dies; None where it is somebody else's.

    While the keeper of turns is away the work goes on: at worst somebody does it at the same time. ``overdue`` is
    called, in another thread, when nothing was heard of the work for ``limit_s`` seconds.
    """
    token = turns.take(name, seconds=seconds)
    if token is None:
        yield None
        return
    lease, ended = Lease(clock), threading.Event()

    def keep() -> None:
        while not ended.wait(seconds / 3):
            if limit_s is not None and lease.silent_s >= limit_s:
                overdue()
                return
            try:
                turns.keep(name, token, seconds=seconds)
            except DependencyUnavailable as error:
                _log.warning("the turn %s could not be kept: %s", name, error.message)

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        try:
            turns.give(name, token)
        except DependencyUnavailable as error:
            _log.warning("the turn %s ends by itself: %s", name, error.message)
