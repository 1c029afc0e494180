"""The supervising process: keeps TorchServe running as its child, and its models equal to the registered ones."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any

from lookalike.errors import DependencyUnavailable
from lookalike.telemetry.declared import TORCHSERVE_STARTS
from lookalike.telemetry.metrics import Recorder
from lookalike.types.served import Round
from services.embedder.torchserve.budget import Budget
from services.embedder.torchserve.front import Health
from services.embedder.torchserve.management import Management
from services.embedder.torchserve.process import TorchServeProcess
from services.embedder.torchserve.reconciler import Reconciler
from services.embedder.torchserve.upstream import Upstream

_KEYS_S = 120.0  # for TorchServe to come so far as to make its keys, which takes it a second or two
_STARTING_S = 60.0  # models may take so long to start before one that does not is left behind
_WHILE_STARTING_S = 0.5
_LEAST_BETWEEN_S = 0.2  # rounds, however often clients ask
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_SOON_S = 60.0  # a run that ends before that has failed
_MAX_FAILURES = 4
_PING_EVERY_S, _MAX_PINGS_FAILED = 10.0, 6

_log = logging.getLogger(__name__)


class Exit(IntEnum):
    """Why the process ended (the numbers are those of sysexits.h)."""

    STOPPED = 0  # it was told to
    MISSING = 69  # Java or TorchServe is not installed
    GAVE_UP = 70  # TorchServe ended again and again right after its start
    PORT_TAKEN = 71
    SETTINGS = 78  # they contradict themselves


class Supervisor:
    """One TorchServe from its start to its end, however often it is started again meanwhile. For one event loop."""

    def __init__(
        self,
        start: Callable[[], Awaitable[TorchServeProcess]],
        upstream: Upstream,
        reconciler: Reconciler,
        management_url: str,
        recorder: Recorder,
        budget: Budget,
        *,
        poll_s: float,
        drain_s: float,
    ) -> None:
        self._start = start
        self._upstream = upstream
        self._reconciler = reconciler
        self._management_url = management_url
        self._recorder = recorder
        self._budget = budget
        self._poll_s = poll_s
        self._drain_s = drain_s
        self._process: TorchServeProcess | None = None
        self._stopping = asyncio.Event()
        self._look = asyncio.Event()
        self._started_at = time.monotonic()
        self.health = Health()

    def look_now(self) -> None:
        """There may be something to do for the next round."""
        self._look.set()

    async def reconcile(self) -> Round:
        """One round, now. Raises DependencyUnavailable where TorchServe does not answer."""
        keys = self._upstream.keys
        if keys is None:
            raise DependencyUnavailable("TorchServe is starting", dependency="torchserve")

        def round_() -> Round:
            with Management(self._management_url, keys.management) as management:
                return self._reconciler.round(management)

        done = await asyncio.to_thread(round_)
        self._judge(done)
        return done

    async def run(self) -> Exit:
        """Until SIGTERM or SIGINT, or until TorchServe cannot be kept running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        keeping = asyncio.create_task(self._keep_running())
        others: list[asyncio.Task[None]] = [
            asyncio.create_task(self._keep_equal()),
            asyncio.create_task(self._keep_answering()),
        ]
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({keeping, stopping, *others}, return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                if other.done():
                    other.result()  # raises what ended it
            if keeping.done():
                return keeping.result()
            await self._drain()
            return Exit.STOPPED
        finally:
            running: list[asyncio.Task[Any]] = [keeping, stopping, *others]
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            if self._process is not None:
                await self._process.stop()

    async def _drain(self) -> None:
        """Takes no further request, and lets those under way come to their end."""
        self._budget.closed = True
        _log.info("told to stop; %d requests are under way", self._budget.num_requests)
        try:
            async with asyncio.timeout(self._drain_s):
                await self._budget.drained()
        except TimeoutError:
            _log.warning("%d requests were not done in %.0f s", self._budget.num_requests, self._drain_s)

    async def _keep_running(self) -> Exit:
        """Starts TorchServe whenever it is not running. Returns when that is of no use."""
        failures = 0
        while failures < _MAX_FAILURES:
            if failures:
                await asyncio.sleep(min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S))
            began = time.monotonic()
            await self._run_once()
            self._upstream.keys = None
            self.health.is_ready, self.health.why_not = False, "TorchServe is being started again"
            failures = failures + 1 if time.monotonic() - began < _SOON_S else 1
        _log.error("TorchServe ended %d times right after its start: giving up", failures)
        return Exit.GAVE_UP

    async def _run_once(self) -> None:
        self._process = process = await self._start()
        self._recorder.count(TORCHSERVE_STARTS)
        try:
            async with asyncio.timeout(_KEYS_S):
                keys = await process.keys()
        except DependencyUnavailable as error:
            _log.error("%s", error.message)
            return
        except TimeoutError:
            _log.error("TorchServe has not started in %.0f s and is ended", _KEYS_S)
            await process.stop()
            return
        self._upstream.keys = keys
        ended = asyncio.create_task(process.wait())
        while not ended.done() and not await self._upstream.answers():
            await asyncio.sleep(0.1)
        if not ended.done():
            self._started_at = time.monotonic()
            self.look_now()
        _log.warning("TorchServe ended with %d", await ended)

    async def _keep_equal(self) -> None:
        """A round after each start, whenever something may have changed, and now and then."""
        pause_s = self._poll_s
        while True:
            # Not asyncio.wait_for, which in Python 3.11 may lose a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._look.wait()
            self._look.clear()
            try:
                done = await self.reconcile()
            except DependencyUnavailable as error:
                _log.debug("%s", error.message)
                pause_s = _WHILE_STARTING_S
            else:
                starting = not done.complete and not done.errors
                pause_s = _WHILE_STARTING_S if starting or not self.health.is_ready else self._poll_s
            await asyncio.sleep(_LEAST_BETWEEN_S)

    async def _keep_answering(self) -> None:
        """Ends a TorchServe that runs but does not answer; it is started again then."""
        failed = 0
        while True:
            await asyncio.sleep(_PING_EVERY_S)
            failed = 0 if self._upstream.keys is None or await self._upstream.answers() else failed + 1
            if failed >= _MAX_PINGS_FAILED and self._process is not None:
                _log.error("TorchServe has not answered for %.0f s and is ended", failed * _PING_EVERY_S)
                failed = 0
                await self._process.stop()

    def _judge(self, done: Round) -> None:
        """Ready once every model that should be has its workers; one that does not start holds it up for a while."""
        if self.health.is_ready or self._upstream.keys is None:
            return
        is_late = time.monotonic() - self._started_at > _STARTING_S
        any_ready = any(model.ready for model in done.models.values())
        if done.complete or (is_late and any_ready):
            self.health.is_ready = True
            _log.info("TorchServe is ready: %d models", sum(1 for model in done.models.values() if model.ready))
            return
        waiting = [model.model for model in done.models.values() if model.ready < model.workers]
        errors = "; ".join(done.errors)[:300]
        self.health.why_not = errors or f"starting {', '.join(waiting)[:300]}"
