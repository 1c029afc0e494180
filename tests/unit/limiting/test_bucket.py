"""The arithmetic of token buckets: what nobody may get round, whenever and however much they ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.limiting.bucket import Level, Limit, needed, spend, take

LIMITS = st.builds(Limit, st.floats(0.01, 1000), st.floats(1, 1000))
# (seconds since the one before, cost)
REQUESTS = st.lists(st.tuples(st.floats(0, 30), st.sampled_from([0.1, 1.0, 2.0, 16.0, 256.0])), max_size=60)


@given(LIMITS, REQUESTS)
def test_nobody_gets_more_than_the_burst_and_the_rate_and_one_request(
    limit: Limit, requests: list[tuple[float, float]]
) -> None:
    level, now_s = None, 100.0
    admitted: list[tuple[float, float]] = []
    for pause_s, cost in requests:
        now_s += pause_s
        level, taken = take(level, limit, cost, now_s)
        if taken.is_admitted:
            admitted.append((now_s, cost))
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            before_last = sum(cost for _, cost in admitted[first:last])
            seconds = admitted[last][0] - admitted[first][0]
            assert before_last <= (limit.burst + limit.per_s * seconds) * (1 + 1e-9) + 1e-6


@given(LIMITS, REQUESTS)
def test_after_the_time_that_is_said_there_is_room(limit: Limit, requests: list[tuple[float, float]]) -> None:
    level, now_s = None, 0.0
    for pause_s, cost in requests:
        now_s += pause_s
        level, taken = take(level, limit, cost, now_s)
        if not taken.is_admitted:
            assert taken.retry_after_s > 0
            assert not take(level, limit, cost, now_s + taken.retry_after_s * 0.99 - 1e-6)[1].is_admitted
            assert take(level, limit, cost, now_s + taken.retry_after_s * 1.0001 + 1e-6)[1].is_admitted


@given(LIMITS, REQUESTS)
def test_a_bucket_is_never_fuller_than_full_and_a_refusal_takes_nothing(
    limit: Limit, requests: list[tuple[float, float]]
) -> None:
    level, now_s = None, 0.0
    for pause_s, cost in requests:
        now_s += pause_s
        before = level
        level, taken = take(level, limit, cost, now_s)
        assert level.tokens <= limit.burst
        assert taken.remaining == level.tokens
        if not taken.is_admitted:
            assert before is not None
            assert level.tokens >= before.tokens


def test_worked_by_hand() -> None:
    limit = Limit(per_s=2, burst=4)
    level = None
    for left in (3, 2, 1, 0):
        level, taken = take(level, limit, 1, 10.0)
        assert (taken.is_admitted, taken.remaining) == (True, left)
    level, taken = take(level, limit, 1, 10.25)  # half a token by now
    assert (taken.is_admitted, taken.remaining, taken.retry_after_s) == (False, 0.5, 0.25)
    level, taken = take(level, limit, 1, 10.5)
    assert (taken.is_admitted, taken.remaining) == (True, 0)
    level, taken = take(level, limit, 10, 100.0)  # dearer than the bucket: let through, and paid off
    assert (taken.is_admitted, taken.remaining) == (True, -6)
    level, taken = take(level, limit, 1, 103.0)
    assert (taken.is_admitted, taken.retry_after_s) == (False, 0.5)
    level = spend(level, limit, 2, 103.0)
    assert level == Level(-2, 103.0)
    assert take(level, limit, 0.1, 104.06)[1].is_admitted  # a tenth needs a tenth


def test_time_that_goes_back_gives_nothing() -> None:
    limit = Limit(per_s=1, burst=5)
    level, _ = take(None, limit, 5, 100.0)
    level, taken = take(level, limit, 1, 50.0)
    assert not taken.is_admitted
    assert not take(level, limit, 1, 100.5)[1].is_admitted
    assert take(level, limit, 1, 101.0)[1].is_admitted


@pytest.mark.parametrize(("cost", "wanted"), [(0.1, 0.1), (1, 1), (256, 1)])
def test_what_must_be_there(cost: float, wanted: float) -> None:
    assert needed(cost) == wanted
