"""The boundaries of stages: timed always, and in the trace where a stage is long enough to be looked at."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.telemetry import tracing
from lookalike.telemetry.declared import STAGE_SECONDS
from lookalike.telemetry.metrics import PROCESS


@contextmanager
def timed(name: str, *, backend: str = "") -> Iterator[None]:
    """Times what is within as stage ``name``. For what happens for every image: it is in no trace."""
    started = time.perf_counter()
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    finally:
        took_s = time.perf_counter() - started
        PROCESS.observe(STAGE_SECONDS, took_s, stage=name, backend=backend, outcome=outcome)


@contextmanager
def stage(name: str, *, gallery: str, backend: str = "") -> Iterator[None]:
    """:func:`timed`, and a span of the trace."""
    about = {"gallery": gallery, "backend": backend} if backend else {"gallery": gallery}
    with tracing.span(f"stage {name}", about), timed(name, backend=backend):
        yield
