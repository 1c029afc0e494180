"""What a queue and its workers tell of tasks: counts, one trace from who enqueued to who works, ids in the log."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lookalike.telemetry import tracing
from lookalike.telemetry.context import bound
from lookalike.telemetry.declared import TASK_SECONDS, TASKS_ENQUEUED, TASKS_FINISHED, TASKS_RETRIED, TASKS_STARTED
from lookalike.telemetry.metrics import PROCESS


@contextmanager
def enqueueing(queue: str, name: str, *, job_id: str) -> Iterator[dict[str, str]]:
    """Around the call that gives a task to ``queue``: the headers to send with it, for :func:`working`."""
    with tracing.span(f"enqueue {name}", {"queue": queue, "job.id": job_id}, kind=tracing.SpanKind.PRODUCER):
        yield tracing.inject()
    PROCESS.count(TASKS_ENQUEUED, queue=queue)


@contextmanager
def working(
    queue: str,
    name: str,
    headers: Mapping[str, str],
    *,
    job_id: str,
    part_id: str | None = None,
    gallery: str | None = None,
) -> Iterator[None]:
    """Around a task in its worker; ``headers`` are those that came with it.

    An error without a ``code`` is counted as ``internal``.
    """
    started = time.perf_counter()
    outcome = "internal"
    PROCESS.count(TASKS_STARTED, queue=queue)
    try:
        with (
            bound(job_id=job_id, part_id=part_id, gallery=gallery),
            tracing.extract(headers),
            tracing.span(name, {"queue": queue, "job.id": job_id}, kind=tracing.SpanKind.CONSUMER),
        ):
            yield
        outcome = "ok"
    except Exception as error:
        outcome = getattr(error, "code", outcome)
        raise
    finally:
        PROCESS.observe(TASK_SECONDS, time.perf_counter() - started, queue=queue)
        PROCESS.count(TASKS_FINISHED, queue=queue, outcome=outcome)


def retried(queue: str) -> None:
    """Counts a task that will be tried again."""
    PROCESS.count(TASKS_RETRIED, queue=queue)
