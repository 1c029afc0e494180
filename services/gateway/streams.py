"""How many event streams may be open at once: each looks at its job several times a second."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator

from lookalike.errors import RateLimited

MOST = 256
MOST_EACH = 32  # of one key
_RETRY_S = 10


class Streams:
    """The open streams of one application, by whose they are."""

    def __init__(self, most: int = MOST, most_each: int = MOST_EACH) -> None:
        self._most = most
        self._most_each = most_each
        self._open: Counter[str] = Counter()

    def check(self, key_id: str) -> None:
        """Raises RateLimited where another one would be too many. Without keys all are of one."""
        if self._open.total() >= self._most or (key_id and self._open[key_id] >= self._most_each):
            raise RateLimited(
                "too many event streams are open; close some, or ask now and then", retry_after_s=_RETRY_S
            )

    async def begun(self, key_id: str, stream: AsyncIterator[str]) -> AsyncGenerator[str, None]:
        """``stream``, which counts from now on, at its first event. Raises RateLimited as :meth:`check`."""
        self.check(key_id)
        counted = self.counted(key_id, stream)
        return _after(await anext(counted), counted)

    async def counted(self, key_id: str, stream: AsyncIterator[str]) -> AsyncGenerator[str, None]:
        """``stream``, which is open from its first event until it ends or its client goes."""
        self._open[key_id] += 1
        try:
            async for event in stream:
                yield event
        finally:
            self._open[key_id] -= 1
            if not self._open[key_id]:
                del self._open[key_id]


async def _after(first: str, rest: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    try:
        yield first
        async for event in rest:
            yield event
    finally:
        await rest.aclose()
