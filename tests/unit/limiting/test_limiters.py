"""One bucket for several gateways, over a real Redis; and what happens when it goes away."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from faulty_proxy import FaultyProxy
from real_servers import RedisServer

from lookalike.errors import DependencyUnavailable
from lookalike.limiting.bucket import Limit
from lookalike.limiting.local import LocalLimiter
from lookalike.limiting.redis_buckets import RedisBuckets
from lookalike.limiting.shared import RETRY_S, SharedLimiter

T = TypeVar("T")
TIMEOUT_S = 0.2  # of a Redis that is silent
PATIENCE_S = 30.0  # with one that answers, however busy this machine is


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def gateway(url: str, clock: Callable[[], float] = time.monotonic, *, timeout_s: float = PATIENCE_S) -> SharedLimiter:
    return SharedLimiter(RedisBuckets(url, timeout_s=timeout_s), LocalLimiter(clock), clock)


def test_two_gateways_share_one_bucket_to_the_last_token(redis_server: RedisServer) -> None:
    limit = Limit(per_s=1 / 3600, burst=40)

    async def both() -> tuple[int, int]:
        first, second = gateway(redis_server.url), gateway(redis_server.url)
        taken = await asyncio.gather(
            *(limiter.take("key:shared", limit, 1) for _ in range(40) for limiter in (first, second))
        )
        for limiter in (first, second):
            await limiter.close()
        return sum(one.is_admitted for one in taken), len(taken)

    assert asyncio.run(both()) == (40, 80)


def test_processes_that_race_take_no_token_twice(redis_server: RedisServer) -> None:
    limit = Limit(per_s=1 / 3600, burst=5000)  # large enough that some are taken along
    counts: list[int] = []
    everybody = threading.Barrier(4)

    def one_gateway() -> None:
        async def ask() -> int:
            limiter = gateway(redis_server.url)
            admitted = int((await limiter.take("key:raced", limit, 1)).is_admitted)
            everybody.wait(30)  # nobody begins before all have had one
            while (await limiter.take("key:raced", limit, 1)).is_admitted:
                admitted += 1
            await limiter.close()
            return admitted

        counts.append(asyncio.run(ask()))

    threads = [threading.Thread(target=one_gateway) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 5000
    assert min(counts) > 0


def test_the_script_does_what_the_arithmetic_says(redis_server: RedisServer) -> None:
    limit = Limit(per_s=1 / 3600, burst=10)

    async def ask() -> list[tuple[float, float]]:
        buckets = RedisBuckets(redis_server.url, timeout_s=5)
        asked = ((1.0, 0.0), (0.5, 0.0), (1.0, 4.0), (1.0, 9.0), (256.0, 0.0), (1.0, 0.0), (0.1, 0.0))
        said = [await buckets.take("key:by hand", limit, cost, along=along) for cost, along in asked]
        await buckets.spend("key:by hand", limit, 4)
        said.append(await buckets.take("key:by hand", limit, 1))
        await buckets.close()
        return [(grant.taken, grant.left) for grant in said]

    said = asyncio.run(ask())
    assert [taken for taken, _ in said] == [1, 0.5, 5, 1, 256, 0, 0, 0]  # four along; nine are not there
    assert [left for _, left in said] == pytest.approx([9, 8.5, 3.5, 2.5, -253.5, -253.5, -253.5, -257.5], abs=0.05)


def test_a_bucket_fills_again_by_the_clock_of_the_server(redis_server: RedisServer) -> None:
    limit = Limit(per_s=50, burst=1)

    async def ask() -> int:
        buckets = RedisBuckets(redis_server.url, timeout_s=5)
        until_s, taken = time.monotonic() + 30, 0
        while taken < 5 and time.monotonic() < until_s:
            taken += (await buckets.take("key:fills", limit, 1)).taken > 0
        await buckets.close()
        return taken

    assert asyncio.run(ask()) == 5


def test_without_redis_each_gateway_counts_for_itself_and_joins_again(redis: RedisServer) -> None:
    limit, clock = Limit(per_s=1 / 3600, burst=3), Clock()

    async def ask() -> None:
        limiter = gateway(redis.url, clock)
        assert [(await limiter.take("key:a", limit, 1)).is_admitted for _ in range(4)] == [True, True, True, False]
        await asyncio.to_thread(redis.kill)
        # The bucket of this process is another, and full; it holds as well.
        assert [(await limiter.take("key:a", limit, 1)).is_admitted for _ in range(4)] == [True, True, True, False]
        await limiter.spend("key:b", limit, 10)
        assert not (await limiter.take("key:b", limit, 1)).is_admitted
        await asyncio.to_thread(redis.start)
        assert not (await limiter.take("key:a", limit, 1)).is_admitted  # not asked again yet
        clock.now_s += RETRY_S
        assert (await limiter.take("key:fresh", limit, 1)).remaining == pytest.approx(2, abs=0.01)
        again = gateway(redis.url)
        assert (await again.take("key:fresh", limit, 1)).remaining == pytest.approx(1, abs=0.01)  # shared again
        await limiter.close()
        await again.close()

    asyncio.run(ask())


def test_a_redis_that_is_silent_costs_one_request_its_time_out(redis: RedisServer) -> None:
    limit, clock = Limit(per_s=1 / 3600, burst=50), Clock()
    proxy = FaultyProxy(redis.port)
    proxy.start()

    async def timed(call: Callable[[], Awaitable[T]]) -> tuple[T, float]:
        started_s = time.monotonic()
        return await call(), time.monotonic() - started_s

    async def ask() -> None:
        limiter = gateway(f"redis://127.0.0.1:{proxy.port}/0", clock, timeout_s=TIMEOUT_S)
        await limiter.take("key:a", limit, 1)
        await asyncio.to_thread(proxy.black_hole)
        waited_s = []
        for _ in range(40):
            taken, took_s = await timed(lambda: limiter.take("key:b", limit, 1))
            assert taken.is_admitted
            waited_s.append(took_s)
        assert waited_s[0] > TIMEOUT_S / 2
        assert sum(waited_s) < 20 * TIMEOUT_S  # twice as much where each waited
        await limiter.close()

    asyncio.run(ask())
    proxy.stop()


def test_redis_says_that_it_is_away() -> None:
    async def ask() -> None:
        await RedisBuckets("redis://127.0.0.1:9/0", timeout_s=1).take("key:a", Limit(1, 1), 1)

    with pytest.raises(DependencyUnavailable, match="Redis does not answer"):
        asyncio.run(ask())


def test_buckets_that_nobody_uses_are_forgotten_first() -> None:
    limit = Limit(per_s=1 / 3600, burst=1)

    async def ask() -> None:
        limiter = LocalLimiter(max_buckets=2)
        for name in ("key:a", "key:b", "key:a", "address:c", "address:d", "address:e", "key:c"):
            await limiter.take(name, limit, 1)
        assert not (await limiter.take("key:a", limit, 1)).is_admitted
        assert (await limiter.take("key:b", limit, 1)).is_admitted

    asyncio.run(ask())
