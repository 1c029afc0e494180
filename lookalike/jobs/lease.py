"""A turn that is kept for as long as its work takes, by a thread of its own."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lookalike.errors import DependencyUnavailable
from lookalike.jobs.turns import Turns

LEASE_S = 30.0

_log = logging.getLogger(__name__)


@contextmanager
def leased(
    turns: Turns,
    name: str,
    *,
    limit_s: float | None = None,
    overdue: Callable[[], None] = lambda: None,
    seconds: float = LEASE_S,
) -> Iterator[bool]:
    """Whether this is our turn; if it is, it stays ours until the block ends or this process dies.

    While the keeper of turns is away the work goes on: at worst somebody does it at the same time. ``overdue`` is
    called, in another thread, when the block has taken ``limit_s`` seconds.
    """
    token = turns.take(name, seconds=seconds)
    if token is None:
        yield False
        return
    ended = threading.Event()

    def keep() -> None:
        waited = 0.0
        every = seconds / 3
        while not ended.wait(every):
            waited += every
            if limit_s is not None and waited >= limit_s:
                overdue()
                return
            try:
                turns.keep(name, token, seconds=seconds)
            except DependencyUnavailable as error:
                _log.warning("the turn %s could not be kept: %s", name, error.message)

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield True
    finally:
        ended.set()
        thread.join()
        try:
            turns.give(name, token)
        except DependencyUnavailable as error:
            _log.warning("the turn %s ends by itself: %s", name, error.message)
