"""Whether the servers that the gateway depends on answer, asked so that nobody waits long to be told."""

import threading
import time
from collections.abc import Callable, Mapping

from lookalike.errors import LookalikeError

OK = "ok"
WAIT_S = 1.0
CLOSE_S = 5.0


class Dependencies:
    """Asks every server at once, each in a thread of its own.

    A server that hangs is asked by one thread at a time, however often :meth:`look` is called.
    """

    def __init__(self, checks: Mapping[str, Callable[[], object]], wait_s: float = WAIT_S) -> None:
        self._checks = [_Check(name, check) for name, check in checks.items()]
        self._wait_s = wait_s

    def look(self) -> dict[str, str]:
        """``ok``, or why not, by name; waits at most ``wait_s`` seconds in all."""
        until = time.monotonic() + self._wait_s
        asked = [(check, check.ask()) for check in self._checks]
        return {check.name: check.answer(done, until) for check, done in asked}

    def close(self) -> None:
        """Waits a moment for what is being asked: whoever made the checks may close what they use."""
        until = time.monotonic() + CLOSE_S
        for check in self._checks:
            check.join(max(until - time.monotonic(), 0))


class _Check:
    def __init__(self, name: str, check: Callable[[], object]) -> None:
        self.name = name
        self._check = check
        self._lock = threading.Lock()
        self._asking: threading.Event | None = None
        self._asked_at = 0.0
        self._said = ""  # of the last that was answered
        self._thread: threading.Thread | None = None

    def ask(self) -> threading.Event:
        """Asks, if it is not being asked already; the event is set when there is an answer."""
        with self._lock:
            if self._asking is None:
                self._asking, self._asked_at = threading.Event(), time.monotonic()
                # A daemon: the end of the process waits for no server.
                self._thread = threading.Thread(
                    target=self._run, args=(self._asking,), name=f"dependency {self.name}", daemon=True
                )
                self._thread.start()
            return self._asking

    def join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def answer(self, done: threading.Event, until: float) -> str:
        if done.wait(max(until - time.monotonic(), 0)):
            return self._said
        if self._said not in ("", OK):
            return self._said  # the reason is known, and it has not answered since
        return f"{self.name} does not answer for {time.monotonic() - self._asked_at:.0f} s"

    def _run(self, done: threading.Event) -> None:
        said = f"{self.name} could not be asked: an error of ours, which the log has"
        try:
            self._check()
            said = OK
        except LookalikeError as error:
            said = error.message
        except OSError as error:
            said = type(error).__name__  # its text may name a path of the server
        finally:
            with self._lock:
                self._asking, self._said = None, said
            done.set()
