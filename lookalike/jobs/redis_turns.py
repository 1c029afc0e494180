"""Turns, marks and counts in Redis."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lookalike.errors import DependencyUnavailable, MissingExtra
from lookalike.jobs.steps import Queue

try:
    import redis
except ImportError as error:
    raise MissingExtra("redis", "queue") from error

T = TypeVar("T")
_PREFIX = "lookalike:"
# Only whoever has a turn may keep or end it: compared and changed in one step.
_KEEP = """
local held = redis.call('get', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1
"""
_GIVE = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end"
_PRIORITY_STEPS = 10
_TIMEOUT_S = 5.0


class RedisTurns:
    """A :class:`lookalike.jobs.turns.Turns` at ``url``; connects at the first call, and again after an outage.

    Every key begins with ``prefix``: who has another one sees none of ours.
    """

    def __init__(self, url: str, *, prefix: str = "", timeout_s: float = _TIMEOUT_S) -> None:
        self._prefix = prefix + _PREFIX
        self._queues = prefix
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, decode_responses=True
        )

    def take(self, name: str, *, seconds: float) -> str | None:
        token = uuid.uuid4().hex
        taken = _reached(lambda: self._redis.set(self._prefix + name, token, nx=True, px=_ms(seconds)))
        return token if taken else None

    def keep(self, name: str, token: str, *, seconds: float) -> bool:
        return bool(_reached(lambda: self._redis.eval(_KEEP, 1, self._prefix + name, token, _ms(seconds))))

    def give(self, name: str, token: str) -> None:
        _reached(lambda: self._redis.eval(_GIVE, 1, self._prefix + name, token))

    def mark(self, name: str, *, seconds: float) -> bool:
        return bool(_reached(lambda: self._redis.set(self._prefix + name, "", nx=True, px=_ms(seconds))))

    def extend(self, name: str, *, seconds: float) -> None:
        _reached(lambda: self._redis.pexpire(self._prefix + name, _ms(seconds)))

    def unmark(self, name: str) -> None:
        _reached(lambda: self._redis.delete(self._prefix + name))

    def known(self, names: Iterable[str]) -> set[str]:
        wanted = list(names)
        if not wanted:
            return set()
        values = _reached(lambda: self._redis.mget([self._prefix + name for name in wanted]))
        return {name for name, value in zip(wanted, values, strict=True) if value is not None}

    def count(self, name: str, *, seconds: float) -> int:
        def counted() -> int:
            with self._redis.pipeline() as pipeline:
                pipeline.incr(self._prefix + name)
                pipeline.pexpire(self._prefix + name, _ms(seconds))
                return int(pipeline.execute()[0])

        return _reached(counted)

    def depths(self) -> Mapping[str, int]:
        def lengths() -> Mapping[str, int]:
            # One list per priority: how Celery's transport keeps the messages of a queue.
            names = [
                (queue, f"{self._queues}{queue}" if step == 0 else f"{self._queues}{queue}\x06\x16{step}")
                for queue in Queue
                for step in range(_PRIORITY_STEPS)
            ]
            with self._redis.pipeline() as pipeline:
                for _, name in names:
                    pipeline.llen(name)
                found = pipeline.execute()
            totals: dict[str, int] = dict.fromkeys(map(str, Queue), 0)
            for (queue, _), length in zip(names, found, strict=True):
                totals[str(queue)] += length
            return totals

        return _reached(lengths)

    def close(self) -> None:
        self._redis.close()


def _reached(call: Callable[[], T]) -> T:
    try:
        return call()
    except redis.RedisError as error:
        reason = type(error).__name__
        raise DependencyUnavailable(f"Redis does not answer: {reason}", dependency="queue", reason=reason) from error


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
