"""Servers that are away when a process starts, or later: named once in the log, waited for, named once when they come.

Processes and servers start in any order. What is waited for is logged as a warning, and so is its return: at any
usual level of the log both are seen, and nothing between.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from lookalike.errors import DependencyUnavailable, LookalikeError
from lookalike.storage.port import ObjectStore

T = TypeVar("T")
EVERY_S = 1.0
WATCH_EVERY_S = 5.0
THERE_EVERY_S = 60.0  # each look at a bucket is a request that somebody may pay for

_log = logging.getLogger(__name__)


def wait_for(
    what: str,
    ask: Callable[[], T],
    *,
    every_s: float = EVERY_S,
    limit_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """What ``ask`` returns once it no longer raises DependencyUnavailable.

    With ``limit_s`` the last DependencyUnavailable is raised after so many seconds. Whatever else ``ask`` raises is
    raised at once.
    """
    began = clock()
    is_away = False
    while True:
        try:
            found = ask()
        except DependencyUnavailable as error:
            if limit_s is not None and clock() - began >= limit_s:
                raise
            if not is_away:
                _log.warning("waiting for %s: %s", what, error.message)
            is_away = True
            sleep(every_s)
        else:
            if is_away:
                _log.warning("%s answers after %.0f s", what, clock() - began)
            return found


def reach_store(store: ObjectStore) -> None:
    """Raises DependencyUnavailable where the store does not answer, has no such bucket, or refuses us."""
    next(iter(store.list("models/")), None)


class Watch:
    """Which of some servers are away, told in the log when that changes."""

    def __init__(self, asks: Mapping[str, Callable[[], object]]) -> None:
        self._asks = dict(asks)
        self._away: dict[str, float] = {}

    def look(self) -> bool:
        """Asks each once; whether all of them answered."""
        for what, ask in self._asks.items():
            try:
                ask()
            except (LookalikeError, OSError) as error:
                if what not in self._away:
                    self._away[what] = time.monotonic()
                    reason = error.message if isinstance(error, LookalikeError) else type(error).__name__
                    _log.warning("waiting for %s: %s", what, reason)
            else:
                if (since := self._away.pop(what, None)) is not None:
                    _log.warning("%s answers after %.0f s", what, time.monotonic() - since)
        return not self._away


@contextmanager
def watching(
    asks: Mapping[str, Callable[[], object]], every_s: float = WATCH_EVERY_S, there_every_s: float = THERE_EVERY_S
) -> Iterator[None]:
    """Looks at each server in a thread of its own until the end of the block: often while it is away, else seldom.

    For a process that goes on without them: it neither waits nor fails here.
    """
    ended = threading.Event()

    def look(watch: Watch) -> None:
        while True:
            if ended.wait(there_every_s if watch.look() else every_s):
                return

    for what, ask in asks.items():
        # Daemons: the end of the process waits for no server.
        threading.Thread(target=partial(look, Watch({what: ask})), name=f"watch {what}", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
