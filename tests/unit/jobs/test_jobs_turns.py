"""Turns, marks and counts in a real Redis."""

import threading
from collections.abc import Iterator

import pytest
from real_servers import RedisServer, free_port, wait_until

from lookalike.errors import DependencyUnavailable
from lookalike.jobs.lease import leased
from lookalike.jobs.redis_turns import RedisTurns


@pytest.fixture
def turns(redis_server: RedisServer) -> Iterator[RedisTurns]:
    made = RedisTurns(redis_server.url)
    yield made
    made.close()


def test_a_turn_is_one_s_until_it_is_given_or_ends(turns: RedisTurns) -> None:
    token = turns.take("turns/a", seconds=60)
    assert token is not None
    assert turns.take("turns/a", seconds=60) is None
    turns.give("turns/a", "another's token")
    assert turns.known(["turns/a", "turns/nobody"]) == {"turns/a"}
    turns.give("turns/a", token)
    short = turns.take("turns/a", seconds=0.2)
    assert short is not None
    wait_until(lambda: turns.take("turns/a", seconds=60) is not None, what="the turn ends")
    assert not turns.keep("turns/a", short, seconds=60)


def test_a_lost_turn_is_restored_by_whoever_keeps_it(turns: RedisTurns) -> None:
    token = turns.take("turns/b", seconds=60)
    assert token is not None
    turns.unmark("turns/b")  # as if Redis had been flushed
    assert turns.keep("turns/b", token, seconds=60)
    assert turns.take("turns/b", seconds=60) is None


def test_marks_and_counts_end_by_themselves(turns: RedisTurns) -> None:
    assert turns.mark("marks/a", seconds=0.3)
    assert not turns.mark("marks/a", seconds=60)
    turns.extend("marks/never", seconds=60)
    assert turns.known(["marks/a", "marks/never"]) == {"marks/a"}
    wait_until(lambda: turns.mark("marks/a", seconds=60), what="the mark ends")
    assert [turns.count("counts/a", seconds=60) for _ in range(3)] == [1, 2, 3]
    turns.unmark("counts/a")
    assert turns.count("counts/a", seconds=60) == 1


def test_a_lease_lasts_as_long_as_its_work(turns: RedisTurns) -> None:
    with leased(turns, "lease/a", seconds=0.6) as ours:
        assert ours is not None
        for _ in range(15):
            threading.Event().wait(0.1)
            with leased(turns, "lease/a", seconds=0.6) as theirs:
                assert theirs is None
    with leased(turns, "lease/a", seconds=0.6) as again:
        assert again is not None


def test_work_of_which_nothing_is_heard_is_told(turns: RedisTurns) -> None:
    told, now = threading.Event(), 0.0
    with leased(turns, "lease/b", seconds=0.3, limit_s=60, overdue=told.set, clock=lambda: now) as lease:
        assert lease is not None
        now = 59.0
        lease.touch()
        now = 100.0
        assert not told.wait(0.5)
        now = 119.0
        assert told.wait(30)


def test_a_redis_that_is_away_is_a_dependency_that_is_unavailable() -> None:
    gone = RedisTurns(f"redis://:a-password@127.0.0.1:{free_port()}/0", timeout_s=1)
    with pytest.raises(DependencyUnavailable) as caught:
        gone.take("turns/a", seconds=60)
    assert caught.value.details["dependency"] == "queue"
    assert "a-password" not in caught.value.message
