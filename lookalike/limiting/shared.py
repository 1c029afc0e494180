"""Buckets shared by several gateways, at the cost of a local one for whoever asks often."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lookalike.errors import DependencyUnavailable
from lookalike.limiting.bucket import Limit, Taken, refused
from lookalike.limiting.local import MAX_BUCKETS, LocalLimiter
from lookalike.limiting.redis_buckets import Grant

ALONG_SHARE = 0.02  # of a bucket, taken along: how far several gateways may go over the burst, each
RETRY_S = 2.0

_log = logging.getLogger(__name__)


class Buckets(Protocol):
    """What :class:`lookalike.limiting.redis_buckets.RedisBuckets` does."""

    async def take(self, name: str, limit: Limit, cost: float, *, along: float = 0.0) -> Grant: ...

    async def spend(self, name: str, limit: Limit, cost: float) -> None: ...

    async def close(self) -> None: ...


@dataclass
class _Held:
    """Tokens that were taken along, and what the bucket had then."""

    tokens: float
    left: float


class SharedLimiter:
    """A :class:`lookalike.limiting.port.Limiter` over ``buckets``; while they do not answer, ``local`` decides.

    A call of Redis takes as long as a good part of a search. So whoever may ask often takes a few tokens along, at
    most :data:`ALONG_SHARE` of the bucket, and the next requests of this process use those. They are out of the shared
    bucket already: no token is used twice.
    """

    def __init__(self, buckets: Buckets, local: LocalLimiter, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = buckets
        self._local = local
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._away_until_s: float | None = None

    async def take(self, name: str, limit: Limit, cost: float) -> Taken:
        held = self._held.get(name)
        if held is not None and held.tokens >= cost:
            held.tokens -= cost
            return Taken(True, held.left + held.tokens)
        if not self._is_asked():
            return self._local.take_now(name, limit, cost)
        along = float(int(limit.burst * ALONG_SHARE)) if cost <= 1 else 0.0
        try:
            grant = await self._buckets.take(name, limit, cost, along=along)
        except DependencyUnavailable as error:
            self._went_away(error)
            return self._local.take_now(name, limit, cost)
        self._is_back()
        if grant.taken < cost:
            return refused(grant.left, limit, cost)
        self._keep(name, grant.taken - cost, grant.left)
        return Taken(True, grant.left + grant.taken - cost)

    async def spend(self, name: str, limit: Limit, cost: float) -> None:
        if self._is_asked():
            try:
                await self._buckets.spend(name, limit, cost)
            except DependencyUnavailable as error:
                self._went_away(error)
            else:
                self._is_back()
                return
        await self._local.spend(name, limit, cost)

    async def close(self) -> None:
        await self._buckets.close()
        await self._local.close()

    def _keep(self, name: str, tokens: float, left: float) -> None:
        if tokens <= 0:
            return
        held = self._held.setdefault(name, _Held(0.0, left))
        held.tokens, held.left = held.tokens + tokens, left
        self._held.move_to_end(name)
        if len(self._held) > MAX_BUCKETS:
            self._held.popitem(last=False)

    def _is_asked(self) -> bool:
        """Not while it is away, but for one request every two seconds: who waits for a time-out waits alone."""
        if self._away_until_s is None:
            return True
        if self._clock() < self._away_until_s:
            return False
        self._away_until_s = self._clock() + RETRY_S
        return True

    def _went_away(self, error: DependencyUnavailable) -> None:
        if self._away_until_s is None:
            _log.warning("%s: until it does, each gateway limits requests by itself", error.message)
        self._away_until_s = self._clock() + RETRY_S

    def _is_back(self) -> None:
        if self._away_until_s is not None:
            _log.warning("Redis answers again: gateways share their rate limits")
        self._away_until_s = None
