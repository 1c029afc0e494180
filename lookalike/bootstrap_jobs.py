"""Settings -> the queue of jobs, and the processes that work for it."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from lookalike.bootstrap import wire
from lookalike.bootstrap_health import server_checks
from lookalike.errors import InvalidRequest
from lookalike.jobs.celery_queue import CeleryBroker, make_app, run_worker
from lookalike.jobs.dispatch import Dispatch
from lookalike.jobs.forgetting import forget_ended
from lookalike.jobs.keeper import Keeper
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.queued import QueuedJobs
from lookalike.jobs.records import JobRecords
from lookalike.jobs.redis_turns import RedisTurns
from lookalike.jobs.runner import Runner
from lookalike.jobs.steps import Queue
from lookalike.pipeline.job_run import run_job
from lookalike.pipeline.job_steps import JobSteps
from lookalike.pipeline.part_plan import Plans
from lookalike.pipeline.waiting import reach_store, wait_for
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings
from lookalike.settings_sources import variable
from lookalike.telemetry.process import observed
from lookalike.telemetry.worker_http import Receiving, serve_worker

_ASKER_TIMEOUT_S = 2.0  # of a request to Redis: who asks for a job, which the store keeps, waits for no outage

_log = logging.getLogger(__name__)


def queued_jobs(settings: Settings, workspace: Workspace) -> QueuedJobs:
    """Jobs that workers of other processes do. Raises InvalidRequest where the settings name no queue."""
    url = _url(settings)
    said = settings.queue
    turns = RedisTurns(url, prefix=said.prefix, timeout_s=_ASKER_TIMEOUT_S)
    app = make_app(url, prefix=said.prefix, visibility_s=said.visibility_s, timeout_s=_ASKER_TIMEOUT_S)
    broker = CeleryBroker(app)

    def close() -> None:
        turns.close()
        broker.close()

    return QueuedJobs(workspace.store, _steps(settings, workspace), Dispatch(broker, turns), close=close)


@contextmanager
def worker_process(settings: Settings, service: str) -> Iterator[tuple[Workspace, Receiving]]:
    """The ports of a worker, with its log, traces (as ``service``), metrics and probes, from its start to its end.

    Whoever works tells the second value when it receives messages. Raises OSError where the port is taken,
    MissingExtra for what the settings want and is not installed.
    """
    with observed(settings, service), ExitStack() as ends:
        receiving = Receiving()
        server = serve_worker(settings, receiving)
        if server is not None:
            ends.callback(server.close)
        workspace = wire(settings)
        ends.callback(workspace.close)
        yield workspace, receiving


def work(
    settings: Settings, workspace: Workspace, queues: Sequence[Queue], *, threads: int, receiving: Receiving
) -> None:
    """Does the units of ``queues`` until SIGTERM or Ctrl-C, and looks after forgotten jobs meanwhile.

    What it cannot work without is waited for first: the store, the queue and, where it embeds, a remote embedder.

    ``receiving`` is true while messages reach it.

    Raises InvalidRequest where the settings name no queue.
    """
    url, said = _url(settings), settings.queue
    app = make_app(url, prefix=said.prefix, visibility_s=said.visibility_s)
    turns, steps = RedisTurns(url, prefix=said.prefix), _steps(settings, workspace)
    dispatch = Dispatch(CeleryBroker(app), turns)
    jobs = QueuedJobs(workspace.store, steps, dispatch)
    records, lanes = JobRecords(workspace.store), Lanes(workspace.store)
    runner = Runner(
        records, lanes, steps, dispatch, turns, jobs.submit, limit_s=said.unit_limit_s, lease_s=said.lease_s
    )
    forget = partial(forget_ended, records, Plans(workspace.store).forget)
    keeper = Keeper(records, lanes, steps, dispatch, turns, forget)
    stopped = threading.Event()
    looking = threading.Thread(target=keeper.run, args=(stopped, said.look_every_s), name="keeper", daemon=True)
    for what, ask in _needed(settings, workspace, turns, queues).items():
        wait_for(what, ask)
    looking.start()
    try:
        run_worker(app, runner, queues, threads=threads, retries=said.retries, receiving=receiving)
    finally:
        stopped.set()
        turns.close()


def _needed(
    settings: Settings, workspace: Workspace, turns: RedisTurns, queues: Sequence[Queue]
) -> dict[str, Callable[[], object]]:
    """What raises DependencyUnavailable while a server is away without which no unit of ``queues`` can be done."""
    needed: dict[str, Callable[[], object]] = {
        "the store": partial(reach_store, workspace.store),
        "the queue": turns.depths,
    }
    if Queue.EMBED in queues and (embedder := server_checks(settings).get("embedder")) is not None:
        needed["the embedder"] = embedder
    return needed


def _steps(settings: Settings, workspace: Workspace) -> JobSteps:
    run = partial(run_job, workspace, source_folders=settings.jobs.source_folders)
    return JobSteps(workspace, run, part_images=settings.queue.part_images)


def _url(settings: Settings) -> str:
    if settings.queue.url is None:
        raise InvalidRequest(f"no queue is set up: {variable('queue.url')} names its Redis")
    return settings.queue.url.get_secret_value()
