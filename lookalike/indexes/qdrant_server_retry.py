"""Trying again while a Qdrant server is down or busy: for builds, whose requests can be repeated as they are."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lookalike.indexes.qdrant_server_connection import PassingFailure

T = TypeVar("T")
_FIRST_S, _LONGEST_S = 0.5, 15.0
ATTEMPTS = 10  # waits of 38 to 75 s together: a server that restarts, or is out for half a minute, is waited for


@dataclass(frozen=True)
class Patience:
    """Waits that double, each from half of it to all, so that many clients don't come back at once.

    Args:
        sleep: takes seconds.
        attempts: 1 has no patience at all.
        draw: a number from 0 to 1.
    """

    sleep: Callable[[float], None] = time.sleep
    attempts: int = ATTEMPTS
    draw: Callable[[], float] = random.random

    def through(self, step: Callable[[], T]) -> T:
        """``step``'s result, tried again after a :class:`PassingFailure`; the last one is raised."""
        for attempt in range(self.attempts - 1):
            try:
                return step()
            except PassingFailure:
                self.sleep(min(_FIRST_S * 2**attempt, _LONGEST_S) * (1 + self.draw()) / 2)
        return step()
