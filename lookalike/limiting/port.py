"""What keeps the buckets. Adapters are beside this file."""

from typing import Protocol

from lookalike.limiting.bucket import Limit, Taken


class Limiter(Protocol):
    """Buckets by name, made when first asked for. Never an outage: each answers whatever has happened."""

    async def take(self, name: str, limit: Limit, cost: float) -> Taken:
        """Takes ``cost`` tokens where the request is admitted, else none."""
        ...

    async def spend(self, name: str, limit: Limit, cost: float) -> None:
        """Takes ``cost`` more for a request that was admitted, down to below zero."""
        ...

    async def close(self) -> None:
        """Nothing is asked after it."""
        ...
