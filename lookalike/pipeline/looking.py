"""Threads that do something for callers that cannot wait for it, or not for long."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, step: Callable[[], T], otherwise: T) -> T:
    """What ``step`` returns or raises where that takes no longer, else ``otherwise``; the step goes on by itself."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(step())
        except BaseException as error:  # noqa: BLE001 raised again in the caller's thread
            outcome.set_exception(error)

    threading.Thread(target=run, name="within", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        if outcome.done():
            return outcome.result()
        return otherwise


class Looker:
    """Calls ``look`` in a thread of its own after each :meth:`ask`; asked again meanwhile, once more and not twice.

    ``look`` must not raise. The thread begins with the first :meth:`ask` and keeps no process from ending.
    """

    def __init__(self, look: Callable[[], object], *, name: str) -> None:
        self._look = look
        self._asked = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._starting = threading.Lock()

    def ask(self) -> None:
        """Returns at once."""
        self._asked.set()
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()

    def stop(self) -> None:
        """Nothing is looked at that was not begun."""
        self._stopped = True
        self._asked.set()

    def _run(self) -> None:
        while self._asked.wait() and not self._stopped:
            self._asked.clear()
            self._look()
