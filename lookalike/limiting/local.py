"""Buckets of this process."""

import time
from collections import OrderedDict
from collections.abc import Callable

from lookalike.limiting import bucket
from lookalike.limiting.bucket import Level, Limit, Taken

MAX_BUCKETS = 20_000  # the one that was unused for longest goes: names of addresses have no end


class LocalLimiter:
    """A :class:`lookalike.limiting.port.Limiter` for one event loop; ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_buckets: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._levels: OrderedDict[str, Level] = OrderedDict()

    async def take(self, name: str, limit: Limit, cost: float) -> Taken:
        return self.take_now(name, limit, cost)

    def take_now(self, name: str, limit: Limit, cost: float) -> Taken:
        """As :meth:`take`, at once."""
        level, taken = bucket.take(self._levels.get(name), limit, cost, self._clock())
        self._keep(name, level)
        return taken

    async def spend(self, name: str, limit: Limit, cost: float) -> None:
        self._keep(name, bucket.spend(self._levels.get(name), limit, cost, self._clock()))

    async def close(self) -> None:
        self._levels.clear()

    def _keep(self, name: str, level: Level) -> None:
        self._levels[name] = level
        self._levels.move_to_end(name)
        if len(self._levels) > self._max_buckets:
            self._levels.popitem(last=False)
