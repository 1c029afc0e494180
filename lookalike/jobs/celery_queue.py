"""The queues on Celery: messages to workers, and the worker that receives them.

Celery carries messages and nothing else. A message is acknowledged after its unit is done (so one of a killed worker
comes back), a worker takes one at a time, and no result is kept: results are in the store.
"""

import logging
import os
import random
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from lookalike.errors import DependencyUnavailable, MissingExtra
from lookalike.jobs.dispatch import Message
from lookalike.jobs.runner import TryLater, Works
from lookalike.jobs.steps import Queue, Unit
from lookalike.telemetry import tasks

try:
    from celery import Celery, bootsteps, signals
    from celery.apps.worker import Worker
    from celery.exceptions import SecurityWarning
    from celery.worker import state
    from celery.worker.request import Request
    from kombu.exceptions import OperationalError
except ImportError as error:
    raise MissingExtra("celery", "queue") from error

_TASK = "lookalike.unit"
_URGENT, _USUAL = 0, 5  # priorities of Celery's Redis transport: the lower number is served first
_PRIORITIES = list(range(10))
_MAX_DELAY_S = 60.0
_TELL_AGAIN_S = 0.5

_log = logging.getLogger(__name__)


def make_app(url: str, *, prefix: str = "", visibility_s: float, timeout_s: float = 5.0) -> Any:
    """A Celery application over the Redis at ``url``, where all of its keys begin with ``prefix``.

    ``visibility_s`` is after how long the message of a worker that died is given to another. Who sends a message waits
    no longer than about twice ``timeout_s`` for a Redis that does not answer, and hardly at all for one that refuses.
    """
    app = Celery("lookalike", broker=url)
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "global_keyprefix": prefix,
            "visibility_timeout": visibility_s,
            "priority_steps": _PRIORITIES,
            "queue_order_strategy": "priority",
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            # Of a sender's connection: what could not be sent now waits in the store.
            "max_retries": 1,
            "interval_start": 0.2,
        },
        task_acks_late=True,
        task_default_queue=Queue.INDEX.value,
        task_ignore_result=True,
        task_serializer="json",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_prefetch_count_reduction=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )
    return app


class CeleryBroker:
    """A :class:`lookalike.jobs.dispatch.Broker`."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def send(self, message: Message) -> None:
        unit = message.unit
        said = {
            "job_id": message.job_id,
            "attempt": message.attempt,
            "unit": unit.name,
            "urgent": unit.urgent,
            "message_format": message.format,
        }
        try:
            with tasks.enqueueing(unit.queue.value, unit.kind, job_id=message.job_id) as headers:
                self._app.send_task(
                    _TASK,
                    kwargs={**said, "headers": headers},
                    queue=unit.queue.value,
                    priority=_URGENT if unit.urgent else _USUAL,
                    retry=False,
                )
        except OperationalError as error:
            reason = type(error.__cause__ or error).__name__
            raise DependencyUnavailable(
                f"the queue does not answer: {reason}", dependency="queue", reason=reason
            ) from error

    def close(self) -> None:
        self._app.close()


class ReceivingFlag(Protocol):
    """Told when messages begin to reach this process, and when they no longer do."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


