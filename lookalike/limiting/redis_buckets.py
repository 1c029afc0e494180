"""Buckets in Redis, each changed by one script: several gateways at once take no token twice."""

from typing import Any, NamedTuple

from lookalike.errors import DependencyUnavailable, MissingExtra
from lookalike.limiting.bucket import Limit, needed

try:
    import redis
    import redis.asyncio
except ImportError as error:
    raise MissingExtra("redis", "queue") from error

_PREFIX = "lookalike:bucket:"
# bucket.take and bucket.spend, by the clock of the server: those of the gateways differ. ARGV: tokens a second, burst,
# cost, needed, and how many more are taken along where there are that many. Answers what was taken, and what is left.
# A bucket that would be full again is forgotten.
_TAKE = """
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local needed, along = tonumber(ARGV[4]), tonumber(ARGV[5])
local clock = redis.call('time')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local held = redis.call('hmget', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(held[1]), tonumber(held[2])
if tokens then
  if at > now then now = at end
  tokens = math.min(burst, tokens + (now - at) * rate)
else
  tokens = burst
end
local taken = 0
if tokens >= needed then
  taken = cost
  if tokens - cost >= along then taken = cost + along end
  tokens = tokens - taken
  redis.call('hset', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.17g', now))
  redis.call('pexpire', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
end
return {string.format('%.17g', taken), string.format('%.17g', tokens)}
"""
_NO_MATTER = -1e300


class Grant(NamedTuple):
    """``taken`` tokens (none where the request is refused) of a bucket that has ``left`` now."""

    taken: float
    left: float


class RedisBuckets:
    """Buckets at ``url``, their keys behind ``prefix``; connects at the first call, and again after an outage."""

    def __init__(self, url: str, *, prefix: str = "", timeout_s: float) -> None:
        self._prefix = prefix + _PREFIX
        self._redis: Any = redis.asyncio.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None, decode_responses=True
        )
        self._script: Any = self._redis.register_script(_TAKE)

    async def take(self, name: str, limit: Limit, cost: float, *, along: float = 0.0) -> Grant:
        """Takes ``cost`` and, where there are that many, ``along`` more tokens. Raises DependencyUnavailable."""
        return await self._run(name, limit, cost, needed(cost), along)

    async def spend(self, name: str, limit: Limit, cost: float) -> None:
        """Takes ``cost``, down to below zero. Raises DependencyUnavailable."""
        await self._run(name, limit, cost, _NO_MATTER, 0.0)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _run(self, name: str, limit: Limit, cost: float, needs: float, along: float) -> Grant:
        try:
            taken, left = await self._script(
                keys=[self._prefix + name], args=[limit.per_s, limit.burst, cost, needs, along]
            )
        except (redis.RedisError, OSError) as error:
            reason = type(error).__name__
            raise DependencyUnavailable(
                f"Redis does not answer: {reason}", dependency="queue", reason=reason
            ) from error
        return Grant(float(taken), float(left))
