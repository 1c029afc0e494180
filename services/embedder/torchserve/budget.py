"""How much of clients' requests is in memory at once."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.errors import ServerBusy


class Budget:
    """Bytes and number of requests under way. For one event loop; nothing waits here, clients come again."""

    def __init__(self, size_bytes: int, max_requests: int) -> None:
        self._size_bytes = size_bytes
        self._max_requests = max_requests
        self._taken_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.num_requests = 0
        self.closed = False

    @contextmanager
    def take(self, size_bytes: int) -> Iterator[None]:
        """Room for one request while within. Raises ServerBusy where there is none, or none any more."""
        if self.closed:
            raise ServerBusy("this server is being stopped")
        is_full = self.num_requests >= self._max_requests or self._taken_bytes + size_bytes > self._size_bytes
        if is_full and self.num_requests:
            raise ServerBusy("too many requests are under way")
        self._taken_bytes += size_bytes
        self.num_requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._taken_bytes -= size_bytes
            self.num_requests -= 1
            if not self.num_requests:
                self._idle.set()

    async def drained(self) -> None:
        """Returns once no request is under way."""
        await self._idle.wait()
