"""Log and traces of a process that serves or works, from its start to its end."""

from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.settings import Settings
from lookalike.telemetry.logs import configure_logging
from lookalike.telemetry.tracing import configure_tracing


@contextmanager
def observed(settings: Settings, service: str) -> Iterator[None]:
    """The process logs and traces as the settings say while it is within; ``service`` is its name in traces."""
    configure_logging(settings)
    stop_tracing = configure_tracing(settings, service)
    try:
        yield
    finally:
        stop_tracing()
