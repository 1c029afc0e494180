"""Log and traces of a process that serves or works, from its start to its end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lookalike.settings import Settings
from lookalike.telemetry.logs import configure_logging
from lookalike.telemetry.tracing import configure_tracing


@contextmanager
def observed(settings: Settings, service: str) -> Iterator[None]:
    """The process logs and traces as the settings say while it is within; ``service`` is its name in traces.

    SIGTERM, where nothing within handles it, leaves the block like an exception: spans that wait are sent.
    """
    configure_logging(settings)
    stop_tracing = configure_tracing(settings, service)
    in_main = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, _leave) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, former)
        stop_tracing()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