class _Waker(bootsteps.StartStopStep):  # type: ignore[misc]
    """Lets the thread that fetches messages look at once when another has taken its message off the queue.

    Without it that thread sleeps up to a second between two messages. Begins anew with each connection.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    _ends: tuple[int, int] | None = None

    def start(self, parent: Any) -> None:
        if parent.hub is not None:
            _Waker._ends = _Waker._ends or os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            parent.hub.add_reader(_Waker._ends[0], _drain, _Waker._ends[0])

    @classmethod
    def wake(cls) -> None:
        if cls._ends is not None:
            with suppress(BlockingIOError):  # it is full, so that thread has been told
                os.write(cls._ends[1], b".")


def _drain(pipe: int) -> None:
    with suppress(BlockingIOError):
        os.read(pipe, 4096)


class _Request(Request):  # type: ignore[misc]
    """A message that is taken off the queue by the thread that did its unit, as soon as the queue answers.

    Celery tries that once. When it fails, the message keeps its place in a worker that takes one at a time, and the
    worker waits for another forever.
    """

    acknowledged: bool

    def acknowledge(self) -> None:
        self._tell(self.message.ack)

    def reject(self, requeue: bool = False) -> None:
        """Gives the message back, whatever ``requeue`` says: so end those that could not be sent to come later."""
        self._tell(partial(self.message.reject, requeue=True))

    def _tell(self, say: Callable[[], None]) -> None:
        while not self.acknowledged:
            try:
                say()
            except self._connection_errors as error:
                if state.should_stop or state.should_terminate:
                    return  # the queue gives it to another
                _log.warning("a message stays on the queue until that answers: %s", type(error).__name__)
                time.sleep(_TELL_AGAIN_S)
            else:
                self.acknowledged = True
        _Waker.wake()


def _told(receiving: ReceivingFlag) -> type:
    """A step of the consumer, which begins anew with each connection, that tells ``receiving``."""

    class Told(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, parent: Any) -> None:
            receiving.begin()

        def stop(self, parent: Any) -> None:
            receiving.end()

    return Told


def run_worker(
    app: Any, runner: Works, queues: Sequence[Queue], *, threads: int, retries: int, receiving: ReceivingFlag
) -> None:
    """Works until SIGTERM or Ctrl-C; what has begun then is finished first.

    One process whose tasks run in ``threads`` threads: nothing forks after a model was loaded. A unit that could not
    reach a server is tried again after one second, then two, four and so on to a minute, each time with jitter;
    after ``retries`` times its job fails. ``receiving`` is told when messages reach it.
    """
    app.steps["consumer"].add(_told(receiving))
    logging.getLogger("celery.worker.consumer.consumer").addFilter(_without_traceback)
    register(app, runner, retries=retries)
    signals.setup_logging.connect(_leave_logging, weak=False)
    signals.worker_ready.connect(_say_ready, weak=False)
    with warnings.catch_warnings():
        # Celery's own of a worker that is root, or whose user has no name, as in containers: messages might be
        # pickles that run as that user. Ours are JSON, and others are refused (``accept_content``).
        warnings.simplefilter("ignore", SecurityWarning)
        worker = Worker(
            app=app,
            pool="threads",
            concurrency=threads,
            queues=[queue.value for queue in queues],
            loglevel=logging.WARNING,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
    worker.start()


def _without_traceback(record: logging.LogRecord) -> bool:
    """A lost connection is a line, and no fault of the program that its traceback would help to find."""
    if record.levelno == logging.WARNING:
        record.exc_info = None
    return True


def _leave_logging(**said: object) -> None:
    """With a receiver of this signal Celery does not touch the log, which this process has set up already."""


def _say_ready(**said: object) -> None:
    _log.info("ready for work")


def register(app: Any, runner: Works, *, retries: int) -> None:
    """Makes ``runner`` do what the messages of ``app`` say."""

    app.steps["consumer"].add(_Waker)

    @app.task(  # type: ignore[untyped-decorator]
        bind=True, name=_TASK, acks_late=True, max_retries=None, ignore_result=True, Request=_Request
    )
    def work(
        task: Any,
        *,
        job_id: str,
        attempt: int,
        unit: str,
        urgent: bool,
        message_format: int,
        headers: dict[str, str],
        tries: int = 0,
    ) -> None:
        queue = Queue(task.request.delivery_info["routing_key"])
        message = Message(job_id, attempt, Unit(unit, queue, urgent), message_format)
        try:
            with tasks.working(queue.value, message.unit.kind, headers, job_id=job_id, part_id=unit):
                runner.work(message, last_try=tries >= retries)
        except TryLater as later:
            _log.warning("%s of job %s is tried again later: %s", unit, job_id, later)
            tasks.retried(queue.value)
            again = {**task.request.kwargs, "tries": tries + later.counts}
            delay_s = min(_MAX_DELAY_S, 2.0**tries) * random.uniform(0.5, 1.0)  # noqa: S311 jitter, no secret
            runner.postponed(message, delay_s)
            raise task.retry(kwargs=again, countdown=delay_s) from None
