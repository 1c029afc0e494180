"""The arithmetic of a token bucket. Time is given, and there is no state here.

A bucket holds at most ``burst`` tokens and gets ``per_s`` each second. A request is admitted while there is one token
(or its cost, where that is less), and then takes its whole cost: the bucket may fall below zero, and is paid off before
the next request. So a request that costs more than the bucket can hold is possible, and in the long run nobody gets
more than the rate: within any ``t`` seconds at most ``burst + t * per_s`` tokens and the cost of one request.
"""

from typing import NamedTuple


class Limit(NamedTuple):
    """Tokens a second, and how many may be saved up."""

    per_s: float
    burst: float


class Level(NamedTuple):
    """``tokens`` were in the bucket at ``at_s``."""

    tokens: float
    at_s: float


class Taken(NamedTuple):
    """Whether a request is admitted, what is left, and when there is room again where it is not."""

    is_admitted: bool
    remaining: float
    retry_after_s: float = 0.0


def needed(cost: float) -> float:
    """The tokens that must be there for a request of this cost to be admitted."""
    return min(cost, 1.0)


def level_at(level: Level | None, limit: Limit, now_s: float) -> float:
    """The tokens in a bucket now; one that nobody has used yet is full. Time never goes back."""
    if level is None:
        return limit.burst
    return min(limit.burst, level.tokens + max(0.0, now_s - level.at_s) * limit.per_s)


def take(level: Level | None, limit: Limit, cost: float, now_s: float) -> tuple[Level, Taken]:
    """The bucket after a request of ``cost``, and what to say to it. One that is refused takes nothing."""
    tokens = level_at(level, limit, now_s)
    at_s = now_s if level is None else max(now_s, level.at_s)
    if tokens < needed(cost):
        return Level(tokens, at_s), refused(tokens, limit, cost)
    return Level(tokens - cost, at_s), Taken(True, tokens - cost)


def spend(level: Level | None, limit: Limit, cost: float, now_s: float) -> Level:
    """The bucket after ``cost`` more of a request that is admitted already."""
    at_s = now_s if level is None else max(now_s, level.at_s)
    return Level(level_at(level, limit, now_s) - cost, at_s)


def refused(tokens: float, limit: Limit, cost: float) -> Taken:
    """What to say to a request of ``cost`` for which ``tokens`` are too few."""
    return Taken(False, tokens, (needed(cost) - tokens) / limit.per_s)
