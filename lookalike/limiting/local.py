"""Buckets of this process."""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable

from lookalike.limiting import bucket
from lookalike.limiting.bucket import Level, Limit, Taken

# Of each kind; the one that was unused for longest goes. Addresses have no end, and must not push keys out.
MAX_BUCKETS = 20_000


class LocalLimiter:
    """A :class:`lookalike.limiting.port.Limiter` for one event loop; ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_buckets: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._levels: defaultdict[str, OrderedDict[str, Level]] = defaultdict(OrderedDict)  # by kind, then name

    async def take(self, name: str, limit: Limit, cost: float) -> Taken:
        return self.take_now(name, limit, cost)

    def take_now(self, name: str, limit: Limit, cost: float) -> Taken:
        """As :meth:`take`, at once."""
        level, taken = bucket.take(self._levels[_kind(name)].get(name), limit, cost, self._clock())
        self._keep(name, level)
        return taken

    async def spend(self, name: str, limit: Limit, cost: float) -> None:
        self._keep(name, bucket.spend(self._levels[_kind(name)].get(name), limit, cost, self._clock()))

    async def close(self) -> None:
        self._levels.clear()

    def _keep(self, name: str, level: Level) -> None:
        levels = self._levels[_kind(name)]
        levels[name] = level
        levels.move_to_end(name)
        if len(levels) > self._max_buckets:
            levels.popitem(last=False)


def _kind(name: str) -> str:
    """``key`` of ``key:…``."""
    return name.partition(":")[0]
